"""The recipe of ``ant-base``: a recurrent model (Hawk) on the expert's episodes in the ant pinpad.

It sees observations only and predicts the torques and the next observation,
``L = mean_t [-log p(a_t | o_1:t) - lambda log p(o_t+1 | o_1:t)]`` with lambda 10 (arXiv 2512.20605).  The torques are a
diagonal Gaussian whose mean and scale the model gives; the next observation is a Gaussian of unit variance (the
observation is symlog already), so that its term is half the squared error.

The episodes are the expert's, recorded once in shards under ``OUT/episodes`` and read from there afterwards, so a
training that is stopped while recording goes on at the next shard.  The finished model is judged on further episodes of
the expert, and by letting it play.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from workbench.errors import RunError
from workbench.files import make_folder
from workbench.models.sequence_model import SequenceModel
from workbench.seeding import derive_seed, seed_everything
from workbench.training.loop import Schedule
from workbench.training.loop import train as train_loop
from workbench.training.recipes import facts_of, place_of, preset_of, scaled
from workbench.worlds.pinpad.ant_pinpad import TASKS, AntPinpad
from workbench.worlds.pinpad.ant_world import AntWorld
from workbench.worlds.pinpad.training.ant_episodes import (
    FACTS,
    AntEpisodes,
    AntExpert,
    Walker,
    random_torques,
    record_episodes,
)

if TYPE_CHECKING:
    from workbench.models.sequence import SequenceModelForActions
NAME = "ant-base"


@dataclass(frozen=True)
class Recipe:
    """World, shape and budget (``schedule.tokens`` are steps of episodes).

    ``episodes`` are recorded in shards of ``shard``, by the expert that ``workbench train ant-expert --preset EXPERT``
    left beside the output folder, or with random torques where ``expert`` is None; ``batch`` of them a step;
    ``observation_weight`` is lambda; ``judged`` episodes a task are played by the finished model.
    """

    schedule: Schedule
    world: AntWorld = field(default_factory=AntWorld)
    layers: int = 8
    width: int = 256
    heads: int = 8
    mlp: int = 768
    batch: int = 128
    observation_weight: float = 10.0
    episodes: int = 16_384
    shard: int = 256
    expert: str | None = "gpu"
    judged: int = 200


PRESETS: dict[str, Recipe] = {
    "smoke": Recipe(
        Schedule(tokens=4_000, lr=3e-3, weight_decay=0.03), layers=2, width=32, heads=2, mlp=64, batch=8,
        episodes=16, shard=8, expert=None, judged=2,
    ),
    "cpu": Recipe(
        Schedule(tokens=6_000_000, lr=1e-3, weight_decay=0.03), layers=4, width=128, heads=4, mlp=384, batch=32,
        episodes=1_024, shard=64, expert="cpu",
    ),
    "gpu": Recipe(Schedule(tokens=1_000_000_000, lr=3e-4, weight_decay=0.03)),
}  # fmt: skip


def new_base(recipe: Recipe, seed: int) -> SequenceModelForActions:
    """An untrained base model."""
    from workbench.models.sequence import SequenceConfig, SequenceModelForActions

    seed_everything(derive_seed(seed, NAME, "init"))
    return SequenceModelForActions(
        SequenceConfig(
            block="recurrent", observation="vector", observation_size=recipe.world.observation_size, field_sizes=[],
            action="gaussian", n_actions=8, hidden_size=recipe.width, intermediate_size=recipe.mlp,
            num_hidden_layers=recipe.layers, num_attention_heads=recipe.heads,
            max_position_embeddings=recipe.world.rules.horizon, world=asdict(recipe.world),
        )
    )  # fmt: skip


def sequence_loss(
    model: SequenceModelForActions, episodes: AntEpisodes, observation_weight: float
) -> tuple[Tensor, Tensor]:
    """(the loss, nats an action): means over the steps of the episodes.  The trunk runs in bfloat16 where that is fast,
    the heads in float32: rounded, the mean of a sharp Gaussian is a wrong one."""
    observations, mask = episodes.observations, episodes.mask
    with torch.autocast(observations.device.type, dtype=torch.bfloat16):
        hidden = model.model(observations[:, :-1]).last_hidden_state
    hidden = hidden[mask].float()
    actions = -model.action_distribution(model.action_head(hidden)).log_prob(episodes.actions[mask]).mean()
    following = model.next_observation(hidden)[0]
    squared = (following - observations[:, 1:][mask]).square().sum(-1).mean()
    return actions + observation_weight * squared / 2, actions


def recorded(recipe: Recipe, out: Path, seed: int, jobs: int = 1) -> AntEpisodes:
    """The recipe's episodes: read where they are recorded, recorded (in ``jobs`` processes) where they are not.

    Raises :class:`RunError` when the expert is missing, naming the command that trains it.
    """
    from workbench.runs.engines import in_processes

    folder = out / "episodes"
    make_folder(folder)
    paths = [folder / f"{seed}-{number:05}.safetensors" for number in range(-(-recipe.episodes // recipe.shard))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    if missing:
        walker = _walker(recipe, out)
        shards = [(derive_seed(seed, NAME, "episodes", number), paths[number]) for number in missing]
        deque(in_processes(partial(_record, recipe, walker), shards, jobs), maxlen=0)
    return AntEpisodes.join([AntEpisodes.load(path) for path in paths])


def _walker(recipe: Recipe, out: Path) -> Walker:
    if recipe.expert is None:
        return random_torques
    folder = out.parent / f"ant-expert-{recipe.expert}"
    if not (folder / FACTS).exists():
        raise RunError(
            f"no expert in {folder}: train it with workbench train ant-expert --preset {recipe.expert} --out {folder}"
        )
    return AntExpert.load(folder)


def _record(recipe: Recipe, walker: Walker, shard: tuple[int, Path]) -> None:
    """One shard from its seed; of worlds that the task can be done in, as the data of the grid's base."""
    seed, path = shard
    record_episodes(recipe.world, walker, recipe.shard, seed, solvable=True).save(path)


