"""Is what a probe reads used?  Steering along its direction, and erasing what it reads, against random directions.

The concept is whether the goal lies to the right or to the left of the agent, read where a direct answer is decided
(the last token before the move), and changed there and nowhere else.  Steering adds a dose of the
direction (``dose`` times the residual stream's typical norm there; ``multiplier`` says it in differences of the class
means); erasing sets to its mean all that a linear probe could read (LEACE),
or the component along a random direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from probes import make_probe
from probes.erasure import leace
from steering import Add, Affine, SteeringVector, residual_norm, strengths
from steering.calibration import Strength
from workbench.activations import capture
from workbench.errors import DataError
from workbench.families.goal_directedness.contrast import contrast
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.models.interventions import Intervention, Scope, Window
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.statistics import cluster_bootstrap
from workbench.worlds.grids.agents.agent import GridAgent, Place
from workbench.worlds.grids.agents.play import places_of
from workbench.worlds.grids.agents.probed_states import agent_of
from workbench.worlds.grids.layouts import Layout
from workbench.worlds.moves import Move


def choose_places(spec: GoalSpec, steps: pd.DataFrame, layouts: Sequence[Layout]) -> pd.DataFrame:
    """Distinct places whose goal lies to the left or right, at most ``causal_states``, the share ``holdout`` of them
    ``test`` ones.

    ``steps``: ``layout, row, column, has_key, group, test``; a column ``right`` (bool) is added.
    """
    places = steps.drop_duplicates(["layout", "row", "column", "has_key"])
    goal = np.array([layouts[i].goal[1] for i in places["layout"]])
    places = places.assign(right=goal > places["column"])[goal != places["column"]]
    tested = max(1, round(spec.holdout * spec.causal_states))
    rng, kept = np.random.default_rng(derive_seed(spec.seed, "causal")), []
    for held, most in ((False, spec.causal_states - tested), (True, tested)):
        rows = np.flatnonzero(places["test"] == held)
        kept.append(rng.permutation(rows)[:most])
    return places.iloc[np.sort(np.concatenate(kept))].reset_index(drop=True)


def causal_rows(
    model: LanguageModel, spec: GoalSpec, layer: int, places: pd.DataFrame, layouts: Sequence[Layout]
) -> list[dict[str, Any]]:
    """Rows ``layer, kind, direction, dose, multiplier, metric, estimate, low, high`` of one layer.

    ``places``: what :func:`choose_places` chose; the direction is fitted on those that are not ``test``, effects are
    measured on those that are.  Metrics: ``shift`` of p(RIGHT) - p(LEFT) from the unsteered agent; ``gap``, how much
    larger it is when the goal lies to the right; ``accuracy``, the probability of an optimal move, and
    ``accuracy_change`` from the unsteered agent's.
    """
    right, test, group = (places[name].to_numpy() for name in ("right", "test", "group"))
    if not test.any() or len(np.unique(right[~test])) < 2:
        raise DataError(
            f"causal check: {int(test.sum())} of {len(places)} places are held out, and the others must have goals on"
            " either side of the agent: raise causal_states or probe_layouts"
        )
    decision = _Decision(model, agent_of(model, spec, "direct"), Site(layer))
    where = places_of(places, layouts)
    known = [place for place, held in zip(where, test, strict=True) if not held]
    x, side = decision.read(known), right[~test].astype(int)
    unit = np.asarray(make_probe("mass-mean").fit(x, side).direction_)
    size = float((x[side == 1].mean(0) - x[side == 0].mean(0)) @ unit)
    random = _random(spec, layer, len(unit))
    tested = _Tested(decision, [place for place, held in zip(where, test, strict=True) if held])
    plain = tested.play()
    measured = _Measured(layer, *plain, right[test], group[test])
    rows = list(measured.rows("none", "none", Strength(0.0, 0.0), *plain))
    vector = SteeringVector(Site(layer), _tensor(size * unit), residual_norm=residual_norm(_tensor(x)))
    doses = spec.doses if spec.multipliers is None else None
    for strength in strengths(vector, doses, spec.multipliers):
        played = {
            name: [tested.play(decision.add(v, strength.multiplier * size)) for v in vectors]
            for name, vectors in (("probe", [unit]), ("random", random))
        }
        rows += measured.compared("steer", strength, played)
    eraser, mean = leace(x, side), x.mean(0)
    played = {
        "probe": [tested.play(decision.affine(eraser.matrix, eraser.bias))],
        "random": [tested.play(decision.affine(*_flattened(v, mean))) for v in random],
    }
    return rows + list(measured.compared("erase", Strength(float("nan"), 1.0), played))


@dataclass(frozen=True)
class _Decision:
    """The token at which a direct answer is decided: the last of the agent's ``opening``."""

    model: LanguageModel
    agent: GridAgent
    site: Site

    @property
    def scope(self) -> Scope:
        n = len(self.agent.opening)
        return Scope(None, Window(n - 1, n)) if n else Scope(Window(-1, None), None)

    def read(self, places: Sequence[Place]) -> np.ndarray:
        """Activations [places, d], float32."""
        inputs = [self.agent.prompt(*place) + self.agent.opening for place in places]
        found = capture(self.model, inputs, self.site, "last", dtype="float32")
        return np.asarray(found.activations[self.site].numpy())

    def add(self, vector: np.ndarray, multiplier: float) -> Intervention:
        return Add(_tensor(vector), multiplier, site=self.site, scope=self.scope)

    def affine(self, matrix: Any, bias: Any) -> Intervention:
        return Affine(_tensor(matrix), _tensor(bias), site=self.site, scope=self.scope)


