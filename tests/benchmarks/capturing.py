"""Capture at the middle layer of a GPT-2-small-shaped model (124M random weights)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from measure import Row, at_least, at_most, compare

from workbench.activations import capture
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import tiny_tokenizer

__all__ = ["against_hidden_states", "against_hook"]

BATCH, LENGTH, MIDDLE = 8, 128, 6
LONGEST, N_TEXTS = 192, 24


class _Stop(Exception):
    pass


def against_hook(model_name: str, quick: bool) -> list[Row]:
    """Against a bare PyTorch hook that keeps the activation and raises."""
    model = _gpt2_small()
    tokens = _random_tokens([LENGTH] * BATCH)
    block = model.backend.hf_model.transformer.h[MIDDLE]

    def bare() -> torch.Tensor:
        kept: list[torch.Tensor] = []

        def hook(_module: Any, _args: Any, output: Any) -> None:
            kept.append(output[0] if isinstance(output, tuple) else output)
            raise _Stop

        handle = block.register_forward_hook(hook)
        try:
            with torch.no_grad():
                model.backend.hf_model(torch.tensor(tokens), use_cache=False)
        except _Stop:
            pass
        finally:
            handle.remove()
        return kept[0]

    def ours() -> torch.Tensor:
        return capture(model, tokens, [MIDDLE], positions="all").activations.popitem()[1]

    torch.testing.assert_close(ours(), bare().flatten(0, 1), rtol=1e-5, atol=1e-5)
    (timed,) = compare(ours, [bare], 2 if quick else 9)
    note = f"GPT-2 small, layer {MIDDLE} of 12, {BATCH} x {LENGTH} tokens, all positions kept"
    return [at_most("capture at the middle layer, of a bare hook that stops there", timed, 1.05, note)]


def against_hidden_states(model_name: str, quick: bool) -> list[Row]:
    """Against ``output_hidden_states=True`` over texts of mixed lengths, in input order, padded in batches."""
    model = _gpt2_small()
    n = 8 if quick else N_TEXTS
    lengths = np.random.default_rng(0).integers(8, LONGEST + 1, n).tolist()
    tokens = _random_tokens(lengths)

    def plain() -> torch.Tensor:
        found = []
        for start in range(0, n, BATCH):
            batch = tokens[start : start + BATCH]
            width = max(map(len, batch))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in batch])
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch])
            with torch.no_grad():
                out = model.backend.hf_model(ids, attention_mask=mask, output_hidden_states=True)
            found.append(out.hidden_states[MIDDLE + 1][torch.arange(len(batch)), mask.sum(1) - 1])
        return torch.cat(found)

    def ours() -> torch.Tensor:
        return capture(model, tokens, [MIDDLE]).activations.popitem()[1]

    torch.testing.assert_close(ours(), plain(), rtol=1e-4, atol=1e-4)
    (timed,) = compare(ours, [plain], 1 if quick else 5, warm=True)
    texts = f"{n} texts of 8 to {LONGEST} tokens, the last token kept"
    note = f"GPT-2 small, layer {MIDDLE} of 12, {texts}; the other in batches of {BATCH}"
    return [at_least("capture of texts of mixed lengths, over output_hidden_states=True", timed, 2.5, note)]


def _gpt2_small() -> LanguageModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    hf_model = GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False)
    return LanguageModel(HuggingFaceBackend(hf_model), tiny_tokenizer(), "gpt2-small-shape")


def _random_tokens(lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [rng.integers(3, 50_000, length).tolist() for length in lengths]
