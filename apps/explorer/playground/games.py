"""The agent at play, left alone and steered: the same episode twice, from the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import streamlit as st

from apps.explorer.playground.boards import show_bandit, show_grid
from apps.explorer.playground.sides import Checkpoint, Side, Sides
from apps.explorer.playground.steering import Push, interventions_of
from workbench.errors import DataError
from workbench.views.choices import key_of, number, pick, slide, switch
from workbench.views.jobs import Job, computed
from workbench.views.model_cache import LoadedModel
from workbench.worlds.bandits.playground import BanditSettings, play_bandit
from workbench.worlds.grids.playground import GridSettings, play_grid

__all__ = ["bandit_sides", "grid_sides"]

Play = Callable[..., list[Any]]
_MOST_GRID = 60


def bandit_sides(loaded: LoadedModel, pushes: tuple[Push, ...]) -> Sides | None:
    """A bandit episode; the sides are its last step."""
    from workbench.worlds.bandits.text import HELD_OUT_WORDINGS, RENDERINGS, TRAINED_WORDINGS

    with st.expander("The bandit"):
        first, second, third = st.columns(3)
        with first:
            rendering = pick("Rendering", list(RENDERINGS), "rendering", show=lambda name: name.replace("_", " "))
            wording = pick("Wording", list(map(str, sorted(TRAINED_WORDINGS + HELD_OUT_WORDINGS))), "wording")
        with second:
            low = number("Mean of arm 1", 0.0, 1000.0, "mean1", 95.0, 1.0)
            high = number("Mean of arm 2", 0.0, 1000.0, "mean2", 105.0, 1.0)
        with third:
            sigma = number("Standard deviation", 0.0, 1000.0, "sigma", 10.0, 1.0)
            completions = number("Completions a step", 1, 50, "completions", 10, help="drawn to see how sure it is")
    count, seed = _steps(BanditSettings.horizon)
    settings = BanditSettings(rendering, int(wording), (low, high), sigma, completions=completions, seed=seed)
    found = _played("bandit", loaded, pushes, settings, count, play_bandit)
    if found is None:
        return None
    show_bandit(found, settings)
    encode = loaded.model.encode_continuation
    return _sides(found, pushes, settings, lambda step: (step.prompt, encode(step.completion)))


def grid_sides(loaded: LoadedModel, pushes: tuple[Push, ...]) -> Sides | None:
    """A grid episode; the sides are its last step."""
    from workbench.worlds.grids.mazes import GOAL_STRUCTURES

    with st.expander("The grid"):
        first, second, third = st.columns(3)
        with first:
            structure = pick("Kind", ["maze", *GOAL_STRUCTURES], "structure")
        with second:
            size = pick("Size", ["5", "7", "9"], "size", index=1)
        with third:
            density = slide("Wall density", 0.0, 1.0, "density", 0.4, 0.2)
        reasoning = switch("Reason before answering", "reasoning")
    count, seed = _steps(_MOST_GRID)
    settings = GridSettings(structure, int(size), density, reasoning, seed)
    layout = settings.layout()
    found = _played("grid", loaded, pushes, settings, count, play_grid)
    if found is None:
        return None
    show_grid(found, layout)
    return _sides(found, pushes, settings, lambda step: (step.decision.prompt, step.decision.tokens))


def _steps(most: int) -> tuple[int, int]:
    """How many steps are played (typed, or one or five more by a button), and of which episode."""
    key = key_of("steps")

    def more(by: int) -> None:
        st.session_state[key] = min(most, int(st.session_state.get(key, 1)) + by)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button("Next step", type="primary", on_click=more, args=(1,))
        st.button("Five steps", on_click=more, args=(5,))
        st.button("Start again", on_click=lambda: st.session_state.update({key: 1}))
        with st.container(width=150):
            count = number("Steps played", 1, most, "steps", 1)
        with st.container(width=150):
            seed = number("Episode (seed)", 0, 10**6, "episode", 0)
    return count, seed


def _played(
    game: str, loaded: LoadedModel, pushes: tuple[Push, ...], settings: Hashable, count: int, play: Play
) -> dict[str, list[Any]] | None:
    """Steps of each condition; those played before are not played again."""
    stored = st.session_state.setdefault("_games", {})
    same = (game, loaded.model.fingerprint, settings)
    known = {name: stored.get((name, *same, given)) or [] for name, given in (("unsteered", ()), ("steered", pushes))}

    def work(job: Job) -> dict[str, list[Any]]:
        given: dict[str, Sequence[Any]] = {"unsteered": []}
        if pushes:
            given["steered"] = interventions_of(pushes)
        found = {}
        with loaded.held_by(job) as model:
            for name, interventions in given.items():
                watch = Checkpoint(job)

                def advance(number: int, name: str = name) -> None:
                    job.report(done=number, total=count, message=f"steps, {name}")

                found[name] = play(model, settings, [*interventions, watch], count, known[name], advance)
        return found

    found = computed("game", (*same, pushes, count), "Playing", work)
    if found is not None:
        stored.clear()  # one episode a session
        stored.update({
            (name, *same, pushes if name == "steered" else ()): max(steps, known[name], key=len)
            for name, steps in found.items()
        })  # fmt: skip
    return found


def _sides(
    found: dict[str, list[Any]], pushes: tuple[Push, ...], settings: Hashable,
    last: Callable[[Any], tuple[list[int], list[int]]],
) -> Sides:  # fmt: skip
    given = {"unsteered": [], "steered": interventions_of(pushes)}
    if not all(found.values()):
        raise DataError("no step could be played: the episode is over before it begins")
    sides = [Side(name, *last(steps[-1]), given[name]) for name, steps in found.items()]
    stamp = (settings, pushes, tuple((tuple(side.prompt), tuple(side.completion)) for side in sides))
    return Sides(sides, stamp)
