"""What the recipes of the shipped models share: a small Llama, soft targets, stages of training, the saved folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import check_known
from workbench.seeding import derive_seed, seed_everything
from workbench.training.loop import Schedule, train

if TYPE_CHECKING:
    import torch
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


Target = tuple[int, Sequence[int] | np.ndarray, float | Sequence[float] | np.ndarray, float]
"""A place in its row, the ids that may stand there, their probabilities, the weight in the loss."""


def padded(rows: Sequence[Sequence[int]], targets: Sequence[Sequence[Target]], pad: int, width: int) -> Transcripts:
    """A batch of rows of tokens, padded on the right, with the targets of each row; ``width`` ids a target at most.

    >>> batch = padded([[5, 6], [5, 6, 7]], [[(1, (6,), 1.0, 1.0)], [(2, (7, 8), 0.5, 0.1)]], pad=0, width=2)
    >>> batch.tokens.tolist(), batch.where.tolist(), batch.ids.tolist()
    ([[5, 6, 0], [5, 6, 7]], [0, 4], [[6, 0], [7, 8]])
    """
    longest = max(map(len, rows))
    tokens = np.full((len(rows), longest), pad)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    flat = [(i * longest + at - 1, choices, p, w) for i, own in enumerate(targets) for at, choices, p, w in own]
    ids, probabilities = np.zeros((len(flat), width), np.int64), np.zeros((len(flat), width), np.float32)
    for n, (_, choices, p, _) in enumerate(flat):
        ids[n, : len(choices)], probabilities[n, : len(choices)] = choices, p
    where, weights = np.array([at for at, *_ in flat]), np.array([weight for *_, weight in flat], np.float32)
    return Transcripts(tokens, where, ids, probabilities, weights)


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
    check_known(name, presets, "preset")
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

    place = place_of(device)
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
    return {key: value for key, value in identity.items() if key != "model"} | facts_of(model, total, seconds)


def place_of(device: str | None) -> torch.device:
    """The device to train on: by default CUDA where there is one."""
    import torch

    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def facts_of(model: torch.nn.Module, tokens: int, seconds: float) -> dict[str, Any]:
    """What the card of every model tells of its training."""
    import torch

    parameters = list(model.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "tokens": tokens,
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "device": parameters[0].device.type,
    }


Built = tuple["LlamaForCausalLM", "PreTrainedTokenizerFast", list[Stage]]


@dataclass(frozen=True)
class Trainer:
    """``train`` of a recipe: ``build(recipe, seed)`` gives the untrained model, its tokenizer and the stages.

    ``data`` is the default name of what the model learns from, where there are several: ``build`` gets it as well.
    """

    name: str
    presets: Mapping[str, Any]
    build: Callable[..., Built]
    data: str | None = None

    def __call__(
        self,
        out: Path,
        preset: str = "cpu",
        seed: int = 0,
        device: str | None = None,
        tokens: int | None = None,
        report: Callable[[dict[str, float]], None] | None = None,
        data: str | None = None,
    ) -> dict[str, Any]:
        """Train, save a Hugging Face folder in ``out`` and return what the model card needs.  Resumes by itself.

        ``tokens`` replaces the preset's budget; ``report`` gets the step, loss and share done after every step.
        """
        named = {"data": data or self.data} if self.data else {}
        model, tokenizer, stages = self.build(preset_of(self.presets, preset), seed, **named)
        schedules = scaled([stage.schedule for stage in stages], tokens)
        stages = [replace(stage, schedule=schedule) for stage, schedule in zip(stages, schedules, strict=True)]
        identity = {"model": self.name, "preset": preset, "seed": seed, **named}
        return train_stages(model, tokenizer, stages, out, identity, device, report)
