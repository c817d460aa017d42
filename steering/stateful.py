"""Interventions that remember: state in, state out.

A :class:`Stateful` controller is a pure function of the activations and of what it carried over from the positions
before: ``(activations, where, state) -> (activations, state)``.  :class:`Carried` keeps that state between passes, so
that a controller is applied like every other intervention, a whole sequence at once or one step at a time under a
cache.  The state has one row for each of the caller's rows; passes may run any of them in any order.  A pass that
begins at position 0 begins anew, so running a prefix again gives what it gave before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from workbench.errors import RunError
from workbench.models.interventions import Scope, Where
from workbench.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    State = dict[str, Tensor]


class Stateful(Protocol):
    """A controller at one site.

    ``start`` gives the state of ``rows`` sequences before their first position, tensors [rows, ...] by name.
    """

    @property
    def site(self) -> Site: ...

    def start(self, rows: int) -> State: ...

    def steer(
        self, activation: Float[Tensor, "batch pos d"], where: Where, state: State
    ) -> tuple[Float[Tensor, "batch pos d"], State]: ...


class Carried:
    """A :class:`Stateful` controller with its state: an ordinary intervention on ``rows`` sequences.

    Each row's positions must come in order, from 0 or from where the last pass over that row stopped;
    :class:`RunError` for a pass that skips or repeats some, or that lays several rows side by side.

    >>> import torch
    >>> class Count:  # adds the number of positions seen so far
    ...     site = Site(0)
    ...     def start(self, rows): return {"seen": torch.zeros(rows)}
    ...     def steer(self, activation, where, state):
    ...         seen = state["seen"] + activation.shape[1]
    ...         return activation + seen[:, None, None], {"seen": seen}
    >>> count = Carried(Count(), rows=2)
    >>> for position in (0, 1, 0):
    ...     where = Where(torch.tensor([[position]]), torch.tensor([[1]]), torch.tensor([[1]]))
    ...     print(count(torch.zeros(1, 1, 1), where).item(), count.state["seen"].tolist())
    1.0 [0.0, 1.0]
    2.0 [0.0, 2.0]
    1.0 [0.0, 1.0]
    """

    scope = Scope.everywhere()

    def __init__(self, controller: Stateful, rows: int) -> None:
        self.controller, self.state = controller, controller.start(rows)
        self._start, self._rows = self.state, rows
        self._next: Tensor | None = None  # [rows], the position at which each row goes on; -1 after padding

    @property
    def site(self) -> Site:
        """Where it acts."""
        return self.controller.site

    @property
    def fingerprint(self) -> str | None:
        """Of the model that the controller was made for, when it says so."""
        return getattr(self.controller, "fingerprint", None)

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        rows, first = where.rows[:, 0], where.positions[:, 0]
        following = self._in_order(where)
        state = {name: values[rows] for name, values in self.state.items()}
        new = first == 0
        if bool(new.any()):
            for name, values in state.items():
                values[new] = self._start[name][rows[new]]  # a copy already: rows are picked by index
        steered, state = self.controller.steer(activation, where, state)
        self.state = {k: v.index_copy(0, rows, state[k].to(v.dtype)) for k, v in self.state.items()}
        self._next = following
        return steered

    def _in_order(self, where: Where) -> Int[Tensor, " rows"]:
        """Where each row goes on after this pass."""
        import torch

        rows, first, time = where.rows[:, 0], where.positions[:, 0], where.positions.shape[1]
        read, inside = first[:, None] + torch.arange(time, device=first.device), where.positions >= 0
        beside = (where.rows != where.rows[:, :1]) | (inside & (where.positions != read))
        if bool(beside.any()) or int(torch.bincount(rows).max()) > 1:
            raise RunError("a controller with a state takes each sequence as one row, all its positions in order")
        known = first.new_zeros(self._rows) if self._next is None else self._next
        wrong = (first != 0) & (first != known[rows])
        if bool(wrong.any()):
            row, position = int(rows[wrong][0]), int(first[wrong][0])
            raise RunError(
                f"a controller with a state reads positions in order: row {row} is asked for position {position}, and "
                f"can go on at {int(known[row])} or begin at 0"
            )
        return known.index_copy(0, rows, torch.where(inside.all(1), first + time, -1))
