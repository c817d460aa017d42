"""Minimum description length of labels by online coding (Voita and Titov 2020, section 3.2).

Accuracy says whether a property can be read; description length also says how easily, with how much data.  Labels are
sent in blocks: the first with a uniform code of log2(classes) bits a label, each later block with the probabilities of
a probe fitted on all blocks before it.  A property that few rows suffice to read has a short code; random labels cost
as much as the uniform code, or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from probes._fitting import checked_features, checked_labels, fit_clone, is_classifier, predictions_of
from probes.controls import shuffled_labels
from workbench.errors import DataError, SpecError
from workbench.seeding import derive_seed
from workbench.statistics import Interval, cluster_bootstrap

FRACTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
"""Ends of the blocks as shares of the rows, the paper's."""
_UNIFORM_SHARE = 1e-6  # of each code, so that a label the probe held impossible costs 20 bits and not infinity


@dataclass(frozen=True)
class OnlineCode:
    """Lengths in bits of the code of all labels.

    ``table``: [control, codelength, low, high, uniform, compression, bits_per_row], control "none" being the true
    labels, "shuffled" the mean over permutations of them; compression = uniform / codelength, 1 where nothing is read.
    The interval is that of the rows coded given the fits and their order, clustered by group.  ``blocks``: [start, end,
    bits, uniform] of the true labels, in rows of the code's order.
    """

    table: pd.DataFrame
    blocks: pd.DataFrame

    def codelength(self, control: str = "none") -> Interval:
        """The code's length in bits, with its interval."""
        lines = self.table[self.table["control"] == control]
        if not len(lines):
            raise SpecError(f"the table has no control {control!r}; valid: {', '.join(self.table['control'])}")
        return Interval(*(float(lines.iloc[0][name]) for name in ("codelength", "low", "high")))


def online_code(
    probe: Any,
    X: Any,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    fractions: Sequence[float] = FRACTIONS,
    first_groups: int = 2,
    seed: int = 0,
    shuffles: int = 1,
    resamples: int = 2000,
) -> OnlineCode:
    """Online code of the classes of rows, given their features.

    Groups are sent whole, in random order, and a block ends with the group that reaches its share of the rows, so no
    group is on both sides of a fit.  Every code is mixed with a millionth of the uniform one.

    Args:
        probe: a scikit-learn classifier with ``predict_proba``, cloned for each block.
        X: [rows, features].
        y: [rows] classes.
        groups: [rows].
        fractions: shares of the rows at which blocks end, rising to 1.
        first_groups: groups in the first block at least; it is prolonged until it holds every class too.
        seed: of the order, the control and the resamples.
        shuffles: permutations (:func:`~probes.controls.shuffled_labels`) that are coded as the control; 0 for none.
        resamples: of the bootstrap over groups.

    Returns:
        An :class:`OnlineCode`, in bits.

    Raises:
        SpecError: for regressors and bad fractions.
        DataError: for unusable data, and where the first block would be all rows.

    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> code = online_code(LogisticRegression(), X, X[:, 0] > 0, groups=np.arange(400) // 4)
    >>> bool(code.codelength().high < 200 < 350 < code.codelength("shuffled").low)
    True
    """
    labels = checked_labels(y)
    group_of = np.unique(checked_labels(groups, len(labels), "groups"), return_inverse=True)[1]
    features = checked_features(X, len(labels))
    if not is_classifier(probe):
        raise SpecError(f"{type(probe).__name__} is a regressor: online coding needs the probabilities of classes")
    _check_fractions(fractions, first_groups, shuffles)
    if len(np.unique(labels)) < 2:
        raise DataError(f"y holds one class only, {labels[0].item()!r}: there is nothing to code")

    def coded(of: np.ndarray) -> tuple[Float[np.ndarray, " rows"], list[int], Int[np.ndarray, " rows"]]:
        order = _order(group_of, seed)
        ends = _block_ends(of[order], group_of[order], fractions, first_groups)
        return _bits(probe, features[order], of[order], group_of[order], ends), ends, order

    bits, ends, order = coded(labels)
    uniform = len(labels) * float(np.log2(len(np.unique(labels))))
    lines = [_line("none", bits, group_of[order], uniform, resamples, seed)]
    if shuffles:
        draws = [shuffled_labels(labels, group_of, derive_seed(seed, "mdl", k)) for k in range(shuffles)]
        shuffled = np.mean([coded(drawn)[0] for drawn in draws], axis=0)
        lines.append(_line("shuffled", shuffled, group_of[order], uniform, resamples, seed))
    return _code(lines, bits, ends, uniform)


