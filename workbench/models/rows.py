"""One row at a time through a model, as anyone would run it: no padding, no mask, the model's own cache or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from workbench.models.backend import Backend
from workbench.models.interventions import Intervention, Where, hooks_for


def own_cache(backend: Backend) -> DynamicCache:
    """An empty cache of the kind that the model makes for itself, recurrent state included."""
    return DynamicCache(config=backend.hf_model.config)


def run_row(
    backend: Backend,
    tokens: list[int],
    interventions: Sequence[Intervention] = (),
    *,
    row: int = 0,
    start: int = 0,
    prompt_length: int | None = None,
    cache: Any = None,
    logits: bool = True,
) -> Tensor | None:
    """Logits [pos, vocab] of new tokens of the caller's ``row``, from the absolute position ``start`` on.

    ``cache`` holds the tokens before them; ``prompt_length`` is by default that of a row that is all prompt.
    """
    new = torch.tensor([tokens], device=backend.device)
    positions = torch.arange(start, start + len(tokens), device=backend.device)[None]
    length = start + len(tokens) if prompt_length is None else prompt_length
    where = Where(positions, torch.full_like(positions, row), torch.full_like(positions, length))
    out = backend.forward(
        new,
        positions=positions if start else None,  # some models count from 0 whatever their cache holds
        cache=cache,
        hooks=hooks_for(interventions, where),
        logits=logits,
    )
    return None if out is None else out[0]
