"""Is what a probe reads used?  Steering along its direction, and erasing what it reads, against random directions.

The concept is whether the goal lies to the right or to the left of the agent, read where a direct answer is decided
(the last token before the move).  Steering adds ``multiplier`` times the difference of the class means along the
direction; erasing takes out all that a linear probe could read (LEACE), or a random direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from probes import make_probe
from probes.erasure import leace
from steering import Ablate, Add, Affine
from workbench.activations import capture
from workbench.environments.grid_text import ANSWER
from workbench.environments.layouts import Layout, State
from workbench.environments.moves import Move
from workbench.experiments.goal_directedness.spec import GoalSpec
from workbench.experiments.goal_directedness.states import agent_of
from workbench.models.interventions import Intervention
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.statistics import Interval, cluster_bootstrap, cluster_bootstrap_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["causal_rows"]


def causal_rows(
    model: LanguageModel, spec: GoalSpec, layer: int, states: pd.DataFrame, layouts: Sequence[Layout]
) -> list[dict[str, Any]]:
    """Rows ``layer, kind, direction, multiplier, metric, estimate, low, high`` of one layer.

    ``states``: distinct places with ``layout, row, column, has_key, group, test``; the direction is fitted on the rows
    that are not ``test``, effects are measured on those that are.  Metrics: ``shift`` of p(RIGHT) - p(LEFT) from the
    unsteered agent; ``gap``, how much larger it is when the goal lies to the right; ``accuracy``, the probability of an
    optimal move, and ``accuracy_change`` from the unsteered agent's.
    """
    places = [
        (layouts[i], State((int(r), int(c)), bool(k)))
        for i, r, c, k in zip(states["layout"], states["row"], states["column"], states["has_key"], strict=True)
    ]
    side = np.array([np.sign(layout.goal[1] - state.cell[1]) for layout, state in places])
    agent = agent_of(model, spec, "direct")
    answer = model.encode_continuation(ANSWER)
    keep = side != 0
    places = [place for place, kept in zip(places, keep, strict=True) if kept]
    states, side = states[keep].reset_index(drop=True), side[keep]
    test, group = states["test"].to_numpy(bool), states["group"].to_numpy()
    z = capture(model, [agent.prompt(*place) + answer for place in places], layer, "last", dtype="float32")
    x = z.activations[Site(layer)].numpy()  # type: ignore[union-attr]
    right = (side > 0).astype(int)
    probe = make_probe("mass-mean").fit(x[~test], right[~test])
    unit = np.asarray(probe.direction_)
    means = [x[~test][right[~test] == k].mean(0) for k in (0, 1)]
    size = float((means[1] - means[0]) @ unit)
    tested = [place for place, held in zip(places, test, strict=True) if held]
    lean, correct = _play(agent, tested, ())
    measured = _Measured(layer, lean, correct, right[test], group[test])
    rows = list(measured.rows("none", "none", 0.0, lean, correct))
    random = _random(spec, layer, len(unit))
    for multiplier in spec.multipliers:
        dose = multiplier * size
        played = {
            name: [_play(agent, tested, [Add(Site(layer), _tensor(v), dose)]) for v in vectors]
            for name, vectors in (("probe", [unit]), ("random", random))
        }
        rows += measured.compared("steer", multiplier, played)
    erased = leace(x[~test], right[~test])
    affine = Affine(Site(layer), _tensor(erased.matrix), _tensor(erased.bias))
    played = {
        "probe": [_play(agent, tested, [affine])],
        "random": [_play(agent, tested, [Ablate(Site(layer), _tensor(v))]) for v in random],
    }
    return rows + list(measured.compared("erase", 1.0, played))


def _tensor(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def _random(spec: GoalSpec, layer: int, width: int) -> list[np.ndarray]:
    found = []
    for k in range(spec.random_directions):
        v = np.random.default_rng(derive_seed(spec.seed, "random direction", layer, k)).normal(size=width)
        found.append(v / np.linalg.norm(v))
    return found


def _play(agent: Any, places: Any, interventions: Sequence[Intervention]) -> tuple[np.ndarray, np.ndarray]:
    """p(RIGHT) - p(LEFT) and the probability of an optimal move at each place."""
    p = agent.probabilities(places, interventions)
    best = np.array([[move in layout.optimal_moves(state) for move in Move] for layout, state in places])
    return p[:, Move.RIGHT] - p[:, Move.LEFT], (p * best).sum(1)


class _Measured:
    """Effects against the unsteered agent on the same states."""

    def __init__(self, layer: int, lean: np.ndarray, correct: np.ndarray, right: np.ndarray, group: np.ndarray) -> None:
        self.layer, self.lean, self.correct, self.right, self.group = layer, lean, correct, right, group

    def compared(
        self, kind: str, multiplier: float, played: dict[str, list[tuple[np.ndarray, np.ndarray]]]
    ) -> Iterator[dict[str, Any]]:
        """Rows of the probe's direction, of the mean over random ones, and of their difference."""
        means = {
            name: [np.mean(part, axis=0) for part in zip(*several, strict=True)] for name, several in played.items()
        }
        for name, (lean, correct) in means.items():
            yield from self.rows(kind, name, multiplier, lean, correct)
        (lean, correct), (other_lean, other_correct) = means["probe"], means["random"]
        yield from self._rows(kind, "probe less random", multiplier, lean - other_lean, correct - other_correct)

    def rows(
        self, kind: str, direction: str, multiplier: float, lean: np.ndarray, correct: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        """Rows of one condition, ``shift`` and ``accuracy_change`` being differences from the unsteered agent."""
        for row in self._rows(kind, direction, multiplier, lean, correct):
            yield row if row["metric"] != "shift" else row | vars(cluster_bootstrap(lean - self.lean, self.group))
        change = vars(cluster_bootstrap(correct - self.correct, self.group))
        yield self._row(kind, direction, multiplier, "accuracy_change") | change

    def _rows(
        self, kind: str, direction: str, multiplier: float, lean: np.ndarray, correct: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        right, group = self.right == 1, self.group
        gap = Interval(np.nan, np.nan, np.nan)  # where all tested states have the goal on one side
        if right.any() and not right.all():
            gap = cluster_bootstrap_difference(lean[right], lean[~right], group[right], group[~right], paired=False)
        found = {"shift": cluster_bootstrap(lean, group), "accuracy": cluster_bootstrap(correct, group), "gap": gap}
        for metric, interval in found.items():
            yield self._row(kind, direction, multiplier, metric) | vars(interval)

    def _row(self, kind: str, direction: str, multiplier: float, metric: str) -> dict[str, Any]:
        row: dict[str, Any] = {"layer": self.layer, "kind": kind, "direction": direction}
        return row | {"multiplier": multiplier, "metric": metric}
