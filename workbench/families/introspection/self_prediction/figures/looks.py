"""How the figures of the self-prediction family look: predictors and splits.

A predictor keeps its colour, dash and marker in every figure, so nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from workbench.errors import DataError
from workbench.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Look

NOTE = "95% intervals resample whole items."
METRICS = {"accuracy": "accuracy (share)", "balanced_accuracy": "balanced accuracy (share)"}
PREDICTORS = {
    "mode": Look("commonest answer", GREY, "dot", "square"),
    "self_before": Look("itself, before finetuning", SKY, "dash", "circle-open"),
    "self": Look("self-trained", BLUE, "solid", "circle"),
    "cross_before": Look("other model, before finetuning", ORANGE, "dash", "diamond-open"),
    "cross": Look("cross-trained", VERMILION, "longdash", "diamond"),
    "probe": Look("probe on M1", GREEN, "solid", "triangle-up"),
    "second": Look("probe on M2", PURPLE, "dashdot", "triangle-down"),
    "untrained": Look("probe on untrained M1", BLACK, "dashdot", "cross"),
    "shuffled": Look("probe, shuffled labels", GREY, "dash", "x"),
}
SPLITS = {"held_out": "tasks never finetuned on", "train": "new prompts of training tasks"}
FITS = {"training": "fitted on the training pairs", "folds": "fitted in folds of the tested prompts"}


def known(values: Iterable[str], names: Iterable[str]) -> list[str]:
    """The distinct values that are among ``names``, in their order; :class:`DataError` when there is none.

    >>> known(["cross", "mine", "self", "cross"], PREDICTORS)
    ['self', 'cross']
    """
    found, names = set(values), list(names)
    if not found.intersection(names):
        raise DataError(f"none of {', '.join(map(repr, sorted(found)))} can be drawn: known are {', '.join(names)}")
    return [name for name in names if name in found]


def splits_of(rows: pd.DataFrame) -> dict[str, str]:
    """The known splits of some rows with their titles."""
    return {split: SPLITS[split] for split in known(rows["split"], SPLITS)}


def role(name: str) -> str:
    """A model's role as papers write it.

    >>> role("first"), role("second-1"), role("second-2")
    ('M1', 'M2', 'M3')
    """
    number = name.removeprefix("second-")
    return "M1" if name == "first" else f"M{int(number) + 1}" if number.isdigit() else name


def short(name: str) -> str:
    """A model's name without the folders before it."""
    return str(name).rstrip("/").rpartition("/")[2]
