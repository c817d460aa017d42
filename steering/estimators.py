"""Estimators: labelled activations in, a direction out.

Each is a pure function on ``activations`` [rows, d] of one site that returns a vector [d].  Sums are accumulated in
float64 whatever the dtype of the activations; the result is float32 (float64 for float64 input).  Group ids (``runs``
or ``groups``) say which rows belong together (an episode, a prompt pair): only differences *within* a group then
count, so whatever is constant in a group cannot enter the direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from steering.vectors import rows_of
from workbench.arguments import as_array, number, real_array
from workbench.errors import DataError, SpecError, check_known
from workbench.labels import label_array

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    Labels = Sequence[object] | np.ndarray | Tensor

_CHUNK = 4096  # rows turned into float64 at a time, so that memory does not grow with the number of rows


def entropy_weighted(
    activations: Float[Tensor, "rows d"],
    entropy: Float[Tensor, " rows"] | Sequence[float] | np.ndarray,
    runs: Labels,
    centre: bool = True,
    weight: bool = True,
) -> Float[Tensor, " d"]:
    """EAST's vector: activations weighted by the entropy of the action that followed (arXiv 2406.00244).

    With z the activation and h >= 0 the entropy of step t of run k,
    ``u = (1/Z) sum_k sum_t h_kt (z_kt - mean_t' z_kt')``, ``Z = sum_k sum_t h_kt``: centred on each run's mean over its
    own (finished) rows, not normalised, so that a multiplier is in activation units.  The base of the logarithm
    cancels, and the order of the rows does not matter.

    Args:
        activations: [rows, d] of one site.
        entropy: h of each row, >= 0.
        runs: run id of each row, of any kind.
        centre: False leaves the run means in (an ablation).
        weight: False replaces h by 1 where the entropy is above its mean over all rows and 0 elsewhere (an ablation).
            With h = 1 everywhere the centred sum is zero for any data, so the question it answers is whether the
            *graded* weight matters beyond picking the uncertain steps.

    Returns:
        The vector [d].

    Raises :class:`DataError` when Z is 0 (no step had any entropy), or, unweighted, when entropy does not vary.

    >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> entropy_weighted(z, [0.6, 0.2], runs=[0, 0])
    tensor([ 0.2500, -0.2500])
    """
    activations = _checked(activations)
    h = torch.from_numpy(real_array(entropy, "entropy").astype(np.float64))
    if h.shape != activations.shape[:1] or not bool((h >= 0).all()) or not bool(h.isfinite().all()):
        raise DataError(f"entropy must be {len(activations)} finite numbers >= 0, one a row of the activations")
    if not weight:
        if h.min() == h.max():
            raise DataError("the entropy is the same in every row, so there are no high-entropy rows to average")
        h = (h > h.mean()).double()
    total = h.sum()
    if total == 0:
        raise DataError(
            "every entropy is 0 (Z = 0): no step was uncertain, so the entropy-weighted vector is undefined"
        )
    if centre:
        h = _within(h, _codes(runs, len(h)))  # sum h (z - mean z) = sum (h - mean h) z
    return _weighted_sum(activations, h / total)


def mean_difference(
    activations: Float[Tensor, "rows d"], positive: Labels, groups: Labels | None = None
) -> Float[Tensor, " d"]:
    """Mean of the positive rows minus mean of the others.

    Args:
        activations: [rows, d] of one site.
        positive: a boolean for each row.
        groups: take the difference in each group and average over the groups, each counting once; a group that lacks
            one of the two classes is left out.

    Returns:
        The vector [d].

    >>> mean_difference(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), [True, False])
    tensor([2., 0.])
    """
    activations = _checked(activations)
    weights, codes = _difference_weights(activations, positive, groups)
    return _weighted_sum(activations, weights / len(codes[weights != 0].unique()))


def pca_difference(
    activations: Float[Tensor, "rows d"], positive: Labels, groups: Labels | None = None
) -> Float[Tensor, " d"]:
    """First principal direction, length 1, signed so that the positive rows project higher on average.

    Args:
        activations: [rows, d] of one site.
        positive: a boolean for each row.
        groups: pairs: the direction is that of the differences positive minus negative of each group, not centred, as
            in representation engineering (arXiv 2310.01405), where the sign of each difference is random.  Without
            them it is that of the rows centred on the midpoint of the two class means.

    Returns:
        The direction [d].

    >>> pca_difference(torch.tensor([[3.0, 0.1], [-3.0, 0.1]]), [True, False])
    tensor([1., 0.])
    """
    activations = _checked(activations)
    weights, codes = _difference_weights(activations, positive, groups)
    rows = activations.detach().double().cpu()
    if groups is None:
        spread = rows - (rows[weights > 0].mean(0) + rows[weights < 0].mean(0)) / 2
    else:
        spread = torch.zeros(int(codes.max()) + 1, rows.shape[1], dtype=rows.dtype)
        spread.index_add_(0, codes, rows * weights[:, None])
    direction = _first_component(spread)
    gap = (weights @ rows) @ direction
    return (direction if gap >= 0 else -direction).to(_result_dtype(activations))


def linear_probe_direction(
    activations: Float[Tensor, "rows d"], positive: Labels, groups: Labels | None = None, C: float = 1.0
) -> Float[Tensor, " d"]:
    """Weights of a logistic regression of the labels, in activation units: the logit rises fastest along them.

    Features are standardised for the fit and the scale is folded back into the weights, so ``activations @ direction``
    is the probe's logit up to its intercept.

    Args:
        activations: [rows, d] of one site.
        positive: a boolean for each row.
        groups: rows are first centred on their group's mean.
        C: scikit-learn's inverse regularisation.

    Returns:
        The direction [d].

    >>> linear_probe_direction(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), [True, False])[1].item()
    0.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    activations = _checked(activations)
    _difference_weights(activations, positive, groups)  # both classes are there
    if not (C := number(C, "C", 0)):
        raise SpecError("C must be above 0")
    rows = activations.detach().double().cpu()
    if groups is not None:
        rows = _within(rows, _codes(groups, len(rows)))
    scaler = StandardScaler().fit(rows.numpy())
    probe = LogisticRegression(C=C, max_iter=2000).fit(
        scaler.transform(rows.numpy()), _mask(positive, len(rows)).numpy()
    )
    return torch.from_numpy(probe.coef_[0] / scaler.scale_).to(_result_dtype(activations))


