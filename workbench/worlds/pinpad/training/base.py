"""The recipe of ``pinpad-base``: a causal transformer on the expert's episodes in the gridworld pinpad.

It sees observations only and predicts the expert's move and the next observation,
``L = mean_t [-log p(a_t | o_1:t) - lambda log p(o_t+1 | o_1:t)]`` (arXiv 2512.20605).  Tasks are skewed at first and
uniform from half of the budget on, which leads training off a plateau where all colours look alike
(see :func:`workbench.worlds.pinpad.tasks.task_weights`).  Batches, their skew included, depend on the seed and
the step alone, so a killed training sees what an undisturbed one sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from workbench.seeding import derive_seed, seed_everything
from workbench.training.loop import Schedule
from workbench.training.loop import train as train_loop
from workbench.training.recipes import facts_of, place_of, preset_of, scaled
from workbench.worlds.pinpad.expert import Episodes, expert_episodes
from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad
from workbench.worlds.pinpad.tasks import pretraining_tasks, task_weights

if TYPE_CHECKING:
    from workbench.models.sequence import SequenceModelForActions

NAME = "pinpad-base"
DRAWING = "pools by number"  # how batches are drawn: a checkpoint of another drawing cannot be gone on with
_POOL = 8  # batches drawn at once and sorted by length, so that little of a batch is padding
_MEASURED = 4096  # episodes that the mean length is taken of


@dataclass(frozen=True)
class Recipe:
    """World, shape and budget (``schedule.tokens`` are steps of episodes).

    ``batch`` episodes a step; ``observation_weight`` is lambda; ``skew`` the first kappa of the tasks' weights, which
    falls to 0 by ``uniform_from`` (a share of the budget).
    """

    world: Pinpad
    schedule: Schedule
    layers: int = 4
    width: int = 128
    heads: int = 4
    mlp: int = 256
    batch: int = 192
    observation_weight: float = 0.01
    skew: float = 2.0
    uniform_from: float = 0.5


PRESETS: dict[str, Recipe] = {
    "smoke": Recipe(
        PINPADS["small"],
        Schedule(tokens=20_000, lr=2e-3, weight_decay=0.03),
        layers=2,
        width=32,
        heads=2,
        mlp=64,
        batch=64,
    ),
    "cpu": Recipe(PINPADS["small"], Schedule(tokens=6_000_000, lr=2.1e-3, weight_decay=0.03, muon=0.014)),
    "gpu": Recipe(
        PINPADS["paper"],
        Schedule(tokens=8_000_000_000, lr=3e-4, weight_decay=0.03),
        layers=6,
        width=256,
        mlp=512,
        batch=1024,
    ),
}


def new_base(recipe: Recipe, seed: int) -> SequenceModelForActions:
    """An untrained base model."""
    from workbench.models.sequence import SequenceConfig, SequenceModelForActions

    seed_everything(derive_seed(seed, NAME, "init"))
    return SequenceModelForActions(
        SequenceConfig(
            field_sizes=recipe.world.field_sizes, n_actions=4, hidden_size=recipe.width, intermediate_size=recipe.mlp,
            num_hidden_layers=recipe.layers, num_attention_heads=recipe.heads,
            max_position_embeddings=recipe.world.horizon, world=asdict(recipe.world),
        )
    )  # fmt: skip


def sequence_loss(
    model: SequenceModelForActions, episodes: Episodes, observation_weight: float
) -> tuple[Tensor, Tensor]:
    """(the loss, nats a move): means over the steps of the episodes."""
    observations, mask = episodes.observations, episodes.mask
    out = model(observations[:, :-1])
    moves = cross_entropy(out.logits[mask].float(), episodes.moves[mask])
    if not observation_weight:
        return moves, moves
    fields = model.next_observation(out.last_hidden_state[mask])
    seen = observations[:, 1:][mask]
    following = sum(cross_entropy(field.float(), seen[:, i]) for i, field in enumerate(fields))
    return moves + observation_weight * following, moves


class ExpertBatches:
    """Batches of the expert's episodes: ``batches(step)``, which depends on the recipe, the seed and the step only.

    Batches are drawn in pools.  What share of the budget is spent before a pool, hence its skew, is reckoned with the
    mean length of episodes: the lengths themselves would be known to an undisturbed training only.
    """

    def __init__(self, recipe: Recipe, seed: int, device: torch.device) -> None:
        self.recipe, self.seed, self.device = recipe, seed, device
        self.tasks = pretraining_tasks(recipe.world)
        self._pool: tuple[int, list[Episodes]] = (-1, [])

    def __call__(self, step: int) -> Episodes:
        """The batch of a step, padded to its longest episode."""
        number, at = divmod(step, _POOL)
        if self._pool[0] != number:
            self._pool = number, self._drawn(number)
        return self._pool[1][at]

    def kappa(self, pool: int) -> float:
        """The skew of a pool: the recipe's at first, falling to 0 by ``uniform_from`` of the budget."""
        done = pool * _POOL * self.recipe.batch * self._mean_length / self.recipe.schedule.tokens
        return self.recipe.skew * max(0.0, 1 - done / self.recipe.uniform_from)

    @cached_property
    def _mean_length(self) -> float:
        generator = self._generator("length")
        drawn = expert_episodes(self.recipe.world, self.tasks, _MEASURED, generator)
        return float(drawn.lengths.double().mean())

    def _drawn(self, pool: int) -> list[Episodes]:
        generator, weights = self._generator("data", pool), task_weights(self.recipe.world, self.kappa(pool))
        drawn = expert_episodes(self.recipe.world, self.tasks, _POOL * self.recipe.batch, generator, weights)
        parts = drawn.lengths.argsort(stable=True).view(_POOL, -1)
        order = torch.randperm(_POOL, generator=generator, device=self.device).tolist()
        return [drawn[parts[i]] for i in order]

    def _generator(self, *names: str | int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(derive_seed(self.seed, NAME, *names))


def train(
    out: Path,
    preset: str = "cpu",
    seed: int = 0,
    device: str | None = None,
    tokens: int | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Train, save a Hugging Face folder in ``out`` and return what the model card needs.  Resumes by itself.

    ``tokens`` replaces the preset's budget (steps of episodes); ``report`` gets the step, loss and share done.
    """
    recipe: Recipe = preset_of(PRESETS, preset)
    schedule = scaled([recipe.schedule], tokens)[0]
    recipe = replace(recipe, schedule=schedule)
    place = place_of(device)
    model, data = new_base(recipe, seed).to(place), ExpertBatches(recipe, seed, place)  # type: ignore[arg-type]
    identity = {"model": NAME, "preset": preset, "seed": seed, "data": DRAWING}

    def step_loss(step: int, _done: float) -> tuple[Tensor, int]:
        episodes = data(step)
        with torch.autocast(place.type, dtype=torch.bfloat16):
            loss, _ = sequence_loss(model, episodes, recipe.observation_weight)
        return loss, int(episodes.lengths.sum())

    seconds = train_loop(model, step_loss, schedule, out / "checkpoints" / "base", identity, report)
    model.float().save_pretrained(out)
    return {"preset": preset, "seed": seed} | facts_of(model, schedule.tokens, seconds)
