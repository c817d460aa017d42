"""Weights in 8 and 4 bits, on the CPU, by bitsandbytes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import transformers

from tests.workbench.models.gguf_writing import tiny_hf, tiny_vocabulary, write_gguf
from workbench.errors import MissingExtraError, ModelError, SpecError
from workbench.models import LanguageModel, load_model, with_backend


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fields = {"vocab_size": 288, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 64}  # fmt: skip
    file = tmp_path_factory.mktemp("model") / "m.gguf"
    return write_gguf(file, tiny_hf(transformers.LlamaConfig, **fields), "llama", tiny_vocabulary(288))


@pytest.fixture(scope="module", params=[("8bit", 0.1), ("4bit", 0.6)])
def held(request: pytest.FixtureRequest, path: Path) -> tuple[LanguageModel, LanguageModel, float]:
    """The model as it is, in so many bits, and how far off its logits may be, as a share of their spread."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed (the extra quantized)")
    kind, far = request.param
    return load_model(path, device="cpu"), load_model(path, device="cpu", quantized=kind), far


def test_a_model_in_fewer_bits_is_near_the_model_smaller_and_one_of_its_own(
    held: tuple[LanguageModel, LanguageModel, float],
) -> None:
    plain, small, far = held
    wanted, found = (m.forward(["the cat sat"], [1], logits=True) for m in (plain, small))
    assert 0 < (found.logits - wanted.logits).std() / wanted.logits.std() < far
    bytes_of = [m.backend.hf_model.model.layers[0].mlp.up_proj.weight.nbytes for m in (plain, small)]
    assert bytes_of[1] <= bytes_of[0] / 4
    assert small.fingerprint != plain.fingerprint and small.config.made_from == plain.config.made_from


def test_it_is_read_at_its_sites_and_steered_in_its_residual_stream(
    held: tuple[LanguageModel, LanguageModel, float], add: type
) -> None:
    _, small, _ = held
    from workbench.sites import Site

    push = torch.full((small.d_model,), 3.0)
    plain = small.forward(["the cat"], [0]).activations["blocks.0.hook_resid_post"]
    moved = small.forward(["the cat"], [0], [add(Site(0), push)]).activations["blocks.0.hook_resid_post"]
    assert torch.allclose(moved[:, -1] - plain[:, -1], push.expand_as(moved[:, -1]), atol=1e-4)
    assert len(small.generate(["the"], max_new_tokens=3, temperature=0)[0][0].tokens) <= 3


@pytest.mark.parametrize("backend", ["nnsight", "transformer_lens"])
def test_other_back_ends_refuse_it(held: tuple[LanguageModel, LanguageModel, float], backend: str) -> None:
    with pytest.raises(ModelError, match=r"8 or 4 bits can be read and steered on the hf back end only"):
        with_backend(held[1], backend)


def test_finetuning_it_is_refused_before_anything_is_trained(
    held: tuple[LanguageModel, LanguageModel, float], tmp_path: Path
) -> None:
    from workbench.training.lora import LoRA, Pair, finetune

    with pytest.raises(ModelError, match="not be finetuned"):
        finetune(held[1], [Pair("a", "b")], tmp_path / "adapter", LoRA(rank=2))


def test_without_bitsandbytes_the_error_names_the_extra(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"'bitsandbytes'.*activation-workbench\[quantized\]"):
        load_model(path, quantized="8bit")


def test_another_number_of_bits_is_one_line(path: Path) -> None:
    with pytest.raises(SpecError, match=r"unknown way to quantize '3bit'; did you mean '(8|4)bit'"):
        load_model(path, quantized="3bit")