class BaseWalker:
    """Torques of a base model: one step of its recurrence at each step of the ant.

    They are drawn from its Gaussian with noise that depends on the episode's seed and the time only, or are its mean
    with ``sample=False``.  ``hooks`` steer the model while it walks.
    """

    def __init__(self, model: SequenceModel, sample: bool = True, hooks: Any = None) -> None:
        self.model, self.sample, self.hooks = model, sample, hooks
        self.cache = model.cache()

    def __call__(self, env: AntPinpad) -> np.ndarray:
        if env.time == 0:
            self.cache = self.model.cache()
        seen = torch.from_numpy(env.observation)[None].to(self.model.device)
        with torch.no_grad():
            # None is for passes that stop half-way.
            logits = cast("Tensor", self.model.step(seen, self.cache, self.hooks))
        drawn = self.model.action_distribution(logits[0])
        noise = np.random.default_rng([env.episode_seed or 0, env.time]).standard_normal(8) * self.sample
        return drawn.mean.cpu().numpy() + drawn.variance.sqrt().cpu().numpy() * noise


def _judged(recipe: Recipe, model: SequenceModel, walker: Walker, seed: int) -> dict[str, float]:
    """Nats an action on further episodes of the expert, and how often the model itself completes a task."""
    world, n, seed = recipe.world, recipe.judged, derive_seed(seed, NAME, "judged")
    episodes = record_episodes(world, walker, n, seed, solvable=True).to(model.device)
    nats, steps = 0.0, int(episodes.lengths.sum())
    for start in range(0, n, recipe.batch):
        part = episodes[start : start + recipe.batch]
        with torch.no_grad():
            nats += float(sequence_loss(model.backend.hf_model, part, 0.0)[1]) * int(part.lengths.sum()) / steps
    found = {"nats_an_action": nats}
    for task in TASKS:
        played = record_episodes(world, BaseWalker(model), n, seed, task, solvable=True)
        found[f"success_{task}"] = float(played.success.float().mean())
    return found


def train(
    out: Path,
    preset: str = "gpu",
    seed: int = 0,
    device: str | None = None,
    tokens: int | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Record, train, save a Hugging Face folder in ``out`` and return what the model card needs.  Resumes by itself.

    ``tokens`` replaces the preset's budget (steps of episodes); ``report`` gets the step, loss and share done.
    """
    recipe: Recipe = preset_of(PRESETS, preset)
    schedule = scaled([recipe.schedule], tokens)[0]
    place = place_of(device)
    jobs = 1 if len(range(0, recipe.episodes, recipe.shard)) < 4 else len(os.sched_getaffinity(0))
    episodes = recorded(recipe, out, seed, jobs)
    model = new_base(recipe, seed).to(place)  # type: ignore[arg-type]

    def step_loss(step: int, _done: float) -> tuple[Tensor, int]:
        batch = _batch(episodes, recipe.batch, derive_seed(seed, NAME, "data", step)).to(place)
        loss, _ = sequence_loss(model, batch, recipe.observation_weight)
        return loss, int(batch.lengths.sum())

    identity = {"model": NAME, "preset": preset, "seed": seed}
    seconds = train_loop(model, step_loss, schedule, out / "checkpoints" / "base", identity, report)
    model.float().save_pretrained(out)
    return {
        "preset": preset,
        "seed": seed,
        "episodes": len(episodes),
        "expert_success": float(episodes.success.float().mean()),
        **_judged(recipe, SequenceModel(model.eval().requires_grad_(False), NAME), _walker(recipe, out), seed),
        **facts_of(model, schedule.tokens, seconds),
    }


def _batch(episodes: AntEpisodes, size: int, seed: int) -> AntEpisodes:
    return episodes[torch.randint(len(episodes), (size,), generator=torch.Generator().manual_seed(seed))]
