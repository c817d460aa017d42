"""The agent at play, left alone and steered: the same episode twice, from the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from apps.explorer.playground.sides import Checkpoint, Side, Sides
from apps.explorer.playground.steering import Push, interventions_of
from workbench.errors import DataError
from workbench.models.fingerprint import stamp_of
from workbench.views.choices import key_of, number
from workbench.views.games import Game
from workbench.views.jobs import Job, computed
from workbench.views.model_cache import LoadedModel
from workbench.views.text import plain
from workbench.worlds import worlds


def game_sides(name: str, loaded: LoadedModel, pushes: tuple[Push, ...]) -> Sides | None:
    """An episode of a game; the sides are its last step."""
    game = games()[name]()
    with st.expander(f"The {plain(name.lower())}"):
        chosen = game.choose()
    count, seed = _steps(game.most)
    settings = replace(chosen, seed=seed)
    found = _played(name, game, loaded, pushes, settings, count)
    if found is None:
        return None
    game.show(found, settings)
    return _sides(found, pushes, settings, partial(game.last, loaded.model))


def games() -> dict[str, Callable[[], Game]]:
    """The games of all worlds, by name."""
    return {name: load for world in worlds().values() for name, load in world.games.items()}


def game_of(model: str) -> str | None:
    """The game that a model was trained to play; None for one that plays none."""
    found = (world for world in worlds().values() if any(recipe.name == model for recipe in world.recipes))
    return next((name for world in found for name in world.games), None)


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
    name: str, game: Game, loaded: LoadedModel, pushes: tuple[Push, ...], settings: Hashable, count: int
) -> dict[str, list[Any]] | None:
    """Steps of each condition; those played before are not played again."""
    stored = st.session_state.setdefault("_games", {})
    same = (name, *stamp_of(loaded.model).values(), settings)
    known = {side: stored.get((side, *same, given)) or [] for side, given in (("unsteered", ()), ("steered", pushes))}

    def work(job: Job) -> dict[str, list[Any]]:
        given: dict[str, Sequence[Any]] = {"unsteered": []}
        if pushes:
            given["steered"] = interventions_of(pushes)
        found = {}
        with loaded.held_by(job) as model:
            for side, interventions in given.items():
                watch = Checkpoint(job)

                def advance(number: int, side: str = side) -> None:
                    job.report(done=number, total=count, message=f"steps, {side}")

                found[side] = game.play(model, settings, [*interventions, watch], count, known[side], advance)
        return found

    found = computed("game", (*same, pushes, count), "Playing", work)
    if found is not None:
        stored.clear()  # one episode a session
        stored.update({
            (side, *same, pushes if side == "steered" else ()): max(steps, known[side], key=len)
            for side, steps in found.items()
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
