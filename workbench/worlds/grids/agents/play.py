"""Episodes in grids, many at once, of a language agent or of an oracle: one row a step.

All episodes advance together, one batch a step, and end at the goal or after ``cap`` times the optimal number of steps
(1.5 in arXiv 2602.08964).  Every random choice comes from a seed named by layout, rollout and step, so an episode is
the same alone or among others.  Players whose move probabilities are known (oracles, and agents in exact mode) are
asked once for each place, however often it is visited.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workbench.errors import DataError, SpecError
from workbench.models.interventions import Intervention
from workbench.progress import progress_bar
from workbench.seeding import derive_seed
from workbench.worlds.grids.agents.agent import GridAgent, GridDecision, Place, draw_moves
from workbench.worlds.grids.layouts import UNREACHABLE, Layout, State
from workbench.worlds.grids.oracles import Policy
from workbench.worlds.moves import Move

Player = GridAgent | Policy
GridInterventions = Sequence[Intervention] | Callable[[Sequence[int]], Sequence[Intervention]]

PROBABILITIES = [f"p_{int(move)}" for move in Move]
COLUMNS = [
    "layout", "rollout", "step", "row", "column", "has_key", "distance", "move", "optimal", "bumped", "valid",
    "attempts", *PROBABILITIES, "outside_mass", "completion",
]  # fmt: skip
_NO_MOVE = -1


@dataclass
class _Episode:
    layout: int
    rollout: int
    seed: int
    state: State
    limit: int
    step: int = 0
    over: bool = False


def play_grids(
    player: Player,
    layouts: Sequence[Layout],
    rollouts: int = 10,
    seed: int = 0,
    cap: float = 1.5,
    interventions: GridInterventions = (),
    progress: bool = False,
) -> pd.DataFrame:
    """Play ``rollouts`` episodes in every layout; one row a step, by layout, rollout and step.

    Columns: ``layout`` (index into ``layouts``), ``rollout``, ``step``; where the agent stood: ``row``, ``column``,
    ``has_key``, ``distance`` to the goal; ``move`` (-1: none could be read, the agent stays), ``optimal`` (whether it
    is in A*), ``bumped`` (a move that changed nothing), ``valid``, ``attempts``, ``p_0``..``p_3`` (NaN for an agent
    that samples), ``outside_mass`` (the model's probability of answering what is no move; NaN likewise, and for an
    oracle), ``completion`` (empty for an oracle).  Episodes depend on ``seed`` and the layout, not its index.

    ``interventions`` act alike on every decision.  Given as a function, it is called for every batch with the layout
    indices of its decisions and returns interventions whose rows are these.  Raises :class:`DataError` without
    layouts and for a layout whose goal cannot be reached.

    >>> from workbench.worlds.grids.oracles import random_policy
    >>> from workbench.worlds.grids.mazes import make_layout
    >>> steps = play_grids(random_policy, [make_layout(5, 0.0, seed=1)], rollouts=2)
    >>> sorted(set(steps["rollout"])), bool((steps["step"] < 2 * steps["distance"].max()).all())
    ([0, 1], True)
    """
    episodes = _episodes(layouts, rollouts, seed, cap)
    if not isinstance(player, GridAgent) and (callable(interventions) or len(interventions)):
        raise SpecError("interventions act on a model: an oracle cannot be steered")
    decide = _decider(player, layouts, interventions)
    rows: list[dict[str, Any]] = []
    with progress_bar(len(episodes), progress, "playing grids") as advance:
        alive = episodes
        while alive:
            for episode, decision in zip(alive, decide(alive), strict=True):
                rows.append(_advance(episode, layouts[episode.layout], decision))
            advance(sum(episode.over for episode in alive))
            alive = [episode for episode in alive if not episode.over]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["layout", "rollout", "step"], ignore_index=True)


def _episodes(layouts: Sequence[Layout], rollouts: int, seed: int, cap: float) -> list[_Episode]:
    if not len(layouts) or rollouts < 1 or not cap > 0:
        raise DataError(
            f"nothing to play: {len(layouts)} layouts, rollouts={rollouts}, cap={cap}; all must be positive"
        )
    episodes, met = [], Counter[Layout]()
    for i, layout in enumerate(layouts):
        length = layout.distance(layout.initial)
        if length == UNREACHABLE:
            raise DataError(f"layout {i}: no way leads from its start {layout.start} to its goal {layout.goal}")
        own = derive_seed(seed, "grid", repr(layout), met[layout])
        met[layout] += 1
        limit = math.ceil(cap * length - 1e-9)  # 1.12 * 25 is 28 steps, though floats make it more
        episodes += [_Episode(i, k, derive_seed(own, "rollout", k), layout.initial, limit) for k in range(rollouts)]
    return episodes


def _decider(
    player: Player, layouts: Sequence[Layout], interventions: GridInterventions
) -> Callable[[list[_Episode]], list[GridDecision]]:
    def places(episodes: list[_Episode]) -> list[Place]:
        return [(layouts[e.layout], e.state) for e in episodes]

    def seeds(episodes: list[_Episode]) -> list[int]:
        return [derive_seed(e.seed, "step", e.step) for e in episodes]

    def agent_decides(episodes: list[_Episode]) -> list[GridDecision]:
        assert isinstance(player, GridAgent)
        rows = [e.layout for e in episodes]
        given = interventions(rows) if callable(interventions) else interventions
        return player.decide(places(episodes), seeds(episodes), given)

    if isinstance(player, GridAgent) and (not player.exact or player.text.reasoning or callable(interventions)):
        return agent_decides
    known: dict[tuple[int, State], tuple[np.ndarray, float]] = {}

    def policy_decides(episodes: list[_Episode]) -> list[GridDecision]:
        keys = [(e.layout, e.state) for e in episodes]
        new = [key for key in dict.fromkeys(keys) if key not in known]
        known.update(zip(new, _ask(player, [(layouts[i], s) for i, s in new], interventions), strict=True))
        table = np.stack([known[key][0] for key in keys])
        write = player.text.answer if isinstance(player, GridAgent) else lambda move: ""
        moves = map(Move, draw_moves(table, seeds(episodes)).tolist())
        return [
            GridDecision(move, write(move), 1, known[key][0], [], [], known[key][1])
            for move, key in zip(moves, keys, strict=True)
        ]

    return policy_decides


def _ask(player: Player, places: list[Place], interventions: GridInterventions) -> list[tuple[np.ndarray, float]]:
    """The probabilities [4] and the mass outside of them at each place."""
    if isinstance(player, GridAgent):
        assert not callable(interventions)
        return list(zip(*player.weighed(places, interventions), strict=True))
    found = [np.asarray(player(layout, state), dtype=np.float64) for layout, state in places]
    if any(p.shape != (len(Move),) or (p < 0).any() or not np.isclose(p.sum(), 1) for p in found):
        raise DataError("a policy must return the probabilities of the four moves: [4], not negative, sum 1")
    return [(p, math.nan) for p in found]


def _advance(episode: _Episode, layout: Layout, decision: GridDecision) -> dict[str, Any]:
    """The row of a decision; moves the episode on."""
    state, move = episode.state, decision.move
    after = state if move is None else layout.after(state, move)
    p = np.full(len(Move), np.nan) if decision.probabilities is None else decision.probabilities
    row: dict[str, Any] = {"layout": episode.layout, "rollout": episode.rollout, "step": episode.step}
    row |= {"row": state.cell[0], "column": state.cell[1], "has_key": state.has_key}
    row |= {"distance": layout.distance(state), "move": _NO_MOVE if move is None else int(move)}
    row |= {"optimal": move in layout.optimal_moves(state), "bumped": move is not None and after == state}
    row |= {"valid": move is not None, "attempts": decision.attempts, "outside_mass": decision.outside_mass}
    row |= {"completion": decision.completion}
    row |= dict(zip(PROBABILITIES, p.tolist(), strict=True))
    episode.state, episode.step = after, episode.step + 1
    episode.over = after.cell == layout.goal or episode.step >= episode.limit
    return row


def episodes_of(steps: pd.DataFrame, layouts: Sequence[Layout]) -> pd.DataFrame:
    """One row an episode of a table of steps; a column ``player`` tells episodes of several players apart.

    Columns: ``player`` (if there), ``layout``, ``rollout``, ``success`` (goal reached within the cap), ``steps``,
    ``optimal_length``, ``spl`` (success x L* / max(L*, L)), ``accuracy`` (share of steps in A*; a step without a
    readable move is not), ``key`` (picked up), ``valid`` (share of readable steps).
    """
    keys = [*(["player"] if "player" in steps else []), "layout", "rollout"]
    ordered = steps.sort_values("step", kind="stable")
    groups = ordered.groupby(keys, sort=True)
    table = groups.agg(
        steps=("step", "size"), optimal_length=("distance", "first"), accuracy=("optimal", "mean"),
        valid=("valid", "mean"),
    ).reset_index()  # fmt: skip
    last = ordered.drop_duplicates(keys, keep="last").sort_values(keys)
    ends = [_end(row, layouts[row.layout]) for row in last.itertuples()]
    success = np.array([layouts[i].goal == end.cell for i, end in zip(table["layout"], ends, strict=True)])
    shortest = table["optimal_length"]
    spl = success * shortest / np.maximum(shortest, table["steps"])
    table = table.assign(success=success, spl=spl, key=[end.has_key for end in ends])
    return table[[*keys, "success", "steps", "optimal_length", "spl", "accuracy", "key", "valid"]]


def _end(row: Any, layout: Layout) -> State:
    """The state in which a step leaves the agent."""
    state = State((int(row.row), int(row.column)), bool(row.has_key))
    return state if row.move == _NO_MOVE else layout.after(state, Move(int(row.move)))


def places_of(steps: pd.DataFrame, layouts: Sequence[Layout]) -> list[Place]:
    """Where the agent stood at every row: the layout and the state."""
    columns = (steps[name] for name in ("layout", "row", "column", "has_key"))
    return [(layouts[i], State((int(row), int(col)), bool(key))) for i, row, col, key in zip(*columns, strict=True)]


def transcripts_of(
    agent: GridAgent, steps: pd.DataFrame, layouts: Sequence[Layout]
) -> list[tuple[list[int], list[int]]]:
    """Tokens of the prompt and of the completion of every row, written again from what was seen and said."""
    prompts = [agent.prompt(*place) for place in places_of(steps, layouts)]
    encode = agent.model.encode_continuation
    return [(prompt, encode(said, after=prompt)) for prompt, said in zip(prompts, steps["completion"], strict=True)]
