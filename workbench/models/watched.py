"""One block, watched while a model runs: what went in and came out, and which of its modules put out what it added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Parts:
    """Names, within a block, of the modules whose outputs it adds to the residual stream (None: no module's);
    ``sequential``: the MLP reads what attention has written, so there is a resid_mid."""

    attention: str | None = None
    mlp: str | None = None
    sequential: bool = False


def first(output: Any) -> Any:
    """The activation in what a module returned (attention modules return several things)."""
    return output[0] if isinstance(output, tuple | list) else output


class Watched:
    """A block that is watched.  Two rows run, equal in their first ``shared`` tokens.

    ``shape`` of what went in and came out (None: not one activation each, of one shape); ``leak``, by how much the two
    rows differ in their shared tokens, relative to them; ``parts``, of what is added to the residual stream.
    """

    def __init__(self, block: nn.Module, order: list[Watched], shared: int) -> None:
        self.block, self.order, self.shared = block, order, shared
        self.shape: tuple[int, ...] | None = None
        self.leak = 0.0
        self.parts = Parts()
        self._before: Any = None
        self._given: list[Tensor] = []
        self._put_out: list[tuple[str, Any]] = []

    def handles(self) -> Iterator[Any]:
        """Hooks on the block and on all modules within, which the caller removes."""
        yield self.block.register_forward_pre_hook(self._enter, with_kwargs=True)
        for name, module in self.block.named_modules():
            if module is not self.block:
                yield module.register_forward_pre_hook(self._within, with_kwargs=True)
                yield module.register_forward_hook(partial(self._left, name))
        yield self.block.register_forward_hook(self._leave)

    def _enter(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.order.append(self)
        before = args[0] if args else kwargs.get("hidden_states")
        self._before = before.clone() if isinstance(before, Tensor) else None

    def _within(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._before is not None:  # some modules are given the stream as one long row
            shape, size = self._before.shape, self._before.numel()
            read = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.numel() == size]
            self._given += [x.reshape(shape).clone() for x in read if x.shape[-1] == shape[-1]]

    def _left(self, name: str, _module: nn.Module, _args: Any, output: Any) -> None:
        found = first(output)
        self._put_out.append((name, found.clone() if self._in_stream(found) else None))  # some add in place later

    def _in_stream(self, x: Any) -> bool:
        return isinstance(x, Tensor) and self._before is not None and x.shape == self._before.shape

    def _leave(self, _module: nn.Module, _args: Any, output: Any) -> None:
        after = first(output)
        if self._in_stream(after):
            self.shape = tuple(after.shape)
            self.leak = max(self.leak, distance(*after[:, : self.shared]))
            fired = Counter(name for name, _ in self._put_out)
            put_out = [(name, x) for name, x in self._put_out if x is not None and fired[name] == 1]
            self.parts = _parts(self._before, put_out, self._given, after)
        self._given, self._put_out = [], []


def distance(a: Tensor, b: Tensor) -> float:
    """How far activations [..., pos, d] are from others, relative to them, at most positions (rounding may send one
    token to other experts)."""
    a, b = a.float(), b.float()
    return float(((a - b).norm(dim=-1) / a.norm(dim=-1).clamp(min=1e-30)).median())


def _parts(before: Tensor, put_out: list[tuple[str, Tensor]], given: list[Tensor], after: Tensor) -> Parts:
    """The outermost two of what modules put out (in that order) with before + one + other = after; if there are none,
    the outermost one with before + one read by a module."""
    fired = {name: place for place, (name, _) in enumerate(put_out)}
    put_out = sorted(put_out, key=lambda item: item[0].count("."))  # the outermost first
    outputs = [x for _, x in put_out]
    errors = {
        (one[0], other[0]): float(error)
        for one in put_out
        for other, error in zip(put_out, sum_errors(before, one[1], outputs, after), strict=True)
        if fired[one[0]] < fired[other[0]]
    }
    limit = min(rounding(before.dtype), 4 * min(errors.values(), default=0.0))
    for (one, other), error in errors.items():
        if error <= limit:
            return Parts(one, other, _is_read(before, dict(put_out)[one], given))
    alone = next((name for name, x in put_out if _is_read(before, x, given)), None)
    return Parts(alone, None, alone is not None)


def _is_read(before: Tensor, attention: Tensor, given: list[Tensor]) -> bool:
    """Whether a module was given before + attention, rather than before alone."""
    middle, nothing = before + attention, torch.zeros_like(before)
    return any(
        bool(((x - middle).norm(dim=-1) <= 0.5 * (x - before).norm(dim=-1)).all())
        and float(sum_errors(before, attention, [nothing], x)) <= rounding(x.dtype)
        for x in given
    )


def meant(dtype: torch.dtype) -> float:
    """From here on a relative difference is no rounding: half the digits."""
    return torch.finfo(dtype).eps ** 0.5


def rounding(dtype: torch.dtype) -> float:
    """How far a sum of a few terms may be off by rounding alone, relative to the terms."""
    return max(1e-5, 2 * torch.finfo(dtype).eps)


def sum_errors(before: Tensor, attention: Tensor, mlps: list[Tensor], after: Tensor) -> Tensor:
    """How far before + attention + mlp is from after, for each of several mlps [n]: relative to the norms of the terms,
    at the worst position."""
    if not mlps:
        return torch.empty(0)
    before, attention, mlp = before.float(), attention.float(), torch.stack(mlps).float()
    off = (before + attention - after.float() + mlp).norm(dim=-1)
    terms = before.norm(dim=-1) + attention.norm(dim=-1) + mlp.norm(dim=-1)
    return (off / terms.clamp(min=1e-30)).flatten(1).amax(1)
