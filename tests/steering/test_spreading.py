from __future__ import annotations

import pytest
import torch

from steering import Ablate, SteeringVector, spread
from steering.spreading import layers_at
from workbench.errors import DataError, SpecError
from workbench.models.tiny import tiny_model

VECTOR = torch.linspace(-1, 2, 32)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_depths_name_layers_of_any_model():
    assert layers_at([0, 0.5, 1], 30) == [0, 15, 29]
    assert layers_at((0.4, 0.41), 4) == [1]
    assert layers_at([0.5], 1) == [0]
    for wrong in ([], [1.2], [-0.1], ["x"]):
        with pytest.raises(SpecError):
            layers_at(wrong, 4)


def test_the_dose_is_shared_out_in_equal_parts(model):
    adds = spread(VECTOR, model, depths=[0, 0.4, 1], dose=torch.tensor([0.3, 0.0]))
    assert [add.site.layer for add in adds] == [0, 1, 3]
    assert all(torch.equal(add.dose, torch.tensor([0.1, 0.0])) for add in adds)
    assert [add.multiplier for add in spread(VECTOR, model, depths=[0, 1])] == [0.5, 0.5]
    prompts = [[5, 6, 7], [8, 9]]
    plain, found = (model.forward(prompts, interventions=i, logits=True).logits for i in ([], adds))
    assert torch.equal(found[1, :2], plain[1, :2])
    assert not torch.equal(found[0], plain[0])


def test_each_layer_takes_its_own_of_several_vectors(model):
    vectors = [SteeringVector(layer, VECTOR * (layer + 1), fingerprint=model.fingerprint) for layer in (0, 1, 3)]
    adds = spread(vectors, model, depths=[0, 1], dose=0.2)
    assert [(add.site.layer, add.vector) for add in adds] == [(0, vectors[0]), (3, vectors[2])]
    with pytest.raises(DataError, match=r"no vector for blocks.2"):
        spread(vectors, model, depths=[0.6])
    with pytest.raises(DataError, match="one a site"):
        spread([VECTOR, VECTOR], model)


def test_other_interventions_are_spread_too_and_know_no_dose(model):
    found = spread(VECTOR, model, depths=[0, 1], make=Ablate, scope="prompt")
    assert [(type(each), each.site.layer, str(each.scope)) for each in found] == [
        (Ablate, 0, "prompt"),
        (Ablate, 3, "prompt"),
    ]
    with pytest.raises(SpecError, match="a dose is of what is added"):
        spread(VECTOR, model, make=Ablate, dose=0.3)
