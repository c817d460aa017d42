"""Which probed states are held out: whole groups of layouts, of every grid size alike."""

from __future__ import annotations

import numpy as np

from probes.folds import group_holdout
from workbench.errors import DataError
from workbench.seeding import derive_seed


def held_out_states(
    sizes: np.ndarray, groups: np.ndarray, share: float, seed: int, densities: np.ndarray | None = None
) -> np.ndarray:
    """[states] True for about ``share`` of the states of each grid size (and of each of its wall ``densities``, as near
    as whole groups allow), whole groups, which never span sizes.

    Raises :class:`DataError` unless at least two groups of each size are on either side: a control exchanges states
    of different groups.

    >>> sizes, groups = np.repeat([5, 7], 20), np.arange(40) // 2
    >>> held = held_out_states(sizes, groups, 0.2, seed=0)
    >>> held[sizes == 5].sum(), held[sizes == 7].sum()
    (np.int64(4), np.int64(4))
    """
    held = np.zeros(len(sizes), dtype=bool)
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        own = groups[rows]
        if len(np.unique(own)) > 1:
            strata = None if densities is None or len(np.unique(densities[rows])) < 2 else densities[rows]
            held[rows] = group_holdout(own, share, derive_seed(seed, int(size)), strata)
        least = min(len(np.unique(own[held[rows]])), len(np.unique(own[~held[rows]])))
        if least < 2:
            raise DataError(
                f"size {size}: {len(rows)} states of {len(np.unique(own))} groups of layouts (those that share a state"
                " are one) leave fewer than 2 groups to fit probes on or to test them on: raise probe_layouts or"
                " holdout, add wall densities, or leave this size out"
            )
    return held


def other_layouts(sizes: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """For each row a random row of the same size and another group; a row may serve several times.

    Raises :class:`DataError` where a size has one group only.

    >>> partner = other_layouts(np.repeat([5, 7], 4), np.repeat([0, 1, 2, 3], 2), seed=0)
    >>> (partner // 2).tolist()
    [1, 1, 0, 0, 3, 3, 2, 2]
    """
    rng, partner = np.random.default_rng(seed), np.zeros(len(groups), dtype=np.int64)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        candidates = np.flatnonzero((groups != group) & (sizes == sizes[rows[0]]))
        if not len(candidates):
            raise DataError(f"size {sizes[rows[0]]}: all states are of one group of layouts, so none is another's")
        partner[rows] = rng.choice(candidates, len(rows))
    return partner
