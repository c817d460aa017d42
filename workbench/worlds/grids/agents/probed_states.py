"""States that are probed: played with reasoning, read before and after it, and the plain properties that they show.

Before ("pre") are the last tokens of the prompt; after ("post") the last tokens of the reasoning, just before the
answer.  Where the answer begins is found token by token, since tokenizers may join its brace with what stands before.
The tokens are those of the completion's text, encoded again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from probes.folds import duplicate_groups
from workbench.activations import capture
from workbench.errors import DataError
from workbench.models.language_model import LanguageModel
from workbench.sites import Site
from workbench.worlds.grids.agents.agent import GridAgent, Place
from workbench.worlds.grids.agents.play import places_of, play_grids, transcripts_of
from workbench.worlds.grids.maze_sets import MazeSpec, probe_layouts
from workbench.worlds.grids.probes.plan import next_moves
from workbench.worlds.grids.text import GridText, wording_for
from workbench.worlds.moves import Move

POSITIONS = ("pre", "post")
_JSON = GridText()
_AT_ONCE = 2**31  # bytes of activations read in one go


@dataclass(frozen=True)
class ProbedStates:
    """The states at which steps were made on the layouts of ``spec``; ``steps``: those of :func:`play_states`."""

    spec: MazeSpec
    steps: pd.DataFrame

    @cached_property
    def places(self) -> list[Place]:
        """The layout and state of each row."""
        return places_of(self.steps, probe_layouts(self.spec).layouts)

    @cached_property
    def pictures(self) -> list[str]:
        """The rendered state of each row."""
        text = GridText()
        return [text.picture(layout, state) for layout, state in self.places]

    @cached_property
    def groups(self) -> np.ndarray:
        """[states] layouts, those that share a rendered state merged."""
        return duplicate_groups(self.pictures, self.steps["layout"].to_numpy())


def agent_of(model: LanguageModel, spec: MazeSpec, mode: str) -> GridAgent:
    """The agent that answers in this mode, ``direct`` or ``reasoning``."""
    text = GridText(mode == "reasoning", spec.wording or wording_for(model.name), spec.answer)
    exact = spec.forced if text.reasoning else spec.exact
    return GridAgent(model, text, spec.temperature, spec.top_p, spec.max_new_tokens, spec.attempts, exact)


def play_states(model: LanguageModel, spec: MazeSpec, progress: bool = False) -> pd.DataFrame:
    """Steps of reasoning episodes whose reasoning has enough tokens to read; :class:`DataError` when none can be."""
    return readable_states(model.name, spec, play_reasoning(model, spec, progress))


def play_reasoning(model: LanguageModel, spec: MazeSpec, progress: bool = False, **labels: Any) -> pd.DataFrame:
    """Steps of reasoning episodes that have a readable move, with the labels of their layouts.

    ``labels``: of the layouts that are played (``size``, ``density``); default all.  A column ``reasoning`` holds the
    tokens of the reasoning and ``plan`` the moves from the step on (lists); the others are those of ``play_grids``.
    """
    layouts, agent = probe_layouts(spec), agent_of(model, spec, "reasoning")
    rows = layouts.rows(**labels)
    steps = play_grids(agent, [layouts.layouts[i] for i in rows], spec.probe_rollouts, spec.seed, progress=progress)
    steps = steps.assign(layout=rows[steps["layout"]])
    said = transcripts_of(agent, steps, layouts.layouts)
    steps = layouts.label(steps.assign(reasoning=[reasoning_tokens(model, tokens, agent.text) for _, tokens in said]))
    steps = steps[steps["valid"]].reset_index(drop=True)
    return steps.assign(plan=list(plans_of(spec, steps)))


def readable_states(model: str, spec: MazeSpec, steps: pd.DataFrame) -> pd.DataFrame:
    """The steps of :func:`play_reasoning` whose reasoning has enough tokens to read; :class:`DataError` without any.

    Those with a short reasoning go now and not before: their moves belong to the plans of the steps before them.
    """
    readable = steps["reasoning"].str.len() >= spec.tokens if len(steps) else np.zeros(0, bool)
    if not readable.any():
        raise DataError(
            f"{model}: no answer had {spec.tokens} tokens of reasoning and then a move, so there is nothing to"
            " probe: set forced, raise max_new_tokens, lower tokens, or set modes to direct"
        )
    return steps[readable].reset_index(drop=True)


def reasoning_tokens(model: LanguageModel, completion: Sequence[int], text: GridText = _JSON) -> list[int]:
    """The tokens before the one in which the answer begins; none without an answer.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> model.decode(reasoning_tokens(model, model.encode_continuation('a b {"c": 1} d{"action": 2}')))
    'a b {"c": 1} d'
    """
    tokens = list(completion)
    found = text.find(model.decode(tokens))
    if found is None:
        return []
    # The token that holds the answer's first letter is the last of the shortest beginning whose text reaches beyond it.
    length = next(k for k in range(1, len(tokens) + 1) if len(model.decode(tokens[:k])) > found.begin)
    return tokens[: length - 1]


def read_states(
    model: LanguageModel, states: ProbedStates, position: str, sites: Sequence[Site], progress: bool = False
) -> Iterator[tuple[Site, Tensor]]:
    """Activations of every state at a position: (site, [states, tokens * d_model] in the model's precision), one by
    one.  As many sites are read in one pass as fit into memory."""
    spec, count = states.spec, len(states.steps)
    agent = agent_of(model, spec, "reasoning")
    tokens = [agent.prompt(*place) for place in states.places]
    if position == "post":
        tokens = [[*own, *map(int, said)] for own, said in zip(tokens, states.steps["reasoning"], strict=True)]
    last = list(range(-spec.tokens, 0))
    share = max(1, _AT_ONCE // (max(1, count) * spec.tokens * model.d_model * model.dtype.itemsize))
    for start in range(0, len(sites), share):
        read = capture(model, tokens, list(sites[start : start + share]), last, progress=progress)
        for site, z in read.activations.items():
            yield site, z.reshape(count, -1)


def plans_of(spec: MazeSpec, steps: pd.DataFrame) -> np.ndarray:
    """[steps, plan_steps] the moves executed from each step on, PAD after the end of the episode.

    ``steps``: all that have a readable move, an episode's in their order; the others moved nothing.
    """
    plans = np.zeros((len(steps), spec.plan_steps), dtype=np.int64)
    for rows in steps.groupby(["layout", "rollout"]).indices.values():
        plans[rows] = next_moves(steps["move"].to_numpy()[rows], spec.plan_steps)
    return plans


def _goal(states: ProbedStates) -> np.ndarray:
    return np.array([layout.goal for layout, _ in states.places])


def _cell(states: ProbedStates) -> np.ndarray:
    return states.steps[["row", "column"]].to_numpy()


def _wall(move: Move) -> Any:
    return lambda states: np.array([int(layout.walls[move.of(state.cell)]) for layout, state in states.places])


def _side(axis: int) -> Any:
    """Whether the goal lies further down (axis 0) or right (1); -1 where it does neither."""

    def target(states: ProbedStates) -> np.ndarray:
        difference = (_goal(states) - _cell(states))[:, axis]
        return np.where(difference == 0, -1, difference > 0)

    return target


# Plain properties of a state: name -> function of the states that gives [states] classes (-1: the state is left out).
PROPERTIES: dict[str, Any] = {
    "agent_row": lambda states: _cell(states)[:, 0],
    "agent_column": lambda states: _cell(states)[:, 1],
    "goal_row": lambda states: _goal(states)[:, 0],
    "goal_column": lambda states: _goal(states)[:, 1],
    "goal_right": _side(1),
    "goal_below": _side(0),
    **{f"wall_{move.name.lower()}": _wall(move) for move in Move},
    "move": lambda states: states.steps["move"].to_numpy(),
}
