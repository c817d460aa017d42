"""Steered greedy generation by a small Llama with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure import Row, at_least, at_most, compare

from steering.interventions import Add
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.tiny import tiny_tokenizer

__all__ = ["against_hugging_face", "against_others"]

ROWS, NEW, LAYER, LONG = 16, 48, 4, 256
EQUAL, MIXED = [48] * ROWS, np.random.default_rng(0).integers(12, 85, ROWS).tolist()
SHAPE = "Llama of 8 layers x 256, vocabulary 8192"


def against_hugging_face(model_name: str, quick: bool) -> list[Row]:
    """Against ``generate`` of Hugging Face without steering, on prompts of one length and of several."""
    model, vector = _small_llama()
    rows = []
    for kind, lengths in (("one length", EQUAL), ("mixed lengths", MIXED)):
        prompts = _prompts(lengths)
        ids, mask = _pad_left(prompts)
        plain = _plain(model, ids, mask)
        _check(_steered(model, prompts, 0 * vector)(), plain())
        (timed,) = compare(_steered(model, prompts, vector), [plain], 3 if quick else 15)
        note = f"{SHAPE}; {ROWS} prompts of {min(lengths)} to {max(lengths)} tokens, {NEW} new tokens, greedy"
        name = f"steered generation from prompts of {kind}, of unsteered Hugging Face generate"
        rows.append(at_most(name, timed, 1.05, note))
    return rows


def against_others(model_name: str, quick: bool) -> list[Row]:
    """Against TransformerLens and nnsight steering the same generation in their own ways.

    Twice: greedy from as many prompts, and sampling completions of one prompt, as EAST does.
    """
    model, vector = _small_llama()
    prompts = _prompts(EQUAL)
    ours = _steered(model, prompts, vector)
    for way in _others(model, torch.tensor(prompts), vector, False).values():
        _check(ours(), way())
    note = f"{SHAPE}; {ROWS} prompts of {EQUAL[0]} tokens, {NEW} new tokens, greedy, same tokens out"
    rows = _over(model, prompts, vector, 1, 2 if quick else 7, "from several prompts", note)
    note = f"{SHAPE}; {ROWS} completions of a prompt of {LONG} tokens, {NEW} new tokens, sampled"
    return rows + _over(model, _prompts([LONG]), vector, ROWS, 2 if quick else 7, "of one prompt", note)


def _over(
    model: LanguageModel, prompts: list[list[int]], vector: torch.Tensor, n: int, repeats: int, what: str, note: str
) -> list[Row]:
    ids = torch.tensor(prompts).repeat_interleave(n, 0)
    ways = _others(model, ids, vector, n > 1)
    times = compare(_steered(model, prompts, vector, n), list(ways.values()), repeats)
    return [
        at_least(f"steered generation {what}, over {name}", timed, 1.2, note)
        for name, timed in zip(ways, times, strict=True)
    ]


def _small_llama() -> tuple[LanguageModel, torch.Tensor]:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=256, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=8,
        intermediate_size=688, max_position_embeddings=512, initializer_range=0.1, pad_token_id=0, bos_token_id=1,
        eos_token_id=None,
    )  # fmt: skip
    hf_model = LlamaForCausalLM(config).eval().requires_grad_(False)
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None  # every row is to have all its tokens
    return LanguageModel(HuggingFaceBackend(hf_model), tokenizer, "small-llama"), torch.randn(config.hidden_size)


def _prompts(lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [rng.integers(3, 8192, length).tolist() for length in lengths]


def _pad_left(prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in prompts])
    return ids, torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])


Way = Callable[[], list[list[int]]]


def _steered(model: LanguageModel, prompts: list[list[int]], vector: torch.Tensor, n: int = 1) -> Way:
    def run() -> list[list[int]]:
        steer = Add(vector, site=LAYER)
        found = model.generate(prompts, n, max_new_tokens=NEW, temperature=float(n > 1), interventions=[steer])
        return [completion.tokens for row in found for completion in row]

    return run


def _plain(model: LanguageModel, ids: torch.Tensor, mask: torch.Tensor) -> Way:
    def run() -> list[list[int]]:
        out = model.backend.hf_model.generate(ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False)
        return out[:, ids.shape[1] :].tolist()

    return run


def _others(model: LanguageModel, ids: torch.Tensor, vector: torch.Tensor, sample: bool) -> dict[str, Way]:
    return {
        "TransformerLens": _transformer_lens(model, ids, vector, sample),
        "nnsight": _nnsight(model, ids, vector, sample),
    }


def _transformer_lens(model: LanguageModel, ids: torch.Tensor, vector: torch.Tensor, sample: bool) -> Way:
    """``bridge.generate`` under ``bridge.hooks``, as TransformerLens documents it."""
    bridge = with_backend(model, "transformer_lens").backend.bridge

    def hook(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation = activation.clone()
        activation[:, -1] += vector
        return activation

    def run() -> list[list[int]]:
        with torch.no_grad(), bridge.hooks(fwd_hooks=[(f"blocks.{LAYER}.hook_out", hook)]):
            out = bridge.generate(
                ids, max_new_tokens=NEW, do_sample=sample, stop_at_eos=False, return_type="tokens", verbose=False
            )
        return out[:, ids.shape[1] :].tolist()

    return run


def _nnsight(model: LanguageModel, ids: torch.Tensor, vector: torch.Tensor, sample: bool) -> Way:
    """``generate`` with a loop over ``tracer.iter``, as nnsight documents it."""
    import nnsight

    from workbench.models.shared_weights import copy_sharing_weights

    traced = nnsight.TransformersModel(
        copy_sharing_weights(model.backend.hf_model),
        tokenizer=model.tokenizer,
        task="text-generation",
        dispatch=True,
        device="cpu",
    )

    def run() -> list[list[int]]:
        with torch.no_grad(), traced.generate(ids, max_new_tokens=NEW, do_sample=sample, top_k=0) as tracer:
            for _step in tracer.iter[:NEW]:
                traced.model.layers[LAYER].output[:, -1] += vector
            out = nnsight.save(tracer.result)
        return out[:, ids.shape[1] :].tolist()

    return run


def _check(ours: list[list[int]], other: list[list[int]]) -> None:
    """Both ways must say the same (a rounding that tips one argmax sends the rest of its row elsewhere)."""
    same = sum(a == b for a, b in zip(ours, other, strict=True))
    if same < 0.9 * len(ours):
        raise AssertionError(f"only {same} of {len(ours)} rows agree: the two ways do not do the same thing")
