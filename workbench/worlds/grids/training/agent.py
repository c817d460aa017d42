"""The recipe of ``grid-agent``: a small Llama-shaped model that walks grids to a goal, at once or after a reasoning.

Data are decisions of a shortest-path teacher at random states of random layouts (mazes of every wall density, and rooms
whose door needs a key); layouts that are ``held_out`` never occur.  The curriculum grows the grids: the smallest
first, where the rules are learnt at a third of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.seeding import derive_seed
from workbench.training.loop import Schedule
from workbench.training.recipes import Built, MakeBatch, Shape, Stage, Trainer, Transcripts, new_llama
from workbench.worlds.grids.layouts import UNREACHABLE, Layout, State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.training.transcripts import GridWriter, grid_tokenizer

DENSITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
NAME = "grid-agent"
STATES_A_LAYOUT = 3


@dataclass(frozen=True)
class Later:
    """A stage after the first: sizes at once, and ``keys``, the share of layouts with a key and a door."""

    name: str
    schedule: Schedule
    keys: float


@dataclass(frozen=True)
class Recipe:
    """Shape, data and budget.  ``sizes`` from the smallest, as the first stage lets them join; ``later_sizes`` those of
    the later stages (as often as they are named); ``batch_tokens`` the size of a step; ``reasoning`` the share of
    decisions that are reasoned.  Each later stage starts from a high rate again and has more keys, which are learnt
    last."""

    shape: Shape = Shape()
    schedule: Schedule = Schedule(tokens=16_000_000)
    keys: float = 0.15
    later: tuple[Later, ...] = (
        Later("finish", Schedule(tokens=12_000_000, lr=8e-4), 0.15),
        Later("polish", Schedule(tokens=10_000_000, lr=8e-4), 0.3),
        Later("settle", Schedule(tokens=10_000_000, lr=8e-4), 0.4),
    )
    sizes: tuple[int, ...] = (5, 7, 9)
    later_sizes: tuple[int, ...] = (5, 7, 7, 7, 9, 9)
    batch_tokens: int = 6_144
    reasoning: float = 0.6


PRESETS: dict[str, Recipe] = {
    "smoke": Recipe(
        shape=Shape(layers=2, width=32, heads=2, kv_heads=2, mlp=64),
        schedule=Schedule(tokens=40_000),
        later=(Later("finish", Schedule(tokens=20_000, lr=8e-4), 0.3),),
        batch_tokens=2_048,
    ),
    "cpu": Recipe(),
    "gpu": Recipe(
        shape=Shape(layers=12, width=160, heads=5, kv_heads=5, mlp=448),
        schedule=Schedule(tokens=700_000_000, lr=6e-4),
        later=(
            Later("finish", Schedule(tokens=200_000_000, lr=4e-4), 0.15),
            Later("polish", Schedule(tokens=100_000_000, lr=3e-4), 0.3),
        ),
        sizes=(5, 7, 9, 11, 13, 15),
        later_sizes=(7, 9, 11, 13, 15),
        batch_tokens=262_144,
    ),
}


def make_batch(
    recipe: Recipe, writer: GridWriter, seed: int, step: int, done: float, stage: Later | None = None
) -> Transcripts:
    """The batch of a step: decisions on grids of one size, which grows with the share ``done`` of the first stage."""
    rng = np.random.default_rng(derive_seed(seed, NAME, stage.name if stage else "data", step))
    size = int(rng.choice(recipe.later_sizes)) if stage else _size(recipe.sizes, done, rng)
    keys = stage.keys if stage else recipe.keys
    reasoning = rng.random() < recipe.reasoning
    decisions = max(2, recipe.batch_tokens // (size * (size + 2) + (75 if reasoning else 48)))
    layouts = [_layout(size, keys, rng) for _ in range(-(-decisions // STATES_A_LAYOUT))]
    places = [place for layout in layouts for place in _places(layout, rng)]
    return writer.write(places, [reasoning] * len(places), rng)


def _size(sizes: tuple[int, ...], done: float, rng: np.random.Generator) -> int:
    """A new size joins at equal steps over the first half of training; the newest are the most frequent."""
    known = 1 + int(min(1.0, done / 0.5) * (len(sizes) - 1) + 0.5)
    weights = np.arange(1.0, known + 1)
    return int(rng.choice(sizes[:known], p=weights / weights.sum()))


def _layout(size: int, keys: float, rng: np.random.Generator) -> Layout:
    """A layout that is not held out."""
    structure = "KeyDoor" if size > 5 and rng.random() < keys else "maze"
    density = float(rng.choice(DENSITIES)) if structure == "maze" else 0.0
    return make_layout(size, density, structure, int(rng.integers(2**62)), held_out=False)


def _places(layout: Layout, rng: np.random.Generator) -> list[tuple[Layout, State]]:
    """A few states from which the goal can be reached."""
    states = []
    for has_key in (False, True) if layout.key else (False,):
        for cell in layout.open_cells():
            state = State(cell, has_key)
            stands_on_key = cell == layout.key and not has_key
            if cell != layout.goal and not stands_on_key and layout.distance(state) != UNREACHABLE:
                states.append(state)
    return [(layout, states[i]) for i in rng.permutation(len(states))[:STATES_A_LAYOUT]]


def build(recipe: Recipe, seed: int) -> Built:
    """The model, its tokenizer and the stages."""
    tokenizer = grid_tokenizer()
    writer = GridWriter(tokenizer)

    def batches(stage: Later | None) -> MakeBatch:
        return lambda step, done: make_batch(recipe, writer, seed, step, done, stage)

    stages = [Stage("first", recipe.schedule, batches(None))]
    stages += [Stage(stage.name, stage.schedule, batches(stage)) for stage in recipe.later]
    return new_llama(recipe.shape, tokenizer, NAME, seed), tokenizer, stages


train = Trainer(NAME, PRESETS, build)
