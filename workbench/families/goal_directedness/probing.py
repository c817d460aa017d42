"""The probes of a run: cognitive map, plan, distance and plain properties, each beside its controls.

Layouts that share a rendered state are one group, and groups are held out whole, so neither an episode nor a state is
ever on both sides.  Maps and plans are tested on the same held-out layouts, as many of each grid size; plain properties
hold out their own, balanced over their classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from probes import make_probe
from probes.evaluation import evaluate
from probes.mdl import online_code
from workbench.errors import DataError
from workbench.families.goal_directedness.holdout import held_out_states, other_layouts
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.seeding import derive_seed
from workbench.worlds.grids.agents.probed_states import PROPERTIES, ProbedStates
from workbench.worlds.grids.probes.cognitive_map import (
    CELLS,
    PADDING,
    CognitiveMapProbe,
    cell_class,
    encode_maps,
    map_scores,
)
from workbench.worlds.grids.probes.plan import PRESETS as DECODERS
from workbench.worlds.grids.probes.plan import LinearPlanProbe, PlanDecoder, plan_scores
from workbench.worlds.grids.probes.plan_scores import N_SYMBOLS


class ProbeData(ProbedStates):
    """Probed states with what maps and plans are to be read off them, and on which of them probes are tested."""

    spec: GoalSpec

    @cached_property
    def maps(self) -> np.ndarray:
        """[states, map_size, map_size] numbers of ``CELLS``, padded at the bottom and right."""
        cells = [[line.split()[1:] for line in picture.split("\n")[1:]] for picture in self.pictures]
        return encode_maps(cells, self.spec.map_size)

    @cached_property
    def plans(self) -> np.ndarray:
        """[states, plan_steps]."""
        return np.array(self.steps["plan"].tolist(), dtype=np.int64)

    @cached_property
    def sizes(self) -> np.ndarray:
        """[states] of their grids."""
        return self.steps["size"].to_numpy()

    @cached_property
    def test(self) -> np.ndarray:
        """[states] True for the rows that maps and plans are tested on."""
        seed, densities = derive_seed(self.spec.seed, "holdout"), self.steps["density"].to_numpy()
        return held_out_states(self.sizes, self.groups, self.spec.holdout, seed, densities)


def decode_maps(
    data: ProbeData, h: np.ndarray, kind: str, shuffle: bool = False, rows: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Decoded probabilities [test states, size, size, classes] of a map probe fitted on the other states.

    ``shuffle`` pairs activations with the maps of other layouts of the same size; ``rows`` (bool) restricts both sides.
    The number beside them is the probe's loss on the training layouts that it kept for early stopping.
    """
    spec, keep = data.spec, np.ones(len(h), bool) if rows is None else rows
    train = keep & ~data.test
    maps, groups = data.maps[train], data.groups[train]
    if shuffle:
        maps = maps[other_layouts(data.sizes[train], groups, derive_seed(spec.seed, "shuffled maps"))]
    probe = CognitiveMapProbe(
        kind=kind, size=spec.map_size, hidden=spec.hidden, epochs=spec.probe_epochs, random_state=spec.seed,
        device=spec.device,
    ).fit(h[train], maps, groups)  # fmt: skip
    return probe.predict_proba(h[keep & data.test]), min(probe.history_)


def map_rows(
    data: ProbeData, proba: np.ndarray, labels: dict[str, Any], rows: np.ndarray | None = None
) -> pd.DataFrame:
    """Scores of decoded maps with their labels as columns."""
    held = data.test if rows is None else data.test & rows
    table = map_scores(data.maps[held], proba, data.groups[held])
    return table.rename(columns={"cell_class": "cell"}).assign(**labels)


def cell_accuracy(data: ProbeData, proba: np.ndarray) -> np.ndarray:
    """[test states] share of the cells inside a state's grid that are decoded right."""
    true = data.maps[data.test]
    inside = true != PADDING
    return ((proba.argmax(-1) == true) & inside).sum((1, 2)) / inside.sum((1, 2))


def balanced_cell_accuracy(data: ProbeData, proba: np.ndarray) -> np.ndarray:
    """[test states] mean, over the classes that a state's grid holds, of the share of their cells decoded right.

    The cell accuracy of whoever says "wall" everywhere is high; this one's is not.
    """
    true = data.maps[data.test]
    right, shares = proba.argmax(-1) == true, []
    for k in range(proba.shape[-1]):
        if k != PADDING:
            here = true == k
            cells = here.sum((1, 2))
            shares.append(np.where(cells, (right & here).sum((1, 2)) / np.maximum(cells, 1), np.nan))
    return np.nanmean(shares, axis=0)


def without_walls(data: ProbeData) -> np.ndarray:
    """The true maps of the test states with all inner walls gone, as sure probabilities [states, size, size, classes].

    A control of actions on decoded maps: an agent that heads for the goal as the crow flies is right there.
    """
    true = data.maps[data.test]
    return np.eye(len(CELLS))[np.where(true == cell_class("#"), cell_class("_"), true)]


