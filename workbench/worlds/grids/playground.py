"""A grid episode, one step at a time: the first rollout that ``play_grids`` plays, interrupted between its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.models import Intervention, LanguageModel
    from workbench.worlds.grids.agents.agent import GridAgent, GridDecision
    from workbench.worlds.grids.layouts import Layout, State

__all__ = ["CAP", "GridSettings", "GridStep", "play_grid"]

CAP = 1.5  # times the optimal number of steps, as in play_grids


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
        from workbench.worlds.grids.mazes import make_layout

        return make_layout(self.size, self.density, self.structure, self.seed, held_out=True)

    def agent(self, model: LanguageModel) -> GridAgent:
        """The agent; without reasoning its move probabilities are exact."""
        from workbench.worlds.grids.agents.agent import GridAgent
        from workbench.worlds.grids.text import GridText

        return GridAgent(model, GridText(reasoning=self.reasoning), exact=not self.reasoning)


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
    from workbench.seeding import derive_seed

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
