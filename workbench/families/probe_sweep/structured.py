"""Targets that are more than one label a row: the map of a grid, the moves to come.

Their labels are texts in a column like any other.  Their probes are mostly networks, so they are fitted once, on the
groups that are not held out, and scored on those that are.  Controls are those of plain targets as far as they make
sense, on the same held-out rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from probes.folds import group_holdout
from probes.structured import Structured
from workbench.activations.sources import Task
from workbench.errors import DataError, SpecError, did_you_mean
from workbench.families.probe_sweep.spec import SweepSpec
from workbench.seeding import derive_seed
from workbench.worlds import worlds

_SEED = "random_state"


def structured() -> dict[str, Callable[[], Structured]]:
    """Every kind of such targets, by its task; the worlds bring them."""
    return {task: load for world in worlds().values() for task, load in world.targets.items()}


def find_structured(task: str) -> Structured:
    """The kind of target of a task."""
    return structured()[task]()


def structured_probe(name: str, params: Mapping[str, Any]) -> Task | None:
    """The task of a probe of structured targets, made once to see that it can be; None for other names.

    >>> structured_probe("plan", {"layers": 2}), structured_probe("logistic", {})
    ('plan', None)
    """
    for task in structured():
        kind = find_structured(task)
        if kind.probe == name:
            kind.make(params, ())
            return task
    return None


def check_structured(spec: SweepSpec, targets: Sequence[tuple[str, Task]]) -> None:
    """Raise :class:`SpecError` where a sweep asks of such targets what is not done with them."""
    for column, task in targets:
        if task not in structured():
            continue
        _check_metrics(spec.metrics, find_structured(task).metrics)
        if spec.holdout is None:
            raise SpecError(f"holdout: probes of the target {column!r} are fitted once, not in folds; add holdout: 0.2")
        if "control_task" in spec.controls:
            raise SpecError(f"controls: 'control_task' is not for the target {column!r}: give that a sweep of its own")


def evaluate_structured(
    spec: SweepSpec,
    task: Task,
    params: Mapping[str, Any],
    x: np.ndarray,
    labels: Sequence[str],
    groups: np.ndarray,
    seed: int,
    untrained: np.ndarray | None = None,
) -> pd.DataFrame:
    """The rows of a cell: ``control, metric, label, estimate, low, high`` and the difference from each control.

    x: [rows, features]; labels: texts of the rows; groups: [rows], never split; untrained: [rows, features] of the
    model with new weights.  Controls: ``shuffled`` (fitted on the targets of other groups, one draw), ``untrained``,
    ``random_features``, ``other_groups`` (what was decoded of another group's row), and the kind's ``majority``.
    """
    from sklearn.base import clone

    from probes.controls import random_features

    kind = find_structured(task)
    probe, targets = kind.make(params, labels), kind.read(labels, params)
    if _SEED in probe.get_params() and _SEED not in params:
        probe.set_params(**{_SEED: seed})
    kinds = kind.kinds(targets)
    test = group_holdout(groups, spec.holdout or 0.2, seed, kinds if len(np.unique(kinds)) > 1 else None)
    known, true = targets[~test], targets[test]

    def decoded(features: np.ndarray, learned: np.ndarray = known) -> np.ndarray:
        return kind.decode(clone(probe).fit(features[~test], learned, groups[~test]), features[test])

    runs = {"none": decoded(x)}
    for control in spec.controls:
        drawn = derive_seed(seed, control)
        if control == "majority" and kind.majority:
            runs[control] = kind.majority(known, true)
        elif control == "shuffled":
            runs[control] = decoded(x, known[_others(groups[~test], drawn, kinds[~test])])
        elif control == "random_features":
            runs[control] = decoded(random_features(x, drawn))
        elif control == "untrained" and untrained is not None:
            runs[control] = decoded(untrained)
        elif control == "other_groups":
            runs[control] = runs["none"][_others(groups[test], drawn, kinds[test])]
    return _chosen(kind.score(true, runs, groups[test], known, spec, seed), spec.metrics)


def _chosen(table: pd.DataFrame, metrics: Sequence[str] | None) -> pd.DataFrame:
    known = list(dict.fromkeys(table["metric"]))
    _check_metrics(metrics, known)
    return table[table["metric"].isin(metrics or known)].reset_index(drop=True)


def _check_metrics(names: Sequence[str] | None, known: Sequence[str]) -> None:
    for name in names or ():
        if not any(fnmatchcase(name, each) for each in known):
            raise SpecError(f"metrics: unknown metric {name!r}{did_you_mean(name, known)}")


def _others(groups: np.ndarray, seed: int, kinds: np.ndarray | None = None) -> np.ndarray:
    """For each row a random row of another group and of the same kind; rows may serve twice, so few groups will do."""
    rng, group_of = np.random.default_rng(seed), np.unique(groups, return_inverse=True)[1]
    kinds = np.zeros(len(group_of), dtype=np.int64) if kinds is None else kinds
    found = np.empty(len(group_of), dtype=np.int64)
    for row, (group, kind) in enumerate(zip(group_of, kinds, strict=True)):
        others = np.flatnonzero((group_of != group) & (kinds == kind))
        if not len(others):
            raise DataError("all rows of one side of the split, of one kind (grid size), are of one group: add groups")
        found[row] = rng.choice(others)
    return found
