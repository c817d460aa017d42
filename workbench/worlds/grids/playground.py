"""A grid episode, one step at a time: the first rollout that ``play_grids`` plays, interrupted between its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.models import Intervention, LanguageModel
from workbench.seeding import derive_seed
from workbench.views.choices import pick, slide, switch
from workbench.views.games import Game
from workbench.views.text import plain
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
from workbench.worlds.grids.pictures import trajectory_picture
from workbench.worlds.grids.text import GridText, wording_for
from workbench.worlds.moves import Move

if TYPE_CHECKING:
    from workbench.worlds.grids.agents.agent import GridAgent, GridDecision
CAP = 1.5  # times the optimal number of steps, as in play_grids
_MOST = 60


@dataclass(frozen=True)
class GridSettings:
    """One episode: the layout, and how the agent answers."""

    structure: str = "maze"
    size: int = 7
    density: float = 0.4
    reasoning: bool = False
    seed: int = 0

    def layout(self) -> Layout:
        """A layout that the shipped agent was never trained on."""
        return make_layout(self.size, self.density, self.structure, self.seed, held_out=True)

    def agent(self, model: LanguageModel) -> GridAgent:
        """The agent; without reasoning its move probabilities are exact."""
        from workbench.worlds.grids.agents.agent import GridAgent

        return GridAgent(model, GridText(self.reasoning, wording_for(model.name)), exact=not self.reasoning)


@dataclass(frozen=True)
class GridStep:
    """Where the agent stood, what it decided, where that led, and which moves were optimal (numbers of ``Move``)."""

    state: State
    decision: GridDecision
    after: State
    optimal: tuple[int, ...]


def play_grid(
    model: LanguageModel,
    settings: GridSettings,
    interventions: Sequence[Intervention],
    count: int,
    played: Sequence[GridStep] = (),
    advance: Callable[[int], object] = lambda number: None,
) -> list[GridStep]:
    """The first ``count`` steps, going on from those ``played``; fewer when the goal or the cap is reached before."""
    layout, agent = settings.layout(), settings.agent(model)
    seed = derive_seed(derive_seed(settings.seed, "grid", repr(layout), 0), "rollout", 0)
    limit = math.ceil(CAP * layout.distance(layout.initial) - 1e-9)
    steps = list(played[:count])
    state = steps[-1].after if steps else layout.initial
    while len(steps) < min(count, limit) and state.cell != layout.goal:
        advance(len(steps))
        [decision] = agent.decide([(layout, state)], [derive_seed(seed, "step", len(steps))], interventions)
        after = state if decision.move is None else layout.after(state, decision.move)
        steps.append(GridStep(state, decision, after, tuple(map(int, layout.optimal_moves(state)))))
        state = after
    return steps


def _choose() -> GridSettings:
    first, second, third = st.columns(3)
    structure = pick("Kind", ["maze", *GOAL_STRUCTURES], "structure", at=first)
    size = pick("Size", ["5", "7", "9"], "size", index=1, at=second)
    density = slide("Wall density", 0.0, 1.0, "density", 0.4, 0.2, at=third)
    return GridSettings(structure, int(size), density, switch("Reason before answering", "reasoning"))


def _show(found: Mapping[str, Sequence[GridStep]], settings: GridSettings) -> None:
    """The way walked and the last move's probabilities of each condition, side by side."""
    layout = settings.layout()
    for column, (name, steps) in zip(st.columns(len(found)), found.items(), strict=True):
        with column:
            st.subheader(plain(name))
            states = [steps[0].state, *(step.after for step in steps)]
            st.image(trajectory_picture(layout, states), width=340)
            _episode(steps, layout)


def _episode(steps: Sequence[GridStep], layout: Layout) -> None:
    last, optimal = steps[-1], sum(step.decision.move in step.optimal for step in steps)
    over = "reached the goal" if last.after.cell == layout.goal else "on the way"
    st.caption(f"{len(steps)} steps, {optimal:d} of them optimal; {plain(over)}.")
    move = "no readable move" if last.decision.move is None else last.decision.move.name
    best = " or ".join(Move(each).name for each in last.optimal)
    st.markdown(f"Last move: **{plain(move)}** (optimal: {plain(best)})")
    if last.decision.probabilities is not None:
        p = pd.DataFrame({"move": [each.name for each in Move], "probability": last.decision.probabilities})
        bar = st.column_config.ProgressColumn("probability", min_value=0.0, max_value=1.0, format="%.3f")
        st.dataframe(p, hide_index=True, column_config={"probability": bar})
    else:
        st.code(last.decision.completion.strip(), language=None, wrap_lines=True)


def _last(model: LanguageModel, step: GridStep) -> tuple[list[int], list[int]]:
    return step.decision.prompt, step.decision.tokens


GAME = Game(_MOST, _choose, play_grid, _show, _last)