class _Tested:
    """Places at which effects are measured.  Their prompts are computed once: nothing acts before the decision."""

    def __init__(self, decision: _Decision, places: Sequence[Place]) -> None:
        self.model, self.agent = decision.model, decision.agent
        self.prompts = [self.agent.prompt(*place) for place in places]
        self.best = np.array([[move in layout.optimal_moves(state) for move in Move] for layout, state in places])
        self.cache = self.model.prompt_cache()
        self.play()  # fills the cache, so that all that follow compute the same tokens

    def play(self, *interventions: Intervention) -> tuple[np.ndarray, np.ndarray]:
        """p(RIGHT) - p(LEFT) and the probability of an optimal move at each place."""
        endings = [self.agent.answers] * len(self.prompts)
        scores = self.model.score(self.prompts, endings, interventions, self.cache)
        p = self.agent.policy(np.array([[score.logprob for score in row] for row in scores]))
        return p[:, Move.RIGHT] - p[:, Move.LEFT], (p * self.best).sum(1)


def _tensor(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def _flattened(v: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and bias of the map that sets the component along the unit vector ``v`` to that of ``mean``."""
    return np.eye(len(v)) - np.outer(v, v), v * (v @ mean)


def _random(spec: GoalSpec, layer: int, width: int) -> list[np.ndarray]:
    """Unit vectors."""
    found = []
    for k in range(spec.random_directions):
        v = np.random.default_rng(derive_seed(spec.seed, "random direction", layer, k)).normal(size=width)
        found.append(v / np.linalg.norm(v))
    return found


class _Measured:
    """Effects against the unsteered agent on the same states."""

    def __init__(self, layer: int, lean: np.ndarray, correct: np.ndarray, right: np.ndarray, group: np.ndarray) -> None:
        self.layer, self.lean, self.correct, self.right, self.group = layer, lean, correct, right, group

    def compared(
        self, kind: str, strength: Strength, played: dict[str, list[tuple[np.ndarray, np.ndarray]]]
    ) -> Iterator[dict[str, Any]]:
        """Rows of the probe's direction, of the mean over random ones, and of their difference."""
        means = {
            name: [np.mean(part, axis=0) for part in zip(*several, strict=True)] for name, several in played.items()
        }
        for name, (lean, correct) in means.items():
            yield from self.rows(kind, name, strength, lean, correct)
        (lean, correct), (other_lean, other_correct) = means["probe"], means["random"]
        yield from self._rows(kind, "probe less random", strength, lean - other_lean, correct - other_correct)

    def rows(
        self, kind: str, direction: str, strength: Strength, lean: np.ndarray, correct: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        """Rows of one condition, ``shift`` and ``accuracy_change`` being differences from the unsteered agent."""
        for row in self._rows(kind, direction, strength, lean, correct):
            yield row if row["metric"] != "shift" else row | vars(cluster_bootstrap(lean - self.lean, self.group))
        change = vars(cluster_bootstrap(correct - self.correct, self.group))
        yield self._row(kind, direction, strength, "accuracy_change") | change

    def _rows(
        self, kind: str, direction: str, strength: Strength, lean: np.ndarray, correct: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        found = {metric: cluster_bootstrap(x, self.group) for metric, x in (("shift", lean), ("accuracy", correct))}
        found["gap"] = contrast(lean, self.right, ~self.right, self.group)
        for metric, interval in found.items():
            yield self._row(kind, direction, strength, metric) | vars(interval)

    def _row(self, kind: str, direction: str, strength: Strength, metric: str) -> dict[str, Any]:
        row: dict[str, Any] = {"layer": self.layer, "kind": kind, "direction": direction}
        return row | strength._asdict() | {"metric": metric}
