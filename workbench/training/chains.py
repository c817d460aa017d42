"""Prompt -> completion pairs in a sequence each: tokens, padding and loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.errors import DataError
from workbench.models.language_model import LanguageModel
from workbench.training.branches import Pair


@dataclass(frozen=True)
class Row:
    """Tokens of a pair and how many of them are its prompt's."""

    tokens: list[int]
    prompt: int


def chains(model: LanguageModel, pairs: Sequence[Pair]) -> list[Row]:
    """The tokens of each pair, the end token behind it; raises :class:`DataError` for an empty completion."""
    end = [] if model.tokenizer.eos_token_id is None else [model.tokenizer.eos_token_id]
    rows = []
    for pair, prompt in zip(pairs, model.encode_all([pair.prompt for pair in pairs]), strict=True):
        completion = model.encode_continuation(pair.completion, after=pair.prompt)
        if not completion:
            raise DataError(f"a pair has an empty completion: {str(pair.prompt)[:60]!r}")
        rows.append(Row([*prompt, *completion, *end], len(prompt)))
    return rows


def chain_loss(adapted: Any, batch: Sequence[Row], device: torch.device) -> Tensor:
    """Mean cross entropy of the completions of a batch."""
    tokens, mask, targets = _padded(batch, device)
    logits = adapted(input_ids=tokens, attention_mask=mask, use_cache=False).logits  # [batch pos vocab]
    targets = targets.to(logits.device)  # of several devices, the last
    said = targets >= 0  # [batch pos]
    return torch.nn.functional.cross_entropy(logits[said].float(), targets[said])


def _padded(batch: Sequence[Row], device: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens and mask [batch, pos], padded on the right; targets [batch, pos]: the next token where it is the
    completion's, else -100."""
    width = max(len(row.tokens) for row in batch)
    tokens = torch.zeros(len(batch), width, dtype=torch.long)
    mask, targets = torch.zeros_like(tokens), torch.full_like(tokens, -100)
    for i, row in enumerate(batch):
        known = torch.tensor(row.tokens)
        tokens[i, : len(known)], mask[i, : len(known)] = known, 1
        targets[i, row.prompt - 1 : len(known) - 1] = known[row.prompt :]
    return tokens.to(device), mask.to(device), targets.to(device)
