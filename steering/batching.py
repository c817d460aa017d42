"""Many sets of interventions side by side: each acts on its own rows of one batch.

A grid of layers and doses, a steered arm beside its controls, requests that came in together: all are rows of one
batch, and rows with equal prompts share what nothing has steered yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from steering.interventions import Add
from steering.vectors import real_tensor
from workbench.arguments import integer
from workbench.errors import DataError
from workbench.models.interventions import Intervention, Placed, Where, Wrapped
from workbench.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from workbench.models.interventions import Scope


@dataclass(frozen=True, eq=False)
class OnRows(Wrapped):
    """An intervention that acts on the caller's rows from ``start`` on, before ``stop``, and numbers them from 0.

    >>> from workbench.models import Where
    >>> where = Where(torch.tensor([[0], [0]]), torch.tensor([[0], [1]]), torch.tensor([[1], [1]]))
    >>> second = OnRows(Add(torch.ones(2), 3.0, site=0), start=1, stop=2)
    >>> second(torch.zeros(2, 1, 2), where).tolist()
    [[[0.0, 0.0]], [[3.0, 3.0]]]
    """

    start: int
    stop: int

    def acts_on(self, rows: Int[Tensor, " *rows"]) -> Bool[Tensor, " *rows"]:
        """Which of the caller's rows it may change: its own, and of these those that the inner one does."""
        inside, own = (rows >= self.start) & (rows < self.stop), getattr(self.inner, "acts_on", None)
        return inside if own is None else inside & own(torch.where(inside, rows - self.start, 0))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        inside = (where.rows >= self.start) & (where.rows < self.stop)
        here = inside.any(1)
        if not bool(here.any()):
            return activation
        inside, positions = inside[here], where.positions[here]
        own = Where(
            torch.where(inside, positions, -1),
            torch.where(inside, where.rows[here] - self.start, 0),
            where.prompt_lengths[here],
        )
        old = activation[here]
        out = activation.clone()
        out[here] = torch.where(inside[..., None], super().__call__(old, own), old)
        return out


def side_by_side(
    sets: Sequence[Sequence[Intervention]], model: Any, counts: Sequence[int] | int = 1
) -> list[Intervention]:
    """The interventions of a batch whose rows are steered in different ways: the first ``counts[0]`` by ``sets[0]``,
    those that follow by ``sets[1]``, and so on.

    What is added at one site and scope becomes one :class:`Add` with a vector a row, so a grid of layers costs one
    addition a layer, however many its cells; everything else acts through :class:`OnRows`.  Each row gets what it would
    get alone, up to the order of additions.

    Args:
        sets: the interventions of each block of rows; an empty one leaves its rows unsteered.
        model: whose interventions they are; vectors of another one raise :class:`ArtifactError`.
        counts: rows of each block, or of every one.  A per-row vector or multiplier has one entry for each of its
            block's rows.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> grid = [[Add(torch.ones(32), dose=dose, site=layer)] for layer in (1, 2) for dose in (0.1, 0.2, 0.4)]
    >>> [str(each) for each in side_by_side([[], *grid], model)]
    ['Add at blocks.1.hook_resid_post', 'Add at blocks.2.hook_resid_post']
    """
    lengths = [integer(n, "a count", least=0) for n in ([counts] * len(sets) if isinstance(counts, int) else counts)]
    if len(lengths) != len(sets):
        raise DataError(f"{len(sets)} sets of interventions and {len(lengths)} counts: one a set is needed")
    ends = [0, *accumulate(lengths)]
    added: dict[tuple[Any, ...], list[tuple[int, int, Add]]] = {}
    apart: list[Intervention] = []
    for own, start, stop in zip(sets, ends[:-1], ends[1:], strict=True):
        seen: Counter[tuple[Site, Scope]] = Counter()
        placed = [(each.site, _plain(each)) for each in model.placed(own)]
        mixed = {site for site, each in placed if type(each) is not Add}  # where the order of a set's own matters
        for site, each in placed:
            if stop == start:
                continue
            if type(each) is Add and site not in mixed:
                key = (site, each.scope)
                added.setdefault((*key, seen[key]), []).append((start, stop, each))
                seen[key] += 1
            else:
                apart.append(OnRows(Placed(each, site), start, stop))
    merged = [_merged(site, scope, parts, ends[-1]) for (site, scope, _), parts in added.items()]
    return [*merged, *apart]


def _plain(intervention: Intervention) -> Intervention:
    return intervention.inner if isinstance(intervention, Placed) else intervention


def _merged(site: Site, scope: Scope, parts: Sequence[tuple[int, int, Add]], n_rows: int) -> Add:
    """One addition [n_rows, d] of those of the blocks; rows of none have multiplier 0."""
    vectors, multipliers = torch.zeros(n_rows, _width(parts[0][2])), torch.zeros(n_rows)
    for start, stop, add in parts:
        vector, multiplier = torch.as_tensor(real_tensor(add.vector)), torch.as_tensor(add.multiplier)
        n = stop - start
        if any(own.ndim and len(own) not in (1, n) for own in (vector[..., 0], multiplier)):
            raise DataError(f"{add}: it has values for another number of rows than its block, which has {n}")
        vectors[start:stop], multipliers[start:stop] = vector, multiplier
    return Add(vectors, multipliers, site=site, scope=scope)


def _width(add: Add) -> int:
    return int(torch.as_tensor(real_tensor(add.vector)).shape[-1])