def map_controls(data: ProbeData, proba: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What needs no further activations: the commonest class of each cell, and the decoded maps of other grids.

    Both respect the size of the grid: a cell's commonest class is taken over training grids of the same size, and a map
    is exchanged for that of another layout of the same size.
    """
    sizes, test = data.sizes, data.test
    majority = np.zeros_like(proba)
    for size in np.unique(sizes[test]):
        known = data.maps[(sizes == size) & ~test]
        majority[sizes[test] == size] = np.stack([(known == k).mean(0) for k in range(proba.shape[-1])], -1)
    yield "majority", majority
    partner = other_layouts(sizes[test], data.groups[test], derive_seed(data.spec.seed, "other grids"))
    yield "other grids", proba[partner]


def decode_plans(data: ProbeData, h: np.ndarray, layers: int, shuffle: bool = False) -> np.ndarray:
    """Decoded probabilities [test states, plan_steps, 5] of a plan decoder fitted on the other states.

    ``layers``: of the decoder; 0 is the linear baseline.  ``shuffle`` trains on the plans of other layouts of the same
    size.
    """
    spec, train = data.spec, ~data.test
    plans, groups = data.plans[train], data.groups[train]
    if shuffle:
        plans = plans[other_layouts(data.sizes[train], groups, derive_seed(spec.seed, "shuffled plans"))]
    if not layers:
        said = LinearPlanProbe().fit(h[train], plans, groups).predict(h[data.test])
        return np.eye(N_SYMBOLS)[said.astype(int)]
    wide = spec.plan_width > 512  # learns at a tenth of the rate
    probe = PlanDecoder(
        spec.tokens, spec.plan_steps, spec.plan_width, layers, feedforward=4 * spec.plan_width,
        lr=DECODERS["paper" if wide else "cpu"]["lr"], epochs=spec.plan_epochs, random_state=spec.seed,
        device=spec.device,
    )  # fmt: skip
    return probe.fit(h[train], plans, groups).predict_proba(h[data.test])


def plan_rows(data: ProbeData, proba: np.ndarray, labels: dict[str, Any]) -> pd.DataFrame:
    """prefix@N of decoded plans; with the label ``control`` "none" also of guessing and of the commonest prefix."""
    table = plan_scores(data.plans[data.test], proba.argmax(-1), data.groups[data.test], data.plans[~data.test])
    if labels["control"] == "none":
        labels = {name: value for name, value in labels.items() if name != "control"}
    else:
        table = table[table["control"] == "none"]
    return table.rename(columns={"steps": "prefix"}).assign(**labels)


def prefix_right(data: ProbeData, proba: np.ndarray) -> np.ndarray:
    """[test states, plan_steps] whether the first N symbols are all right, PAD counted."""
    return (proba.argmax(-1) == data.plans[data.test]).cumprod(1).astype(bool)


def distance_rows(data: ProbeData, h: np.ndarray, untrained: np.ndarray) -> pd.DataFrame:
    """Distance to the goal by ridge regression, beside its controls."""
    probe = make_probe("ridge-regression")
    found = evaluate(
        probe, h, data.steps["distance"].to_numpy(float), data.groups, folds=None, holdout=data.spec.holdout,
        seed=data.spec.seed, control_features={"untrained": untrained},
    )  # fmt: skip
    return found.table.assign(probe="ridge-regression")


def target_rows(data: ProbeData, h: np.ndarray, untrained: np.ndarray, target: str, mdl: bool = False) -> pd.DataFrame:
    """A plain property by logistic regression, beside its controls; with ``mdl`` also its online code length.

    Classes that occur in one group of layouts only are left out.  ``compression`` is the uniform code's length over the
    online code's (Voita and Titov 2020).  Raises :class:`DataError` when fewer than two classes are left.
    """
    y = PROPERTIES[target](data)
    spread = {label for label in np.unique(y) if len(np.unique(data.groups[y == label])) > 1}
    keep = np.isin(y, list(spread - {-1}))
    if len(np.unique(y[keep])) < 2:
        raise DataError(f"{target}: fewer than two classes occur in several groups of layouts: raise probe_layouts")
    probe, groups = make_probe("logistic"), data.groups[keep]
    found = evaluate(
        probe, h[keep], y[keep], groups, folds=None, holdout=data.spec.holdout, seed=data.spec.seed,
        control_features={"untrained": untrained[keep]}, shuffles=1, metrics=("accuracy", "balanced_accuracy", "auroc"),
    )  # fmt: skip
    table = found.table
    if mdl:
        code = online_code(probe, h[keep], y[keep], groups, seed=data.spec.seed).table
        code = code[["control", "compression"]].rename(columns={"compression": "estimate"})
        table = pd.concat([table, code.assign(metric="compression")], ignore_index=True)
    return table.assign(probe="logistic", target=target)
