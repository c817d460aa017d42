"""Fitting probes from activations that are never in memory together, or that are never written to disk at all.

``accumulate`` takes sets of rows one after the other (an ``ActivationStore`` is such a sequence, ``captured`` makes one
while the model runs) and keeps their moments; ridge, LDA, mass-mean and shared ridge probes and the eraser are fitted
from those.  Memory is the moments and one block of rows, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import is_regressor

from probes.fold_moments import FoldMoments
from workbench.errors import DataError, SpecError, did_you_mean
from workbench.sites import Site

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from workbench.activations.activation_set import ActivationSet
    from workbench.models.language_model import LanguageModel

    Target = str | Sequence[str] | Callable[[ActivationSet], Any]

__all__ = ["accumulate", "captured", "fit_stream"]

_BLOCK = 512  # inputs captured at a time


def accumulate(
    sets: Iterable[ActivationSet],
    target: Target,
    sites: Sequence[Site | str | int] | None = None,
    *,
    targets: Literal["classes", "values"] = "classes",
    folds: int = 5,
    device: torch.device | str = "cpu",
) -> dict[Site, FoldMoments]:
    """The moments at each site (default: all of the first set), in one pass over ``sets``.

    ``target``: a label column, several (many targets at once), or a function of a set that gives y [rows] or [rows,
    targets].  Rows of a group, as the sets have it, are held out together.  The moments take ``folds * d * (d +
    columns) * 8`` bytes a site; with ``folds=1`` no penalty can be chosen.

    >>> import torch
    >>> from probes import make_probe
    >>> from workbench.activations import ActivationSet
    >>> sets = [ActivationSet({Site(1): torch.eye(2) + i}, {"odd": [i % 2, i % 2]}) for i in range(4)]
    >>> moments = accumulate(sets, "odd")[Site(1)]
    >>> make_probe("mass-mean").fit_from_moments(moments).coef_
    array([[1., 1.]])
    """
    found: dict[Site, FoldMoments] = {}
    for some in sets:
        if not found:
            chosen = some.sites if sites is None else [Site.parse(site) for site in sites]
            found = {site: FoldMoments(targets, folds, device) for site in chosen}
        y = _values(some, target)
        for site, moments in found.items():
            moments.update(some[site], y, some.groups)
    if not found:
        raise DataError("there are no activations to fit on")
    return found


def captured(
    model: LanguageModel,
    inputs: Sequence[Any],
    sites: Any,
    positions: Any = "last",
    *,
    labels: pd.DataFrame | Mapping[str, Any] | None = None,
    groups: Any = None,
    block: int = _BLOCK,
    **options: Any,
) -> Iterator[ActivationSet]:
    """Activations of ``block`` inputs at a time, read when asked for and kept by nobody: no file is written.

    Arguments are those of :func:`workbench.activations.capture` (all but ``store``); ``groups`` are by default the
    inputs.  The column ``input`` counts over all blocks.

    >>> from workbench.models.tiny import tiny_model
    >>> blocks = captured(tiny_model(), ["a b", "c", "d e"], [1], labels={"word": ["x", "y", "x"]}, block=2)
    >>> [(len(some), some.labels["input"].tolist()) for some in blocks]
    [(2, [0, 1]), (1, [2])]
    """
    from workbench.activations.activation_set import ActivationSet, group_values, label_table
    from workbench.activations.capture import capture

    if block < 1:
        raise SpecError(f"block={block} must be at least 1")
    if "store" in options:
        raise SpecError("captured writes nothing: use workbench.activations.capture to fill a store")
    if options.get("interventions"):
        raise SpecError("captured takes no interventions, whose rows are numbered anew in each block: use capture")
    if isinstance(inputs, str) or not len(inputs):
        raise DataError("inputs must be a non-empty list; for one input write [input]")
    table = label_table({} if labels is None else labels, len(inputs))
    group_of = group_values(groups, table, len(inputs))
    for start in range(0, len(inputs), block):
        part = slice(start, start + block)
        try:
            some = capture(
                model, inputs[part], sites, positions, labels=table.iloc[part], groups=group_of[part], **options
            )
        except DataError as error:
            raise DataError(f"in the block that begins with input {start}, counted from 0 there: {error}") from error
        if isinstance(some, ActivationSet):  # as it is without a store
            some.labels["input"] += start
            yield some


def fit_stream(
    probe: Any, sets: Iterable[ActivationSet], site: Site | str | int, target: Target, folds: int | None = None
) -> Any:
    """``probe`` fitted in one pass over ``sets`` (a store, or :func:`captured`) at one site; equal to its ``fit``.

    For probes that have ``fit_from_moments``: ridge, ridge-regression, lda, mass-mean and ``SharedRidge``; any other
    raises :class:`SpecError`.
    """
    if not hasattr(probe, "fit_from_moments"):
        raise SpecError(f"{type(probe).__name__} cannot be fitted from a stream: use a ridge, lda or mass-mean probe")
    # The probe says whether its target is a class or a number, and whether it has anything to choose.
    numbers = is_regressor(probe) or getattr(probe, "targets", "") == "values"
    if folds is None:
        folds = probe.folds if len(getattr(probe, "alphas", ())) > 1 else 1
    moments = accumulate(sets, target, [site], targets="values" if numbers else "classes", folds=folds)
    return probe.fit_from_moments(moments[Site.parse(site)])


def _values(some: ActivationSet, target: Target) -> np.ndarray:
    """y [rows] or [rows, targets] of a set."""
    if callable(target):
        return np.asarray(target(some))
    for name in [target] if isinstance(target, str) else target:
        if name not in some.labels:
            raise DataError(f"labels have no column {name!r}{did_you_mean(name, map(str, some.labels))}")
    return some.labels[target if isinstance(target, str) else list(target)].to_numpy()
