"""The recipe of ``bandit-agent``: a small Llama-shaped model that plays two-armed bandits and says how sure it is.

Data are transcripts of Thompson-sampling teachers of different greediness (see ``teacher``).
The curriculum starts with bare actions over short horizons, where averaging rewards in context is learnt fastest, then
mixes in thoughts and lengthens the horizon to 50; a finishing stage mixes short episodes (which hold most of the
decisions that are not yet settled) with long ones.  Integers start from a smooth embedding, so that 97 is near 98.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.seeding import derive_seed
from workbench.training.loop import Schedule
from workbench.training.recipes import Built, Shape, Stage, Trainer, Transcripts, new_llama
from workbench.worlds.bandits.text import RENDERINGS, TRAINED_WORDINGS, BanditText
from workbench.worlds.bandits.training.teacher import Teacher, simulate
from workbench.worlds.bandits.training.transcripts import Writer, bandit_tokenizer

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

NAME = "bandit-agent"


@dataclass(frozen=True)
class Recipe:
    """Shape, data and budget.  ``batch_tokens`` is the size of a step; ``actions_only`` the share of the budget spent
    on bare actions at the start (its first half in a single wording); ``full_horizon`` the share after which episodes
    are as long as ``horizon``."""

    shape: Shape = Shape()
    schedule: Schedule = Schedule(tokens=10_000_000)
    finish: Schedule = Schedule(tokens=9_000_000, lr=8e-4)
    batch_tokens: int = 6_144
    horizon: int = 50
    actions_only: float = 0.2
    full_horizon: float = 0.75
    finish_horizons: tuple[int, ...] = (12, 12, 16, 16, 24, 50)
    teacher: Teacher = Teacher()


PRESETS: dict[str, Recipe] = {
    "smoke": Recipe(
        shape=Shape(layers=2, width=32, heads=2, kv_heads=2, mlp=64),
        schedule=Schedule(tokens=60_000),
        finish=Schedule(tokens=20_000),
        batch_tokens=4_096,
    ),
    "cpu": Recipe(),
    "gpu": Recipe(
        shape=Shape(layers=12, width=384, heads=6, kv_heads=6, mlp=1024),
        schedule=Schedule(tokens=300_000_000, lr=6e-4),
        finish=Schedule(tokens=100_000_000, lr=3e-4),
        batch_tokens=131_072,
    ),
}


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """An untrained model with the smooth number embedding."""
    import torch

    model = new_llama(recipe.shape, tokenizer, NAME, seed)
    numbers = torch.arange(161)
    ids = torch.tensor(tokenizer.convert_tokens_to_ids([f" {n}" for n in numbers.tolist()]))
    with torch.no_grad():
        model.model.embed_tokens.weight[ids] = _smooth(numbers, recipe.shape.width)
    return model


def _smooth(numbers: Tensor, width: int) -> Tensor:
    """[n, width]: a line and sinusoids of several periods along random directions, of embedding size (std .02)."""
    import torch

    x = (numbers.float() - 100) / 25
    periods = torch.tensor([1.0, 2.0, 4.0, 8.0])
    waves = torch.cat([torch.sin(x[:, None] * periods), torch.cos(x[:, None] * periods)], dim=1)
    features = torch.cat([2 * x[:, None], torch.ones(len(x), 1), 0.5 * waves], dim=1)
    return features @ torch.randn(features.shape[1], width) * 0.02


def make_batch(recipe: Recipe, writer: Writer, seed: int, step: int, done: float, finish: bool = False) -> Transcripts:
    """The batch of a step: depends on the seed, the step, the stage and the share of its budget that is spent."""
    rng = np.random.default_rng(derive_seed(seed, NAME, "finish" if finish else "data", step))
    if finish:
        return _episodes(recipe, writer, rng, int(rng.choice(recipe.finish_horizons)), rng.random() < 0.12)
    early = done < recipe.actions_only
    along = min(1.0, max(0.0, done - recipe.actions_only) / (recipe.full_horizon - recipe.actions_only))
    horizon = 12 if early else round(10 + (recipe.horizon - 10) * along)
    wordings = TRAINED_WORDINGS[:1] if done < recipe.actions_only / 2 else TRAINED_WORDINGS
    return _episodes(recipe, writer, rng, horizon, early or rng.random() < 0.12, wordings)


def _episodes(
    recipe: Recipe,
    writer: Writer,
    rng: np.random.Generator,
    horizon: int,
    thoughtless: bool,
    wordings: tuple[int, ...] = TRAINED_WORDINGS,
) -> Transcripts:
    episodes = max(2, recipe.batch_tokens // ((16 if thoughtless else 32) * horizon + 60))
    play = simulate(recipe.teacher, episodes, horizon, rng)
    texts = [
        BanditText(
            rendering=str(rng.choice(list(RENDERINGS))),
            wording=int(rng.choice(wordings)),
            horizon=recipe.horizon,
            thoughts=not thoughtless,
        )
        for _ in range(episodes)
    ]
    return writer.write(play, texts, rng)


def build(recipe: Recipe, seed: int) -> Built:
    """The model, its tokenizer and the two stages."""
    tokenizer = bandit_tokenizer()
    writer = Writer(tokenizer)
    stages = [
        Stage("first", recipe.schedule, lambda step, done: make_batch(recipe, writer, seed, step, done)),
        Stage("finish", recipe.finish, lambda step, done: make_batch(recipe, writer, seed, step, done, finish=True)),
    ]
    return new_model(recipe, tokenizer, seed), tokenizer, stages


train = Trainer(NAME, PRESETS, build)
