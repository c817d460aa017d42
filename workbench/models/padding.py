"""Whether rows of different lengths may stand in one padded pass, found by trying it.

The tokens behind a row's end change nothing before them in a causal model.  How many there are may: some models turn
to other rotary embeddings beyond a length (LongRoPE).  Such rows are run apart, and put together afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from workbench.models.backend import Backend
from workbench.models.contract import on_trial, once, random_inputs
from workbench.models.watched import distance, meant
from workbench.models.widths import special_widths
from workbench.sites import Site

_SHORT = 4


def padding_matters(backend: Backend, width: int) -> bool:
    """Whether a short row comes out otherwise in a pass of ``width`` tokens than alone.

    Tried once beyond the largest number below ``width`` in the model's configuration, where its ways may change.

    >>> from workbench.models.tiny import tiny_model
    >>> padding_matters(tiny_model("llama").backend, 200)
    False
    """
    hf_model = backend.hf_model
    reach = max((n for n in special_widths(hf_model) if _SHORT < n < width), default=0)
    tried = _tried(hf_model)
    if reach and reach not in tried:
        row = random_inputs(hf_model, 1, reach + 1)
        with on_trial(hf_model):
            alone, padded = (_last_stream(backend, tokens)[:, :_SHORT] for tokens in (row[:, :_SHORT], row))
        tried[reach] = distance(alone, padded) > meant(hf_model.dtype)
    return tried.get(reach, False)


def by_length(rows: Sequence[Any]) -> list[list[int]]:
    """Indices of the rows of each length.

    >>> by_length(["ab", "c", "de"])
    [[0, 2], [1]]
    """
    groups: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(len(row), []).append(index)
    return list(groups.values())


def together(parts: Sequence[Tensor], groups: Sequence[list[int]]) -> Tensor:
    """What was computed of groups of rows as one batch, zeros where some are shorter.

    >>> import torch
    >>> together([torch.ones(1, 2), torch.ones(1, 3)], [[1], [0]]).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]
    """
    sizes = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    whole = parts[0].new_zeros(sum(map(len, groups)), *sizes)
    for part, rows in zip(parts, groups, strict=True):
        for row, x in zip(rows, part, strict=True):
            whole[row][tuple(slice(size) for size in x.shape)] = x
    return whole


@once
def _tried(_hf_model: Any) -> dict[int, bool]:
    return {}


def _last_stream(backend: Backend, tokens: Tensor) -> Tensor:
    last = Site(backend.hf_model.config.get_text_config().num_hidden_layers - 1)
    found: list[Tensor] = []

    def see(activation: Tensor) -> Tensor:
        found.append(activation.clone())
        return activation

    backend.forward(tokens, hooks={last: see}, stop_after=last.layer, logits=False)
    return found[0]
