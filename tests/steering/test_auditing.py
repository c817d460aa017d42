from __future__ import annotations

import numpy as np
import pytest
import torch

from steering import Add, SteeringVector, ablate_everywhere, audit, bake
from workbench.errors import ArtifactError, DataError, ModelError, SpecError
from workbench.models import load_model
from workbench.models.interventions import Scope
from workbench.models.tiny import tiny_hf_model, tiny_model, tiny_model_with_sinks, tiny_tokenizer

D = 32
GENERATOR = torch.Generator().manual_seed(2)
V, W = torch.randn(D, generator=GENERATOR), torch.randn(D, generator=GENERATOR)
TEXTS = ["a b c d e", "f g h", "i j k l m n o", "p q r s", "t u v w x y", "b d f h j l", "z y x", "c c a b"]


@pytest.fixture(scope="module")
def base():
    return tiny_model()


@pytest.fixture(scope="module")
def vectors(base):
    w = W - (W @ V) / (V @ V) * V
    return {name: SteeringVector(1, v, name=name).for_model(base) for name, v in (("baked", V), ("other", w))}


@pytest.fixture(scope="module")
def changed(base, vectors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("baked") / "model"
    bake(base, [Add(vectors["baked"], dose=-0.3, scope=Scope.everywhere())], folder)
    return load_model(folder)


def test_it_finds_the_vector_that_was_written_and_not_another(changed, base, vectors):
    table = audit(changed, base, vectors, TEXTS).set_index("vector")
    found, other = table.loc["baked"], table.loc["other"]
    assert found["moved"] == pytest.approx(-0.3, abs=1e-3)
    assert found["moved_low"] <= found["moved"] <= found["moved_high"] < 0
    assert (found["rank"], found["shift"]) == (1, pytest.approx(0.3, abs=1e-3))
    assert found["cosine"] == pytest.approx(-1, abs=1e-3)
    assert found["z"] == pytest.approx(-(D**0.5), rel=0.3)
    assert abs(other["moved"]) < 1e-3
    assert other["rank"] > 50
    assert other["share"] < 1e-3


def test_an_ablated_direction_moved_by_what_was_there(base, vectors, tmp_path):
    bake(base, ablate_everywhere(V, base), tmp_path / "ablated")
    table = audit(load_model(tmp_path / "ablated"), base, vectors, TEXTS).set_index("vector")
    read = base.forward(TEXTS, [1])
    means = torch.stack([row[1:n].mean(0) for row, n in zip(read.activations[1], read.lengths, strict=True)])
    expected = -float((means @ (V / V.norm())).mean()) / base.residual_norm(1)
    assert table.loc["baked", "moved"] == pytest.approx(expected, abs=1e-4)
    assert table.loc["baked", "tokens"] == sum(n - 1 for n in read.lengths)


def test_an_unchanged_model_moved_nowhere(base, vectors):
    table = audit(base, base, list(vectors.values()), TEXTS, controls=20)
    assert table["vector"].tolist() == ["baked", "other"]
    assert (table[["moved", "shift", "moved_low", "moved_high", "random"]] == 0).all(axis=None)
    assert table[["cosine", "z"]].isna().all(axis=None)


def test_several_sites_and_batches_are_read_and_the_seed_gives_the_same_table(changed, base):
    several = [SteeringVector(site, V, name=site) for site in ("0.resid_post", "1.mlp_out", "3.resid_post")]
    one, again = (audit(changed, base, several, TEXTS * 3, seed=4) for _ in range(2))
    assert one.equals(again)
    moved = one.set_index("vector")["moved"]
    assert moved["0.resid_post"] == 0  # before what was written
    assert moved["1.mlp_out"] < 0 and moved["3.resid_post"] != 0
    assert np.isfinite(one["moved_low"]).all()


def test_attention_sinks_do_not_count(tmp_path):
    base = tiny_model_with_sinks()
    vector = SteeringVector(1, V, name="v")
    assert audit(base, base, [vector], ["a b z c", "d e"])["tokens"].tolist() == [5]


def test_what_cannot_be_audited_is_refused_in_one_line(changed, base, vectors):
    from workbench.models.hf import HuggingFaceBackend
    from workbench.models.language_model import LanguageModel

    with pytest.raises(ArtifactError, match="belongs to another model"):
        audit(base, changed, vectors, TEXTS)
    with pytest.raises(DataError, match="name of its own"):
        audit(changed, base, [SteeringVector(1, V), SteeringVector(2, V)], TEXTS)
    with pytest.raises(DataError, match="not of a Tensor"):
        audit(changed, base, [V], TEXTS)
    with pytest.raises(DataError, match="text 1 has no token to read"):
        audit(changed, base, vectors, ["a b", [1]])
    with pytest.raises(SpecError, match="controls"):
        audit(changed, base, vectors, TEXTS, controls=5)
    smaller = LanguageModel(HuggingFaceBackend(tiny_hf_model("mistral")), tiny_tokenizer(), "m")
    smaller.backend.hf_model.config.num_hidden_layers = 2
    with pytest.raises(ModelError, match="different shapes"):
        audit(smaller, base, vectors, TEXTS)
