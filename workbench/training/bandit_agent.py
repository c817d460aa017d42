"""The recipe of ``bandit-agent``: a small Llama-shaped model that plays two-armed bandits and says how sure it is.

Data are transcripts of Thompson-sampling teachers of different greediness (:mod:`workbench.training.bandit_teacher`).
The curriculum starts with bare actions over short horizons, where averaging rewards in context is learnt fastest, then
mixes in thoughts and lengthens the horizon to 50; a finishing stage mixes short episodes (which hold most of the
decisions that are not yet settled) with long ones.  Integers start from a smooth embedding, so that 97 is near 98.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.environments.bandit_text import RENDERINGS, TRAINED_WORDINGS, BanditText
from workbench.errors import SpecError, did_you_mean
from workbench.seeding import derive_seed, seed_everything
from workbench.training.bandit_teacher import Teacher, simulate
from workbench.training.bandit_transcripts import Transcripts, Writer, bandit_tokenizer
from workbench.training.loop import Schedule, train

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["PRESETS", "Recipe", "train_bandit_agent"]


@dataclass(frozen=True)
class Recipe:
    """Shape, data and budget.  ``batch_tokens`` is the size of a step; ``actions_only`` the share of the budget spent
    on bare actions at the start (its first half in a single wording); ``full_horizon`` the share after which episodes
    are as long as ``horizon``."""

    layers: int = 6
    width: int = 128
    heads: int = 4
    kv_heads: int = 4
    mlp: int = 352
    schedule: Schedule = Schedule(tokens=10_000_000)
    finish: Schedule = Schedule(tokens=3_000_000, lr=8e-4)
    batch_tokens: int = 6_144
    horizon: int = 50
    actions_only: float = 0.2
    full_horizon: float = 0.75
    finish_horizons: tuple[int, ...] = (12, 12, 16, 16, 24, 50)
    teacher: Teacher = Teacher()


PRESETS: dict[str, Recipe] = {
    "smoke": Recipe(
        layers=2,
        width=32,
        heads=2,
        kv_heads=2,
        mlp=64,
        schedule=Schedule(tokens=60_000),
        finish=Schedule(tokens=20_000),
        batch_tokens=4_096,
    ),
    "cpu": Recipe(),
    "gpu": Recipe(
        layers=12,
        width=384,
        heads=6,
        kv_heads=6,
        mlp=1024,
        schedule=Schedule(tokens=300_000_000, lr=6e-4),
        finish=Schedule(tokens=100_000_000, lr=3e-4),
        batch_tokens=131_072,
    ),
}


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """An untrained model with the smooth number embedding."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    seed_everything(derive_seed(seed, "bandit-agent", "init"))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    numbers = torch.arange(161)
    ids = torch.tensor(tokenizer.convert_tokens_to_ids([f" {n}" for n in numbers.tolist()]))
    with torch.no_grad():
        model.model.embed_tokens.weight[ids] = _smooth(numbers, recipe.width)
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
    rng = np.random.default_rng(derive_seed(seed, "bandit-agent", "finish" if finish else "data", step))
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


def soft_cross_entropy(logits: Tensor, ids: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of cross entropies against sparse target distributions, less the targets' own entropy (so that a
    perfect model has loss 0 up to sampled words).  logits [n, vocab]; ids, probabilities [n, k]; weights [n]."""
    logprobs = logits.float().log_softmax(-1).gather(1, ids)
    losses = (probabilities * (probabilities.clamp(min=1e-9).log() - logprobs)).sum(-1)
    return (losses * weights).sum() / weights.sum()


def train_bandit_agent(
    out: Path,
    preset: str = "cpu",
    seed: int = 0,
    device: str | None = None,
    tokens: int | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Train, save a Hugging Face folder in ``out`` and return what the model card needs.  Resumes by itself.

    ``tokens`` replaces the preset's budget; ``report`` gets the step, loss and share done after every step.
    """
    import torch

    if preset not in PRESETS:
        raise SpecError(f"unknown preset {preset!r}{did_you_mean(preset, PRESETS)}")
    recipe = PRESETS[preset]
    if tokens:
        share = tokens / (recipe.schedule.tokens + recipe.finish.tokens)
        stages = [replace(s, tokens=round(s.tokens * share)) for s in (recipe.schedule, recipe.finish)]
        recipe = replace(recipe, schedule=stages[0], finish=stages[1])
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tokenizer = bandit_tokenizer()
    writer = Writer(tokenizer)
    model = new_model(recipe, tokenizer, seed)
    model.to(place)  # type: ignore[arg-type]  # transformers wraps `to` with a narrower type

    def loss_of(batch: Transcripts) -> tuple[Tensor, int]:
        arrays = (batch.where, batch.ids, batch.probabilities, batch.weights)
        where, ids, p, weights = (torch.from_numpy(a).to(place) for a in arrays)
        with torch.autocast(place.type, dtype=torch.bfloat16):
            hidden = model.model(torch.from_numpy(batch.tokens).to(place)).last_hidden_state  # [batch pos d]
            logits = model.lm_head(hidden.flatten(0, 1)[where])  # [n vocab]
        return soft_cross_entropy(logits, ids, p, weights), int((batch.tokens != tokenizer.pad_token_id).sum())

    identity = {"model": "bandit-agent", "preset": preset, "seed": seed}
    seconds, before, total = 0.0, 0, recipe.schedule.tokens + recipe.finish.tokens
    for stage, schedule in (("first", recipe.schedule), ("finish", recipe.finish)):

        def step_loss(step: int, done: float, finish: bool = stage == "finish") -> tuple[Tensor, int]:
            return loss_of(make_batch(recipe, writer, seed, step, done, finish))

        def overall(state: dict[str, float], before: int = before) -> None:
            if report:
                report({**state, "done": min(1.0, (before + state["tokens"]) / total)})

        folder = out / "checkpoints" / stage
        seconds += train(model, step_loss, schedule, folder, {**identity, "stage": stage}, overall)
        before += schedule.tokens
    model.float().save_pretrained(out)
    tokenizer.save_pretrained(out)
    parameters = sum(p.numel() for p in model.parameters())
    return {
        "preset": preset,
        "seed": seed,
        "parameters": parameters,
        "tokens": total,
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "device": place.type,
    }