def _order(group_of: Int[np.ndarray, " rows"], seed: int) -> Int[np.ndarray, " rows"]:
    """Rows group after group, the groups in random order."""
    rng = np.random.default_rng(derive_seed(seed, "mdl"))
    return np.argsort(rng.permutation(int(group_of.max()) + 1)[group_of], kind="stable")


def _block_ends(
    y: np.ndarray, groups: Int[np.ndarray, " rows"], fractions: Sequence[float], first_groups: int
) -> list[int]:
    """Rising ends of the blocks in rows, each at the end of a group; the last is the number of rows."""
    group_ends = np.flatnonzero(np.append(groups[1:] != groups[:-1], True)) + 1  # [groups]
    last_new_class = int(np.unique(y, return_index=True)[1].max()) + 1  # rows until every class has been seen
    least = max(last_new_class, int(group_ends[min(first_groups, len(group_ends)) - 1]))
    shares = np.array(fractions) * len(y)
    wanted = np.maximum(np.ceil(shares - 1e-9), least)
    ends = np.unique(group_ends[np.searchsorted(group_ends, wanted)])
    if len(ends) < 2:
        raise DataError(
            f"the first block takes all {len(y)} rows ({len(group_ends)} groups) before every class and "
            f"{first_groups} groups are in it: give more groups"
        )
    return ends.tolist()


def _bits(probe: Any, X: Any, y: np.ndarray, groups: np.ndarray, ends: Sequence[int]) -> Float[np.ndarray, " rows"]:
    """Code length of each label."""
    classes = np.unique(y)
    bits = np.full(len(y), np.log2(len(classes)))
    for start, end in pairwise(ends):
        before, block = np.arange(start), np.arange(start, end)
        fitted = fit_clone(probe, X[before], y[before], groups[before])
        said = predictions_of(fitted, X[block], y[block], classes)
        p = said.known_probabilities[np.arange(len(block)), said.truth]
        bits[start:end] = -np.log2((1 - _UNIFORM_SHARE) * p + _UNIFORM_SHARE / len(classes))
    return bits


def _line(
    control: str, bits: Float[np.ndarray, " rows"], groups: np.ndarray, uniform: float, resamples: int, seed: int
) -> dict[str, Any]:
    mean = cluster_bootstrap(bits, groups, resamples=resamples, seed=seed)
    total = float(bits.sum())
    return {
        "control": control,
        "codelength": total,
        "low": mean.low * len(bits),
        "high": mean.high * len(bits),
        "uniform": uniform,
        "compression": uniform / total,
        "bits_per_row": mean.estimate,
    }


def _code(
    lines: list[dict[str, Any]], bits: Float[np.ndarray, " rows"], ends: Sequence[int], uniform: float
) -> OnlineCode:
    starts = [0, *ends[:-1]]
    rows = np.subtract(ends, starts)
    blocks = {
        "start": starts,
        "end": ends,
        "bits": np.add.reduceat(bits, starts),
        "uniform": rows * uniform / len(bits),
    }
    return OnlineCode(pd.DataFrame(lines), pd.DataFrame(blocks))


def _check_fractions(fractions: Sequence[float], first_groups: int, shuffles: int) -> None:
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not len(shares) or shares[0] <= 0 or shares[-1] != 1 or (np.diff(shares) <= 0).any():
        raise SpecError(f"fractions={list(fractions)} must rise from above 0 to exactly 1")
    if first_groups < 1 or shuffles < 0:
        raise SpecError(f"first_groups={first_groups} must be 1 or more and shuffles={shuffles} 0 or more")
