"""Files that do not hold the weights that a model needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.errors import ModelError, WorkbenchWarning
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model

Weights = dict[str, torch.Tensor]


@pytest.fixture
def edited(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the tiny Llama's folder, its weights changed by a function and its configuration by fields."""

    def edit(change: Callable[[Weights], Any] = lambda weights: None, **fields: Any) -> Path:
        path = shutil.copytree(folder, tmp_path / "edited")
        weights = load_file(path / "model.safetensors")
        change(weights)
        save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | fields))
        return path

    return edit


def _refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_weights_are_named(edited: Callable[..., Path]) -> None:
    line = _refused(edited(lambda weights: weights.pop("lm_head.weight")))
    assert line.endswith("weights are missing from its files: lm_head.weight")


def test_a_configuration_with_more_layers_than_the_file_is_refused(edited: Callable[..., Path]) -> None:
    line = _refused(edited(num_hidden_layers=6))
    assert "missing from its files: model.layers.4.input_layernorm.weight, " in line and line.endswith("and 15 more")


def test_a_configuration_with_fewer_layers_than_the_file_is_refused(edited: Callable[..., Path]) -> None:
    line = _refused(edited(num_hidden_layers=3))
    assert "leaves out layers or experts that its files have: model.layers.3.input_layernorm.weight, " in line


def test_weights_of_another_shape_are_named_with_both(edited: Callable[..., Path]) -> None:
    assert "model.layers.0.mlp.down_proj.weight (32x64 where 32x48 is needed)" in _refused(edited(intermediate_size=48))


def test_weights_that_the_model_has_no_place_for_are_named_and_left_out(
    edited: Callable[..., Path], model: LanguageModel
) -> None:
    path = edited(lambda weights: weights.update({"score.weight": torch.ones(2)}))
    with pytest.warns(WorkbenchWarning, match=r"no place for are left out: score\.weight"):
        loaded = load_model(path)
    assert loaded.fingerprint == model.fingerprint


def test_tied_weights_are_not_missed(edited: Callable[..., Path]) -> None:
    path = edited(lambda weights: weights.pop("lm_head.weight"), tie_word_embeddings=True)
    hf_model = load_model(path).backend.hf_model
    assert hf_model.lm_head.weight is hf_model.model.embed_tokens.weight


def test_layers_that_predict_further_tokens_are_no_cut(edited: Callable[..., Path]) -> None:
    with pytest.warns(WorkbenchWarning, match=r"left out: model\.layers\.3"):
        assert load_model(edited(num_hidden_layers=3, num_nextn_predict_layers=1)).n_layers == 3


@pytest.mark.parametrize("broken", ['{"unfinished', '{"a": 1}'])
def test_a_tokenizer_that_cannot_be_read_is_one_line(edited: Callable[..., Path], broken: str) -> None:
    path = edited()
    (path / "tokenizer.json").write_text(broken)
    assert _refused(path).startswith(f"cannot read the tokenizer of '{path}': ")


def test_a_model_that_is_not_in_memory_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"41 tensors are not in memory .*: load the model with its weights"):
        load_model(folder, device_map={"": "meta"})
