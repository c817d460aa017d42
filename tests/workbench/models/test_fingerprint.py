from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workbench.models.fingerprint import fingerprint
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, with_backend
from workbench.models.tiny import SHAPES, tiny_hf_model, tiny_tokenizer


def test_saving_and_loading_keeps_the_fingerprint(folder: Path, model: LanguageModel) -> None:
    from transformers import AutoModelForCausalLM

    assert fingerprint(AutoModelForCausalLM.from_pretrained(folder)) == model.fingerprint
    assert len(model.fingerprint) == 16


def test_all_back_ends_have_the_same_fingerprint(
    model_on: Callable[[str, str], LanguageModel], backend: str, model: LanguageModel
) -> None:
    on = model_on("llama", backend)
    assert on.fingerprint == model.fingerprint == fingerprint(on.backend.hf_model)


def test_models_of_other_shapes_and_seeds_differ() -> None:
    prints = [fingerprint(tiny_hf_model(shape, seed)) for shape in SHAPES for seed in (0, 1)]
    assert len(set(prints)) == len(prints) and prints[0] == fingerprint(tiny_hf_model("llama"))


@pytest.mark.parametrize(
    "name", ["model.embed_tokens.weight", "model.layers.3.mlp.down_proj.weight", "model.norm.weight"]
)
def test_one_changed_weight_changes_it(name: str) -> None:
    hf_model = tiny_hf_model("llama")
    before = fingerprint(hf_model)
    weight = dict(hf_model.named_parameters())[name]
    with torch.no_grad():
        weight.view(-1)[-1] += 1e-2  # bfloat16 has steps of 0.008 at 1
    assert fingerprint(hf_model) != before


def test_a_changed_configuration_changes_it_and_where_it_was_loaded_from_does_not() -> None:
    hf_model = tiny_hf_model("llama")
    before = fingerprint(hf_model)
    hf_model.config._name_or_path = "/somewhere/else"
    hf_model.config.use_cache = False
    assert fingerprint(hf_model) == before
    hf_model.config.rms_norm_eps = 1e-3
    assert fingerprint(hf_model) != before


@pytest.mark.parametrize("kept_in", ["float32", "bfloat16", "float16"])
def test_a_checkpoint_has_one_fingerprint_in_every_precision_and_on_every_back_end(
    tmp_path: Path, kept_in: str
) -> None:
    hf_model = tiny_hf_model("llama").to(getattr(torch, kept_in))
    hf_model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded = [load_model(tmp_path, dtype=dtype) for dtype in ("auto", "float64", "float32", "bfloat16", "float16")]
    others = [with_backend(LanguageModel.of(model), "nnsight") for model in loaded]
    assert {model.fingerprint for model in [*loaded, *others]} == {fingerprint(hf_model)}
    assert [str(model.dtype) for model in loaded[1:]] == [
        "torch.float64",
        "torch.float32",
        "torch.bfloat16",
        "torch.float16",
    ]


def test_a_float16_model_whose_weights_were_changed_is_another_model(folder: Path) -> None:
    model = load_model(folder, dtype="float16")
    hf_model = model.backend.hf_model
    assert fingerprint(copy.deepcopy(hf_model)) == model.fingerprint
    with torch.no_grad():
        hf_model.model.norm.weight.mul_(1.1)
    assert fingerprint(hf_model) != model.fingerprint


def test_the_precision_of_a_part_of_a_model_is_no_part_of_what_it_is() -> None:
    hf_model = tiny_hf_model("llama")
    before = fingerprint(hf_model)
    hf_model.config.vision_config = {"dtype": "float16", "width": 3}
    in_half = fingerprint(hf_model)
    hf_model.config.vision_config = {"dtype": "float32", "width": 3}
    assert fingerprint(hf_model) == in_half != before


def test_large_weights_are_sampled_evenly_and_a_finetuning_still_shows() -> None:
    hf_model = tiny_hf_model("llama", vocab_size=4000)  # 128,000 entries in the embedding
    before = fingerprint(hf_model)
    with torch.no_grad():
        hf_model.model.embed_tokens.weight.mul_(1.001)
    assert fingerprint(hf_model) != before
