"""One block, watched while a model runs: what went in and came out, and which of its modules put out what it added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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
    """A block that is watched while two rows run, equal in their first ``shared`` tokens: ``expected`` [2, pos, d].

    ``shape`` is that of what went in and came out (None: not one activation each, of one shape); where it is the one
    expected, ``leak`` is how far the two rows differ in their shared tokens, relative to them, and ``parts`` are those
    of what is added to the residual stream.
    """

    def __init__(self, block: nn.Module, order: list[Watched], expected: tuple[int, ...], shared: int) -> None:
        self.block, self.order, self.expected, self.shared = block, order, expected, shared
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
        self.shape = tuple(after.shape) if self._in_stream(after) else None
        if self.shape == self.expected:
            self.leak = max(self.leak, distance(*after[:, : self.shared]))
            fired = Counter(name for name, _ in self._put_out)
            outputs = {name: x for name, x in self._put_out if x is not None and fired[name] == 1}
            like = self.order[-2].parts if len(self.order) > 1 else Parts()
            self.parts = _parts(self._before.to(after.device), outputs, self._given, after, like)
        self._given, self._put_out = [], []


def distance(a: Tensor, b: Tensor) -> float:
    """How far activations [..., pos, d] are from others, relative to them, at most positions (rounding may send one
    token to other experts)."""
    a, b = a.float(), b.float()
    return float(((a - b).norm(dim=-1) / a.norm(dim=-1).clamp(min=1e-30)).median())


def _parts(before: Tensor, outputs: dict[str, Tensor], given: list[Tensor], after: Tensor, like: Parts) -> Parts:
    """The two modules whose outputs are added, as in the block before (``like``) or searched for; if there are none,
    the outermost one with before + its output read by another."""
    pair = outputs.get(like.attention or ""), outputs.get(like.mlp or "")
    if pair[0] is None or pair[1] is None or float(misfits(before, pair[0], [pair[1]], after)) > 1:
        like = _searched(before, outputs, after)
    if like.attention is not None and like.mlp is not None:
        return replace(like, sequential=_is_read(before, outputs[like.attention], given))
    alone = next((name for name in _outermost(outputs) if _is_read(before, outputs[name], given)), None)
    return Parts(alone, None, alone is not None)


def _searched(before: Tensor, outputs: dict[str, Tensor], after: Tensor) -> Parts:
    """The outermost two of what modules put out (in that order) with before + one + other = after."""
    names, fired = _outermost(outputs), list(outputs)
    several = [outputs[name] for name in names]
    found = {
        (one, other): float(misfit)
        for one in names
        for other, misfit in zip(names, misfits(before, outputs[one], several, after), strict=True)
        if fired.index(one) < fired.index(other)
    }
    limit = min(1.0, 4 * min(found.values(), default=0.0))
    return next((Parts(*pair) for pair, misfit in found.items() if misfit <= limit), Parts())


def _outermost(names: Iterable[str]) -> list[str]:
    """Names of modules, the outermost first."""
    return sorted(names, key=lambda name: name.count("."))


def _is_read(before: Tensor, attention: Tensor, given: list[Tensor]) -> bool:
    """Whether a module was given before + attention."""
    middle, nothing = before + attention, torch.zeros_like(before)
    return any(torch.equal(x, middle) for x in given) or any(
        float(misfits(before, attention, [nothing], x)) <= 1 for x in given
    )


def meant(dtype: torch.dtype) -> float:
    """From here on a relative difference is no rounding: half the digits."""
    return torch.finfo(dtype).eps ** 0.5


def misfits(before: Tensor, attention: Tensor, mlps: list[Tensor], after: Tensor) -> Tensor:
    """How badly before + attention + mlp is after, for each of several mlps [n]; up to 1 it is rounding.

    The sum is rounded as the block may have done it.  At no position it may be off by 1e-5 (two roundings, if that is
    more) of its terms, and at most positions by more than rounding of what is added, which may be little.
    """
    mlp = torch.stack(mlps)
    sums = (before + attention + mlp, before + (attention + mlp), before + mlp + attention)
    off = torch.stack([(x.float() - after.float()).norm(dim=-1) for x in sums]).amin(0).flatten(1)  # [n, positions]
    added = (attention.float().norm(dim=-1) + mlp.float().norm(dim=-1)).flatten(1)
    terms = added + before.float().norm(dim=-1).flatten()
    least = 1e-30
    worst = (off / terms.clamp(min=least)).amax(1) / max(1e-5, 2 * torch.finfo(before.dtype).eps)
    usual = (off / added.clamp(min=least)).median(1).values / meant(before.dtype)
    return torch.maximum(worst, usual)
