"""Tiny seeded models of the common shapes, for tests, examples and checks: no download, made in milliseconds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
import transformers

from workbench.errors import ModelError, check_known
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.sequence import SequenceConfig, SequenceModelForActions
from workbench.models.sequence_model import SequenceModel
from workbench.models.tokenizers import word_tokenizer

_COMMON = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 256}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _COMMON | {"intermediate_size": 64, "num_key_value_heads": 4}),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 256}),
    "qwen2": ("Qwen2Config", _COMMON | {"intermediate_size": 64, "num_key_value_heads": 2}),
    "mistral": ("MistralConfig", _COMMON | {"intermediate_size": 64, "num_key_value_heads": 2, "sliding_window": 6}),
}


def tiny_tokenizer() -> Any:
    """The letters a to z as words, and characters for all else."""
    return word_tokenizer([" ".join("abcdefghijklmnopqrstuvwxyz")], max_integer=9)


def tiny_hf_model(shape: str, seed: int = 0, vocab_size: int | None = None) -> Any:
    """An untrained Hugging Face model of a shape in :data:`SHAPES`, in float32, with weights large enough to matter."""
    check_known(shape, SHAPES, "shape", ModelError)
    name, options = SHAPES[shape]
    config = getattr(transformers, name)(
        vocab_size=vocab_size or len(tiny_tokenizer()),
        initializer_range=0.15,
        bos_token_id=1,
        eos_token_id=2,
        **options,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.AutoModelForCausalLM.from_config(config).eval()


def tiny_model(shape: str = "llama", seed: int = 0) -> LanguageModel:
    """A tiny model on the ``hf`` back end."""
    return LanguageModel(HuggingFaceBackend(tiny_hf_model(shape, seed)), tiny_tokenizer(), f"tiny-{shape}")


def tiny_model_with_sinks(seed: int = 0) -> LanguageModel:
    """A tiny Llama that makes attention sinks of its BOS, hence of the first position, and of every ``z``.

    >>> from workbench.models.sinks import sinks_in
    >>> sinks_in(tiny_model_with_sinks(), ["a b z c"])
    [[0, 3]]
    """
    hf_model, tokenizer = tiny_hf_model("llama", seed), tiny_tokenizer()
    sinks = [tokenizer.bos_token_id, *(n for n in range(len(tokenizer)) if tokenizer.decode([n]).strip() == "z")]
    with torch.no_grad():
        hf_model.get_input_embeddings().weight[sinks] *= 200
    return LanguageModel(HuggingFaceBackend(hf_model), tokenizer, "tiny-llama-with-sinks")


def tiny_sequence_model(seed: int = 0, field_sizes: tuple[int, ...] = (5, 5), world: Any = None) -> SequenceModel:
    """A tiny sequence model that reads observations; ``world`` (a Pinpad) gives it its fields."""
    config = SequenceConfig(
        field_sizes=world.field_sizes if world else field_sizes, hidden_size=16, intermediate_size=32,
        num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=world.horizon if world else 16,
        world=asdict(world) if world else None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SequenceModelForActions(config)
        for parameter in model.parameters():
            parameter.data.normal_(std=0.3)
    return SequenceModel(model.eval().requires_grad_(False), "tiny-sequence")
