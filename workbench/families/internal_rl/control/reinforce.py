"""Reinforcement by whole batches: one loop for every method that is compared (arXiv 2512.20605, internal RL).

A :class:`Learner` plays a batch of episodes and can say again, with gradients, how likely its choices were.  The loop
does the rest, the same for codes and for raw actions: the return of an episode, standardised over the batch, weighs all
of its choices; PPO's clipped objective is climbed for several epochs; no critic; constant learning rate.  The batch of
an update depends on the seed, the update's number and the weights only, so a killed training goes on bit for bit.
Training always spends its whole budget: nothing stops it early.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.errors import DataError, ModelError, RunError
from workbench.families.internal_rl.control.frozen import frozen, weights_digest
from workbench.families.internal_rl.control.internal_rl import advantages, clipped_objective
from workbench.models.sequence_model import SequenceModel
from workbench.seeding import derive_seed
from workbench.training.loop import resume_checkpoint, save_checkpoint
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.pinpad import Pinpad, PinpadState, begin, draw_layouts


@dataclass(frozen=True)
class Reinforcement:
    """Budget and optimiser: ``updates`` batches of ``batch`` episodes, each climbed for ``epochs`` steps of AdamW.

    ``clip`` is that of the objective, ``max_norm`` that of the gradient; ``chunk`` episodes share a backward pass
    (their gradients are added up, so it bounds the memory and the padding).

    >>> Reinforcement(updates=10, batch=64).episodes
    640
    """

    updates: int = 200
    batch: int = 512
    epochs: int = 4
    lr: float = 3e-4
    weight_decay: float = 0.0
    clip: float = 0.2
    max_norm: float = 1.0
    chunk: int = 256
    checkpoint_seconds: float = 30.0

    @property
    def episodes(self) -> int:
        """Episodes that are played in all."""
        return self.updates * self.batch


@dataclass(frozen=True)
class Trial:
    """A batch of episodes: ``returns`` [batch]; ``progress`` [batch], the subgoals reached in order; ``log_prob``
    [batch, choices] of the choices when they were made and ``mask`` [batch, choices], False at padding; ``record``,
    whatever the learner needs to score them again; ``episodes`` as they were played, where there are such."""

    returns: Float[Tensor, " batch"]
    progress: Float[Tensor, " batch"]
    log_prob: Float[Tensor, "batch choices"]
    mask: Bool[Tensor, "batch choices"]
    record: Any = field(default=None, repr=False)
    episodes: Episodes | None = field(default=None, repr=False)

    @property
    def success(self) -> Bool[Tensor, " batch"]:
        """Episodes that were rewarded."""
        return self.returns > 0


class Learner(Protocol):
    """What is reinforced.

    ``module`` learns (None: nothing does, a baseline that only plays); ``frozen`` are the parts that must not.
    """

    @property
    def module(self) -> nn.Module | None: ...

    @property
    def frozen(self) -> Mapping[str, nn.Module]: ...

    @property
    def device(self) -> torch.device: ...

    def play(self, episodes: int, generator: torch.Generator, greedy: bool = False) -> Trial:
        """Play; ``greedy`` takes the likeliest choice (the mean code) instead of drawing one."""

    def log_prob(self, trial: Trial, rows: Tensor, choices: int) -> Float[Tensor, "rows choices"]:
        """The log-probabilities, now and with gradients, of the first ``choices`` choices of some episodes."""

    def measures(self) -> dict[str, float]:
        """What the learning curve shows besides, e.g. the spread of the policy."""


def reinforce(
    learner: Learner,
    settings: Reinforcement,
    folder: Path,
    seed: int = 0,
    report: Callable[[dict[str, float]], None] | None = None,
    **identity: Any,
) -> list[dict[str, float]]:
    """Train in place, resuming from the checkpoint in ``folder``; return the learning curve, a row an update.

    A row is of the batch that the update was made from: ``update``, ``episodes`` (played so far, this batch included),
    ``success``, ``progress``, ``decisions`` (choices an episode) and the learner's measures.  ``report`` gets each row
    with ``seconds`` and the share ``done``.  Raises :class:`RunError` when a frozen part gets a gradient or changes, or
    when the checkpoint is of another training (settings, seed, ``identity``, frozen weights), and :class:`DataError`
    when training diverges.
    """
    parts = dict(learner.frozen)
    _check_apart(learner, parts)
    kept = _Kept(learner, settings.updates)
    parameters = list(learner.module.parameters()) if learner.module is not None else []
    optimizers: list[torch.optim.Optimizer] = []
    if parameters:
        optimizers = [torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)]
    digests = {name: weights_digest(module) for name, module in parts.items()}
    marks = {"reinforcement": asdict(settings), "seed": seed, "frozen": digests, **identity}
    state = resume_checkpoint(kept, optimizers, folder, marks)
    started, saved = time.monotonic() - state["seconds"], time.monotonic()
    with frozen(parts) as check:
        while state["step"] < settings.updates:
            row = _update(learner, optimizers, settings, seed, state["step"])
            check()
            kept.write(state["step"], row)
            state |= {"step": state["step"] + 1, "tokens": int(row["episodes"]), "seconds": time.monotonic() - started}
            if report:
                report({**row, "seconds": state["seconds"], "done": state["step"] / settings.updates})
            if time.monotonic() - saved >= settings.checkpoint_seconds or state["step"] == settings.updates:
                save_checkpoint(kept, optimizers, folder, state)
                saved = time.monotonic()
    return kept.rows()


def play_trials(learner: Learner, episodes: int, seed: int = 0, greedy: bool = False, batch: int = 4096) -> list[Trial]:
    """Play ``episodes`` without learning, in batches.  The worlds depend on ``seed`` only, so methods meet the same."""
    trials = []
    for number, start in enumerate(range(0, episodes, batch)):
        generator = torch.Generator(learner.device).manual_seed(derive_seed(seed, "evaluation", number))
        with torch.no_grad():
            trials.append(learner.play(min(batch, episodes - start), generator, greedy))
    return trials


def random_worlds(
    model: SequenceModel, task: Int[Tensor, " length"], n: int, generator: torch.Generator
) -> PinpadState:
    """``n`` worlds of the model's kind at the start of ``task``; :class:`ModelError` when those are no pinpads."""
    world = Pinpad.of(model.world)
    if not isinstance(world, Pinpad):
        raise ModelError(
            f"{model.name} was trained in {type(world).__name__}; reinforcement plays the gridworld pinpad"
        )
    return begin(world, draw_layouts(world, n, generator), task.expand(n, -1))


