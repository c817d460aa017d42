"""What blocks are called with beside the activations, and which of it belongs to the rows of the batch.

A hook may widen a batch in the middle of a pass (see :mod:`workbench.models.alike`); masks, positions and whatever else
has an entry a row must then be repeated for the blocks behind.  Which those are is seen in passes over batches of two
sizes: tensors whose first dimension follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from workbench.models.blocks import find_blocks
from workbench.models.contract import once, random_inputs

_HIDDEN = "hidden_states"


@contextmanager
def following(backend: Any, rows: int, origins: Mapping[int, Tensor]) -> Iterator[None]:
    """The blocks of ``origins`` with what they get of a batch of ``rows`` repeated for the rows that enter them."""
    paths = _of_the_batch(backend.hf_model) if origins else frozenset()
    handles = []
    try:
        for layer, origin in origins.items():
            hook = _repeating(rows, origin, paths)
            handles.append(backend.blocks[layer].module.register_forward_pre_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _repeating(rows: int, origin: Tensor, paths: frozenset[Any]) -> Any:
    def repeat(path: Any, x: Tensor) -> Tensor:
        if path not in paths or not x.ndim or x.shape[0] != rows:
            return x  # a first dimension of 1 is for all rows
        return x.expand(len(origin), *x.shape[1:]) if rows == 1 else x[origin.to(x.device)]

    def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        named: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        found = {name: x if name in (0, _HIDDEN) else _mapped(repeat, (name,), x) for name, x in named.items()}
        return tuple(found[i] for i in range(len(args))), {name: found[name] for name in kwargs}

    return before


def _mapped(change: Callable[[Any, Tensor], Tensor], path: Any, value: Any) -> Any:
    """A value with the tensors in its tuples, lists and dicts changed."""
    if isinstance(value, Tensor):
        return change(path, value)
    if type(value) in (tuple, list):
        return type(value)(_mapped(change, (*path, i), x) for i, x in enumerate(value))
    if type(value) is dict:
        return {key: _mapped(change, (*path, key), x) for key, x in value.items()}
    return value


@once
def _of_the_batch(hf_model: Any) -> frozenset[Any]:
    """Which tensors that blocks get have one entry a row: their first dimension follows the number of rows."""
    seen = [_first_dimensions(hf_model, rows) for rows in (3, 5)]
    return frozenset(path for path in seen[0].keys() & seen[1].keys() if (seen[0][path], seen[1][path]) == (3, 5))


def _first_dimensions(hf_model: Any, rows: int) -> dict[Any, int]:
    found: dict[Any, int] = {}

    def see(path: Any, x: Tensor) -> Tensor:
        found[path] = x.shape[0] if x.ndim else 0
        return x

    def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        for name, x in named.items():
            _mapped(see, (name,), x)

    tokens = random_inputs(hf_model, rows, 7)
    mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
    mask[:, -1] = 0  # padding, so that there is a mask to see
    positions = torch.arange(7, device=tokens.device).repeat(rows, 1)
    blocks = find_blocks(hf_model)
    handles = [block.module.register_forward_pre_hook(before, with_kwargs=True) for block in blocks]
    try:
        hf_model(tokens, attention_mask=mask, position_ids=positions, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return found
