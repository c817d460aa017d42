"""What the recipes of the shipped models share: a small Llama, soft targets, stages of training, the saved folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import SpecError, did_you_mean
from workbench.seeding import derive_seed, seed_everything
from workbench.training.loop import Schedule, train

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Shape:
    """Size of a Llama."""

    layers: int = 6
    width: int = 128
    heads: int = 4
    kv_heads: int = 4
    mlp: int = 352
    positions: int = 4096


@dataclass
class Transcripts:
    """A padded batch: ``tokens`` [batch, pos]; for each of the n target positions its flat index into ``tokens`` (the
    position that predicts), candidate ids and probabilities [n, k] (which sum to 1), and its weight in the loss."""

    tokens: np.ndarray
    where: np.ndarray
    ids: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray


MakeBatch = Callable[[int, float], Transcripts]
"""(step, share of the stage's budget that is spent) -> its batch."""


@dataclass(frozen=True)
class Stage:
    """A stretch of training with its own data and learning rate; its name is that of its checkpoint folder."""

    name: str
    schedule: Schedule
    make_batch: MakeBatch


def preset_of(presets: Mapping[str, Any], name: str) -> Any:
    """The recipe of a preset; raises :class:`SpecError` for a name that is none."""
    if name not in presets:
        raise SpecError(f"unknown preset {name!r}{did_you_mean(name, presets)}")
    return presets[name]


def scaled(schedules: Sequence[Schedule], tokens: int | None) -> list[Schedule]:
    """The same stages with ``tokens`` in all (None: as they are)."""
    share = 1.0 if tokens is None else tokens / sum(schedule.tokens for schedule in schedules)
    return [replace(schedule, tokens=round(schedule.tokens * share)) for schedule in schedules]


def new_llama(shape: Shape, tokenizer: PreTrainedTokenizerFast, name: str, seed: int) -> LlamaForCausalLM:
    """An untrained model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    seed_everything(derive_seed(seed, name, "init"))
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=shape.positions,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=False,
        )
    )


def soft_cross_entropy(logits: Tensor, ids: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of cross entropies against sparse target distributions, less the targets' own entropy (so that a
    perfect model has loss 0 up to sampled words).  logits [n, vocab]; ids, probabilities [n, k]; weights [n]."""
    logprobs = logits.float().log_softmax(-1).gather(1, ids)
    losses = (probabilities * (probabilities.clamp(min=1e-9).log() - logprobs)).sum(-1)
    return (losses * weights).sum() / weights.sum()


def train_stages(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    stages: Sequence[Stage],
    out: Path,
    identity: dict[str, Any],
    device: str | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Train stage after stage, save a Hugging Face folder in ``out`` and return what the model card needs.

    Resumes by itself.  ``identity`` (model, preset, seed) guards the checkpoints; ``report`` gets the step, loss and
    the share done after every step.
    """
    import torch

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model.to(place)  # type: ignore[arg-type]  # transformers wraps `to` with a narrower type

    def loss_of(batch: Transcripts) -> tuple[Tensor, int]:
        arrays = (batch.where, batch.ids, batch.probabilities, batch.weights)
        where, ids, p, weights = (torch.from_numpy(a).to(place) for a in arrays)
        with torch.autocast(place.type, dtype=torch.bfloat16):
            hidden = model.model(torch.from_numpy(batch.tokens).to(place)).last_hidden_state  # [batch pos d]
            logits = model.lm_head(hidden.flatten(0, 1)[where])  # [n vocab]
        return soft_cross_entropy(logits, ids, p, weights), int((batch.tokens != tokenizer.pad_token_id).sum())

    seconds, before, total = 0.0, 0, sum(stage.schedule.tokens for stage in stages)
    for stage in stages:

        def step_loss(step: int, done: float, make_batch: MakeBatch = stage.make_batch) -> tuple[Tensor, int]:
            return loss_of(make_batch(step, done))

        def overall(state: dict[str, float], before: int = before) -> None:
            if report:
                report({**state, "done": min(1.0, (before + state["tokens"]) / total)})

        folder = out / "checkpoints" / stage.name
        seconds += train(model, step_loss, stage.schedule, folder, identity | {"stage": stage.name}, overall)
        before += stage.schedule.tokens
    model.float().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        **{key: value for key, value in identity.items() if key != "model"},
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": total,
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "device": place.type,
    }