def _update(
    learner: Learner, optimizers: list[torch.optim.Optimizer], settings: Reinforcement, seed: int, update: int
) -> dict[str, float]:
    """One batch, climbed; the row of the curve is of the learner that played it."""
    generator = torch.Generator(learner.device).manual_seed(derive_seed(seed, "reinforce", update))
    measures = learner.measures()
    with torch.no_grad():
        trial = learner.play(settings.batch, generator)
    for _ in range(settings.epochs if optimizers else 0):
        _climb(learner, optimizers[0], settings, trial)
    return {
        "update": update,
        "episodes": (update + 1) * settings.batch,
        "success": float(trial.success.float().mean()),
        "progress": float(trial.progress.float().mean()),
        "decisions": float(trial.mask.sum(1).float().mean()),
        **measures,
    }


def _climb(learner: Learner, optimizer: torch.optim.Optimizer, settings: Reinforcement, trial: Trial) -> None:
    """One step of the optimiser up the clipped objective of the whole batch, episodes of like length together."""
    advantage, counts = advantages(trial.returns), trial.mask.sum(1)
    total = counts.sum()
    optimizer.zero_grad(set_to_none=True)
    for rows in counts.argsort(stable=True).split(settings.chunk):
        choices = int(counts[rows].max())
        if not choices:
            continue
        mask, old = trial.mask[rows, :choices], trial.log_prob[rows, :choices]
        log_prob = learner.log_prob(trial, rows, choices)
        gain = clipped_objective(log_prob, old, advantage[rows, None].expand_as(log_prob), mask, settings.clip)
        (-gain * (mask.sum() / total)).backward()
    assert learner.module is not None
    norm = nn.utils.clip_grad_norm_(learner.module.parameters(), settings.max_norm)
    if not bool(torch.isfinite(norm)):
        raise DataError("reinforcement diverged: the gradient is not finite; lower the learning rate")
    optimizer.step()


def _check_apart(learner: Learner, parts: Mapping[str, nn.Module]) -> None:
    learns = {id(p) for p in learner.module.parameters()} if learner.module is not None else set()
    for name, module in parts.items():
        if any(id(p) in learns for p in module.parameters()):
            raise RunError(f"the frozen part {name!r} shares weights with what learns: give the learner a copy")


class _Kept(nn.Module):
    """What a checkpoint holds: what learns, and the learning curve so far."""

    columns = ("update", "episodes", "success", "progress", "decisions")

    def __init__(self, learner: Learner, updates: int) -> None:
        super().__init__()
        self.names = (*self.columns, *learner.measures())
        self.learns = learner.module
        self.curve: Tensor
        self.register_buffer("curve", torch.full((updates, len(self.names)), torch.nan, dtype=torch.float64))

    def write(self, update: int, row: Mapping[str, float]) -> None:
        self.curve[update] = torch.tensor([row[name] for name in self.names], dtype=torch.float64)

    def rows(self) -> list[dict[str, float]]:
        return [dict(zip(self.names, values, strict=True)) for values in self.curve.tolist()]
