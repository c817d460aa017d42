"""The training loop: AdamW, a cosine schedule over a token budget, checkpoints that resume exactly.

A recipe says what the batch of step n is (from the seed and n alone) and what its loss is; the loop does the rest.
Killed at any moment, it goes on from the last checkpoint, and since batches depend on the step only, it sees the data
it would have seen.  Checkpoints are safetensors and JSON, replaced atomically.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import DataError, RunError, SpecError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_PREFIXES = ("optimizer", "muon")  # of the optimisers' tensors in a checkpoint


@dataclass(frozen=True)
class Schedule:
    """Budget and optimiser: ``tokens`` in all, learning rate warmed up then cosine to a tenth of ``lr``.

    AdamW; with ``muon`` (its learning rate, on the same course) the matrices of the blocks go to Muon instead
    (:class:`SpecError` for a model without a list of blocks named ``layers``).
    ``restart`` is a share of the budget at which the course of the rate begins again.
    """

    tokens: int
    lr: float = 1e-3
    weight_decay: float = 0.1
    warmup: float = 0.02
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    checkpoint_seconds: float = 60.0
    muon: float | None = None
    restart: float | None = None

    def rate(self, done: float, lr: float | None = None) -> float:
        """Learning rate (AdamW's, or that of peak ``lr``) when the fraction ``done`` of the budget is spent.

        >>> Schedule(tokens=1, lr=1.0).rate(1.0)
        0.1
        """
        lr = self.lr if lr is None else lr
        if self.restart and 0 < self.restart < 1:
            done = done / self.restart if done < self.restart else (done - self.restart) / (1 - self.restart)
        if done < self.warmup:
            return lr * (done + 1e-3) / (self.warmup + 1e-3)
        along = min(1.0, (done - self.warmup) / (1 - self.warmup))
        return lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * along)))


def train(
    model: torch.nn.Module,
    step_loss: Callable[[int, float], tuple[Tensor, int]],
    schedule: Schedule,
    folder: Path,
    identity: dict[str, Any],
    report: Callable[[dict[str, float]], None] | None = None,
) -> float:
    """Train ``model`` in place; return the seconds spent over all its lives.

    ``step_loss(step, done)`` gives the loss of a step and the number of tokens it read; ``identity`` (recipe, preset,
    seed) is stored with the checkpoint, and a checkpoint of another identity is refused.
    """
    import torch

    optimizers = _optimizers(model, schedule)
    # A schedule without Muon is written as it was before there was one, so that older checkpoints still resume.
    written = {name: value for name, value in asdict(schedule).items() if value is not None}
    state = resume_checkpoint(model, optimizers, folder, identity | {"schedule": written})
    started, saved, smooth = time.monotonic() - state["seconds"], time.monotonic(), None
    while state["tokens"] < schedule.tokens:
        done = state["tokens"] / schedule.tokens
        for optimizer, peak in zip(optimizers, (schedule.lr, schedule.muon), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(done, peak)
        loss, tokens = step_loss(state["step"], done)
        if not torch.isfinite(loss):
            raise DataError(f"training diverged: the loss at step {state['step']} is {loss.item()}; lower the rate")
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        for optimizer in optimizers:
            optimizer.step()
        state["step"] += 1
        state["tokens"] += tokens
        state["seconds"] = time.monotonic() - started
        smooth = loss.item() if smooth is None else 0.95 * smooth + 0.05 * loss.item()
        if report:
            report({**state, "loss": smooth, "done": min(1.0, state["tokens"] / schedule.tokens)})
        if time.monotonic() - saved > schedule.checkpoint_seconds or state["tokens"] >= schedule.tokens:
            save_checkpoint(model, optimizers, folder, state)
            saved = time.monotonic()
    return float(state["seconds"])


def _optimizers(model: torch.nn.Module, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon when asked for: then it has the matrices of the blocks (embeddings and heads stay AdamW's).

    Raises :class:`SpecError` where there are no such matrices.
    """
    import torch

    named = list(model.named_parameters())
    muon = {n for n, p in named if schedule.muon and p.ndim == 2 and ".layers." in f".{n}" and n.endswith("weight")}
    muon -= {f"{n}.weight" for n, module in model.named_modules() if isinstance(module, torch.nn.Embedding)}
    if schedule.muon and not muon:
        raise SpecError(
            f"muon={schedule.muon:g} needs the weight matrices of blocks in a list named 'layers', and "
            f"{type(model).__name__} has none: leave muon out"
        )
    decay = [p for n, p in named if p.ndim > 1 and n not in muon]
    plain = [p for n, p in named if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decay, "weight_decay": schedule.weight_decay}]
    groups += [{"params": plain, "weight_decay": 0.0}] if plain else []
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=schedule.lr, betas=schedule.betas)]
    if schedule.muon:
        matrices = [p for n, p in named if n in muon]
        optimizers.append(torch.optim.Muon(matrices, lr=schedule.muon, weight_decay=schedule.weight_decay))
    return optimizers


def _named_state(optimizers: list[torch.optim.Optimizer]) -> Iterator[tuple[str, Tensor]]:
    for prefix, optimizer in zip(_PREFIXES, optimizers, strict=False):
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                yield f"{prefix}.{index}.{key}", value


def save_checkpoint(
    model: torch.nn.Module, optimizers: list[torch.optim.Optimizer], folder: Path, state: dict[str, Any]
) -> None:
    """Write weights, optimisers and ``state`` (step, tokens, seconds, identity) to ``folder``, atomically.

    Raises :class:`RunError` when they cannot be written.
    """
    from safetensors.torch import save_file

    tensors = {f"model.{name}": value.detach().clone() for name, value in model.state_dict().items()}
    tensors |= {name: value.clone() for name, value in _named_state(optimizers)}
    temporary = folder / ".checkpoint.safetensors.tmp"
    try:
        save_file(tensors, temporary, metadata={"state": json.dumps(state)})
        os.replace(temporary, folder / "checkpoint.safetensors")
    except OSError as error:
        raise RunError(f"cannot write the checkpoint in {folder}: {error.strerror or error}") from None


def resume_checkpoint(
    model: torch.nn.Module, optimizers: list[torch.optim.Optimizer], folder: Path, identity: dict[str, Any]
) -> dict[str, Any]:
    """Load the checkpoint in ``folder`` into the model and its optimisers and return its state; where there is none,
    that of a training at its start.

    Raises :class:`RunError` for a checkpoint of another ``identity``, and when the folder cannot be made.
    """
    from safetensors import safe_open

    fresh: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0, "identity": json.loads(json.dumps(identity))}
    path = folder / "checkpoint.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write in {folder}: {error.strerror}") from None
    if not path.exists():
        return fresh
    with safe_open(path, framework="pt") as file:
        state: dict[str, Any] = json.loads(file.metadata()["state"])
        if state["identity"] != fresh["identity"]:
            raise RunError(
                f"{path} is a checkpoint of another recipe, preset or seed: choose another --out or delete it"
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    for prefix, optimizer in zip(_PREFIXES, optimizers, strict=False):
        whole = optimizer.state_dict()
        for name, tensor in tensors.items():
            if name.startswith(f"{prefix}."):
                _, index, key = name.split(".", 2)
                whole["state"].setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict(whole)
    return state
