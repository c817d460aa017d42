"""Targets that are more than one label a row, such as a map: what a kind of them is, and how controls compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from probes.cluster_sums import ClusterSums
from workbench.errors import SpecError, did_you_mean

# The mean over columns of sum(hits) / sum(counts), both [rows, columns]: accuracy has one column, balanced accuracy one
# a class.
Ratio = tuple[np.ndarray, np.ndarray]


class Scoring(Protocol):
    """What a score follows of the spec of a sweep."""

    @property
    def controls(self) -> tuple[str, ...]: ...

    @property
    def per_class(self) -> bool: ...

    @property
    def resamples(self) -> int: ...


@dataclass(frozen=True)
class Structured:
    """A kind of target.

    ``probe``: its probe's name in a sweep file; ``make(params, labels)`` makes an unfitted one for labels (without any:
    to see that it can be made).  ``read(labels, params)``: the targets [rows, ...] that the texts stand for.
    ``decode(fitted, x)``: what a fitted probe says of rows [rows, features].  ``score(true, runs, groups, training,
    spec, seed)``: the rows of the results, from what was decoded for each control ("none": by the probe itself).
    ``metrics``: the names of its scores, or patterns of them.  ``kinds(targets)`` [rows]: of each kind (maps of one
    size) a like share is held out, and controls exchange rows within it.
    ``majority(training, true)``: what the control says, unless ``score`` sees to it.
    """

    probe: str
    make: Callable[[Mapping[str, Any], Sequence[str]], Any]
    read: Callable[[Sequence[str], Mapping[str, Any]], np.ndarray]
    decode: Callable[[Any, np.ndarray], np.ndarray]
    score: Callable[..., pd.DataFrame]
    kinds: Callable[[np.ndarray], np.ndarray]
    metrics: tuple[str, ...]
    majority: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


def check_params(name: str, params: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise :class:`SpecError` for a parameter that a probe does not have."""
    for param in params:
        if param not in known:
            raise SpecError(f"probe {name!r} has no parameter {param!r}{did_you_mean(param, known)}")


def lead(ours: Ratio, theirs: Ratio, groups: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """The difference of two ratios on the same rows, with its 95% interval from resamples of whole groups.

    >>> right, ones = np.array([[1.0], [1.0], [0.0]]), np.ones((3, 1))
    >>> lead((right, ones), (0 * right, ones), np.array([0, 0, 0]), 10, 0)["difference"].round(2)
    np.float64(0.67)
    """
    width = ours[0].shape[1]
    sums = ClusterSums(np.concatenate([*ours, *theirs], 1), groups, resamples, seed)

    def difference(s: np.ndarray) -> np.ndarray:
        parts = [s[..., k * width : (k + 1) * width] for k in range(4)]
        return np.nanmean(parts[0] / parts[1], -1) - np.nanmean(parts[2] / parts[3], -1)

    found = sums.interval(difference)
    names = ("difference", "difference_low", "difference_high")
    return dict(zip(names, (np.float64(v) for v in (found.estimate, found.low, found.high)), strict=True))