ESTIMATORS: dict[str, Callable[..., Tensor]] = {
    "entropy_weighted": entropy_weighted,
    "mean_difference": mean_difference,
    "pca_difference": pca_difference,
    "linear_probe": linear_probe_direction,
}


def get_estimator(name: str) -> Callable[..., Tensor]:
    """The estimator of that name; raises :class:`SpecError` naming the nearest.

    >>> get_estimator("mean_difference") is mean_difference
    True
    """
    check_known(name, ESTIMATORS, "estimator")
    return ESTIMATORS[name]


def _checked(activations: Any) -> Float[Tensor, "rows d"]:
    activations = rows_of(activations)
    if activations.ndim != 2 or 0 in activations.shape:
        raise DataError(f"activations must be [rows, d] with at least one row, not {list(activations.shape)}")
    finite = activations.isfinite().all(1)
    if not finite.all():
        raise DataError(f"activations are not finite: row {int((~finite).nonzero()[0])}")
    return activations.detach()


def _result_dtype(activations: Tensor) -> torch.dtype:
    return torch.promote_types(activations.dtype, torch.float32)


def _codes(groups: Labels, n_rows: int) -> Int[Tensor, " rows"]:
    """Group ids of any kind as 0, 1, 2, ..."""
    ids = label_array(groups, "group ids")
    if ids.shape != (n_rows,):
        raise DataError(f"group ids have shape {list(ids.shape)}, there are {n_rows} rows of activations")
    return torch.from_numpy(np.unique(ids, return_inverse=True)[1].astype(np.int64))


def _mask(positive: Labels, n_rows: int) -> Bool[Tensor, " rows"]:
    mask = as_array(positive, "positive")
    if mask.shape != (n_rows,) or not np.isin(mask, (0, 1)).all():
        raise DataError(f"positive must be {n_rows} booleans, one a row of the activations")
    return torch.from_numpy(mask.astype(bool))


def _within(values: Float[Tensor, "rows ..."], codes: Int[Tensor, " rows"]) -> Float[Tensor, "rows ..."]:
    """Values minus the mean of their group; exactly 0 where a group is constant."""
    first = values[torch.from_numpy(np.unique(codes.numpy(), return_index=True)[1])]  # a member of each group
    shifted = values - first[codes]  # makes constant groups exactly 0, which a rounded mean would not
    sums = torch.zeros_like(first).index_add_(0, codes, shifted)
    counts = torch.bincount(codes).reshape(-1, *[1] * (values.ndim - 1))
    return shifted - (sums / counts)[codes]


def _weighted_sum(activations: Float[Tensor, "rows d"], weights: Float[Tensor, " rows"]) -> Float[Tensor, " d"]:
    """sum_r weights[r] activations[r], in float64 on the CPU, a chunk of rows at a time."""
    total = torch.zeros(activations.shape[1], dtype=torch.float64)
    for start in range(0, len(activations), _CHUNK):
        total += weights[start : start + _CHUNK] @ activations[start : start + _CHUNK].detach().double().cpu()
    return total.to(_result_dtype(activations))


def _difference_weights(
    activations: Float[Tensor, "rows d"], positive: Labels, groups: Labels | None
) -> tuple[Float[Tensor, " rows"], Int[Tensor, " rows"]]:
    """Weights w with sum_r w_r z_r over a group = its difference of class means, and the group codes of the rows.

    Rows of groups that lack a class weigh 0.
    """
    n_rows = len(activations)
    mask = _mask(positive, n_rows)
    codes = torch.zeros(n_rows, dtype=torch.int64) if groups is None else _codes(groups, n_rows)
    n_groups = int(codes.max()) + 1
    n_high = torch.bincount(codes[mask], minlength=n_groups).double()
    n_low = torch.bincount(codes[~mask], minlength=n_groups).double()
    both = (n_high > 0) & (n_low > 0)
    if not both.any():
        where = "the rows do not have" if groups is None else "no group has"
        raise DataError(f"{where} both positive and negative rows, so there is no difference to take")
    weights = torch.where(mask, 1 / n_high[codes], -1 / n_low[codes])
    return torch.where(both[codes], weights, 0.0), codes


def _first_component(rows: Float[Tensor, "rows d"]) -> Float[Tensor, " d"]:
    """Right singular vector of the largest singular value, length 1."""
    from scipy.sparse.linalg import svds

    if not bool(rows.any()):
        raise DataError("all differences are zero, so they have no principal direction")
    if min(rows.shape) == 1:
        direction = rows[rows.norm(dim=1).argmax()]
    else:
        start = np.random.default_rng(0).standard_normal(min(rows.shape))  # ARPACK's, fixed: same data, same vector
        direction = torch.from_numpy(svds(rows.numpy(), k=1, v0=start)[2][0].copy())
    return direction / direction.norm()
