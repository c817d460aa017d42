"""Frozen parts, checked: no gradient reaches them and not a bit of their weights changes; and copies that learn."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from workbench.errors import RunError
from workbench.models.sequence_model import SequenceModel


def trainable_copy(model: SequenceModel, name: str) -> SequenceModel:
    """A model of its own weights, all of which can learn; ``model`` stays as it is.

    >>> from workbench.models.tiny import tiny_sequence_model
    >>> model = tiny_sequence_model()
    >>> copied = trainable_copy(model, "copy")
    >>> copied.fingerprint == model.fingerprint, all(p.requires_grad for p in copied.backend.hf_model.parameters())
    (True, True)
    """
    return SequenceModel(copy.deepcopy(model.backend.hf_model).requires_grad_(True), name)


def weights_digest(module: nn.Module) -> str:
    """16 hex digits of every bit of the weights and buffers.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 2)
    >>> before = weights_digest(layer)
    >>> with torch.no_grad():
    ...     _ = layer.bias.add_(1e-3)
    >>> before == weights_digest(layer)
    False
    """
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def frozen(modules: Mapping[str, nn.Module]) -> Iterator[Callable[[], None]]:
    """Freeze modules, by name, inside the block.  Yields a quick check for gradients, to be called at will; on leaving,
    gradients and weights are checked.  Raises :class:`RunError` where something reached a frozen part.

    >>> import torch
    >>> part, learns = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    >>> with frozen({"base": part}) as check:
    ...     part(learns(torch.ones(1, 2))).sum().backward()
    ...     check()
    >>> part.weight.grad is None, learns.weight.grad is None, part.weight.requires_grad
    (True, False, True)
    """
    parameters = {f"{part}.{n}": p for part, module in modules.items() for n, p in module.named_parameters()}
    before = {part: weights_digest(module) for part, module in modules.items()}
    wanted = {name: p.requires_grad for name, p in parameters.items()}
    for p in parameters.values():
        p.grad = None  # what an earlier training left there is no leak
        p.requires_grad_(False)

    def check() -> None:
        leaked = [name for name, p in parameters.items() if p.grad is not None]
        if leaked:
            raise RunError(f"a gradient reached a frozen part: {leaked[0]} ({len(leaked)} of its tensors)")

    try:
        yield check
        check()
        changed = [part for part, module in modules.items() if weights_digest(module) != before[part]]
        if changed:
            raise RunError(f"a frozen part changed: the weights of {changed[0]} are not those of the start")
    finally:
        for name, p in parameters.items():
            p.requires_grad_(wanted[name])
