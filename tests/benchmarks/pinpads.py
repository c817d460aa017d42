"""The gridworld pinpad: steps a second, and the expert's data."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from statistics import median
from types import ModuleType

import torch
from gymnasium.vector import SyncVectorEnv
from measure import Row, Timed, at_least, compare

from workbench.worlds.pinpad.env import PinpadVectorEnv
from workbench.worlds.pinpad.expert import expert_episodes
from workbench.worlds.pinpad.pinpad import Pinpad, PinpadState, begin, draw_layouts, observe, step
from workbench.worlds.pinpad.tasks import pretraining_tasks
from workbench.worlds.pinpad.training.base import PRESETS, new_base, sequence_loss

__all__ = ["expert_data", "steps"]

PLAIN = Path(__file__).parents[1] / "workbench/worlds/pinpad/plain_pinpad.py"


def steps(_model_name: str, quick: bool) -> list[Row]:
    """The paper's world under random moves: tensors, the vector environment, and a loop over plain environments."""
    world, worlds = Pinpad(), 64 if quick else 4096
    lengths = (4, 4, 2) if quick else (200, 50, 5)  # moves timed: tensors, vector environment, plain
    moves = torch.randint(4, (max(lengths), worlds), generator=torch.Generator().manual_seed(0))
    fresh = _fresh(world, worlds)
    vector = PinpadVectorEnv(worlds)
    tasks, plain_env = pretraining_tasks(world).tolist(), _plain().PlainPinpadEnv
    plain = SyncVectorEnv([lambda: plain_env(tasks)] * worlds)
    vector.reset(seed=0), plain.reset(seed=0)
    played = [_fresh(world, worlds)]

    def rules() -> None:
        state = played[0]
        for move in moves[: lengths[0]]:
            state, _ = step(world, state, move)

    def tensors() -> None:
        state = played[0]
        for move in moves[: lengths[0]]:
            ended = state.done.nonzero()[:, 0]
            state.put_(ended, fresh[ended])
            state, _ = step(world, state, move)
            observe(world, state.agent, state.objects)
        played[0] = state

    def loop(env: PinpadVectorEnv | SyncVectorEnv, length: int) -> None:
        for move in moves[:length].numpy():
            env.step(move)

    ways = [rules, lambda: loop(vector, lengths[1]), lambda: loop(plain, lengths[2])]
    bare, gym, other = compare(tensors, ways, 1 if quick else 5)
    found = zip((other.ours, bare.other, gym.other, other.other), (lengths[0], *lengths), strict=True)
    each = [[seconds / length for seconds in times] for times, length in found]  # seconds a step of all worlds
    rates = [worlds / median(times) / 1e6 for times in each]
    note = (
        f"{worlds} worlds of size {world.size}, random moves, millions of steps a second: rules alone {rates[1]:.1f}, "
        f"with ended worlds restarted in drawn layouts and all observed {rates[0]:.1f}, PinpadVectorEnv (draws every "
        f"layout, returns infos) {rates[2]:.2f}, SyncVectorEnv of plain Python {rates[3]:.3f}"
    )
    name = "pinpad, {} over SyncVectorEnv of plain Python"
    return [
        Row("pinpad, millions of steps a second", round(rates[0], 2), ">= 10", rates[0] >= 10, note),
        at_least(name.format("tensors"), Timed(each[0], each[3]), 100, "a step of every world; " + note),
        at_least(name.format("PinpadVectorEnv"), Timed(each[2], each[3]), 100, "a step of every world; " + note),
    ]


def expert_data(_model_name: str, quick: bool) -> list[Row]:
    """Episodes of the expert against a training pass over them, on the world and base of the CPU preset."""
    recipe = PRESETS["smoke" if quick else "cpu"]
    model, tasks, generator = new_base(recipe, 0), pretraining_tasks(recipe.world), torch.Generator().manual_seed(0)
    n = recipe.batch

    def draw() -> None:
        expert_episodes(recipe.world, tasks, 8 * n, generator)

    drawn = expert_episodes(recipe.world, tasks, 8 * n, generator)
    parts = drawn.lengths.argsort().view(8, n)

    def learn() -> None:
        for part in parts:
            model.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss, _ = sequence_loss(model, drawn[part], recipe.observation_weight)
            loss.backward()

    (timed,) = compare(draw, [learn], 1 if quick else 5)
    rate = int(drawn.lengths.sum()) / median(timed.ours) / 1e3
    note = f"{8 * n} episodes of the small pinpad, {rate:.0f} thousand steps of the expert a second"
    return [at_least("pinpad expert's data, over a forward and backward pass of the base on it", timed, 1, note)]


def _fresh(world: Pinpad, n: int) -> PinpadState:
    generator = torch.Generator().manual_seed(1)
    tasks = pretraining_tasks(world)
    picked = torch.randint(len(tasks), (n,), generator=generator)
    return begin(world, draw_layouts(world, n, generator), tasks[picked])


def _plain() -> ModuleType:
    """The plain reference of the tests."""
    spec = importlib.util.spec_from_file_location("plain_pinpad", PLAIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
