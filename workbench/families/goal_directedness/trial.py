"""A few answers before a long run: whether moves can be read from them and, if not, what to change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.errors import DataError, warn
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.models.language_model import LanguageModel
from workbench.worlds.grids.agents.agent import GridAgent, GridDecision, Place
from workbench.worlds.grids.agents.probed_states import agent_of
from workbench.worlds.grids.answers import FORMS
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.maze_sets import maze_layouts

PLACES, DRAWS = 4, 2
_HALF = 0.5
_SHOWN = 60  # letters of an answer


def check(spec: GoalSpec, model: LanguageModel | None) -> None:
    """Ask every mode's agent at a few places.

    Raises :class:`DataError` where no answer can be read, and warns where less than half can, or where more than half
    of the model's probability lies on what is no answer.
    """
    if model is None:
        return
    layouts = maze_layouts(spec, "mazes", spec.layouts).layouts
    picked = [layouts[i] for i in np.linspace(0, len(layouts) - 1, PLACES).astype(int)]
    places = [(layout, State(layout.start)) for layout in picked]
    for mode in spec.modes:
        agent = replace(agent_of(model, spec, mode), attempts=1)
        if agent.exact:
            _check_mass(agent, mode, places)
        else:
            _check_answers(agent, mode, places * DRAWS)


def _check_answers(agent: GridAgent, mode: str, places: list[Place]) -> None:
    said = agent.decide(places, range(len(places)))
    read = sum(each.move is not None for each in said)
    if read >= _HALF * len(said):
        return
    line = f"{read} of {len(said)} answers of {agent.model.name} ({mode}) could be read; {_advice(agent, said)}"
    if not read:
        raise DataError(line)
    warn(line)


def _advice(agent: GridAgent, said: list[GridDecision]) -> str:
    """One that could not be read, and what is left to try."""
    shown = next(each for each in said if each.move is None)
    text = " ".join(shown.completion.split())[:_SHOWN]
    tries = ["--forced (an answer follows each reasoning)" if agent.text.reasoning else "--exact (answers are scored)"]
    tries += [f"--answer {form}" for form in FORMS if form != agent.text.answer_form]
    tries += ["--wording full"] * (agent.text.wording != "full")
    if len(shown.tokens) >= agent.max_new_tokens - 1:
        tries.append(f"more than {agent.max_new_tokens} max_new_tokens")
    return f"one was {text!r}: try {', '.join(tries)}"


def _check_mass(agent: GridAgent, mode: str, places: list[Place]) -> None:
    outside = _outside(agent, places)
    if outside <= _HALF:
        return
    others = {form: _outside(replace(agent, text=replace(agent.text, answer_form=form)), places) for form in FORMS}
    best = min(others, key=lambda form: others[form])
    hint = f"; --answer {best} leaves {others[best]:.2f}" if best != agent.text.answer_form else ""
    warn(
        f"{outside:.2f} of the probability of {agent.model.name} ({mode}) lies on what is no answer, and is left out"
        f" (the column outside_mass){hint}"
    )


def _outside(agent: GridAgent, places: list[Place]) -> float:
    return float(np.mean([each.outside_mass for each in agent.decide(places, range(len(places)))]))
