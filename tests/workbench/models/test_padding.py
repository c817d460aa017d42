"""A model that reads a row otherwise in a longer pass: LongRoPE turns to other rotations beyond 16 positions here."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.workbench.models.tiny_architectures import tiny_architecture
from workbench.errors import WorkbenchWarning
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.padding import padding_matters
from workbench.models.tiny import tiny_model, tiny_tokenizer
from workbench.sites import Site

_PROMPTS = [[9, 20, 31], [5 + 7 * i % 120 for i in range(21)], [40, 41, 42], [50, 60, 70, 80]]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    rotations = {
        "rope_type": "longrope", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 16,
        "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 4.0, 5.0],
    }  # fmt: skip
    hf_model = tiny_architecture(
        "phi3", max_position_embeddings=64, original_max_position_embeddings=16, rope_parameters=rotations
    )
    return LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), "long")


def test_each_row_is_read_as_it_is_alone(model: LanguageModel, add: Any) -> None:
    sites, steer = [Site(1, "attn_out"), Site(3)], add(Site(1), torch.randn(4, 32))
    with pytest.warns(WorkbenchWarning, match="long: rows of different lengths are run apart"):
        together = model.forward(_PROMPTS, sites, [steer], logits=True)
    for row, prompt in enumerate(_PROMPTS):
        alone = model.forward([prompt], sites, [steer], logits=True, row_numbers=[row])
        for site in sites:
            torch.testing.assert_close(together.activations[site][row, : len(prompt)], alone.activations[site][0])
        torch.testing.assert_close(together.logits[row, : len(prompt)], alone.logits[0])


def test_what_is_selected_is_selected_from_the_whole_batch(model: LanguageModel) -> None:
    with pytest.warns(WorkbenchWarning):
        last = model.forward(_PROMPTS, 3, select=lambda x: x[range(4), [2, 20, 2, 3]]).activations[Site(3)]
        every = model.forward(_PROMPTS, 3).activations[Site(3)]
    assert torch.equal(last, every[range(4), [2, 20, 2, 3]])


def test_what_is_selected_at_each_site_is_selected_in_their_order(model: LanguageModel) -> None:
    seen: list[int] = []
    select = {Site(layer): lambda x, layer=layer: seen.append(layer) or x[:, 0] for layer in (0, 3)}
    with pytest.warns(WorkbenchWarning):
        found = model.forward(_PROMPTS, [0, 2, 3], select=select).activations
    assert seen == [0, 3] and [x.ndim for x in found.values()] == [2, 3, 2]


def test_only_a_pass_that_is_wide_enough_and_a_model_that_minds_are_split(model: LanguageModel) -> None:
    assert not padding_matters(model.backend, 16) and padding_matters(model.backend, 22)
    assert not padding_matters(tiny_model("mistral").backend, 200)
    model.forward([_PROMPTS[0], _PROMPTS[3]], 3)  # would warn, and so fail
