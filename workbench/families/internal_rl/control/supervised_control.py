"""Supervised controllers: one low-rank controller a subgoal, fitted with the subgoals known and the model frozen.

They say where in the model a controller can take over at all, before anything is discovered (arXiv 2512.20605): on the
expert's episodes the controller of the subgoal in force acts at every step and is fitted to the expert's moves; an
oracle that switches at the true changes then plays with them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from steering.low_rank import LowRankControl, LowRankControllers
from workbench.models.sequence_model import SequenceModel
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.training.loop import Schedule, train
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.pinpad import Pinpad, PinpadState


def fit_supervised(
    model: SequenceModel,
    site: Site,
    batch_of: Callable[[int], Episodes],
    schedule: Schedule,
    folder: Path,
    rank: int = 16,
    seed: int = 0,
    report: Callable[[dict[str, float]], None] | None = None,
) -> LowRankControllers:
    """Controllers [subgoals] at ``site``, fitted to the moves of ``batch_of(step)``; ``model`` is left alone.

    Training resumes from ``folder``.  ``report`` gets the step, loss and share done.
    """
    world = Pinpad.of(model.world)
    generator = torch.Generator().manual_seed(derive_seed(seed, "supervised", str(site)))
    bank = _bank(world.subgoals, model.d_model, rank, generator).to(model.device)

    def step_loss(step: int, done: float) -> tuple[Tensor, int]:
        episodes = batch_of(step)
        mask, choice = episodes.mask, episodes.targets // world.subgoal
        logits = model.backend.forward(episodes.observations[:, :-1], hooks={site: lambda e: bank(e, choice)})
        assert logits is not None
        return cross_entropy(logits[mask].float(), episodes.moves[mask]), int(mask.sum())

    marks = {"site": str(site), "model": model.fingerprint, "seed": seed, "rank": rank}
    train(bank, step_loss, schedule, folder, marks, report)
    return bank.requires_grad_(False)


def _bank(n: int, d_model: int, rank: int, generator: torch.Generator) -> LowRankControllers:
    """An untrained bank, drawn from ``generator`` and not from the process's random state."""
    bank = LowRankControllers(n, d_model, rank)
    bank.down.data.copy_(torch.randn(bank.down.shape, generator=generator) / d_model**0.5)
    return bank


def random_controllers(like: LowRankControllers, seed: int = 0) -> LowRankControllers:
    """The control: random matrices of the same rank, each with the Frobenius norm of the fitted one.

    >>> bank = LowRankControllers(2, 4, 1)
    >>> bank.up.data += 1
    >>> other = random_controllers(bank)
    >>> torch.allclose((other.up @ other.down).norm(dim=(1, 2)), (bank.up @ bank.down).norm(dim=(1, 2)))
    True
    """
    n, d, rank = like.up.shape
    generator = torch.Generator().manual_seed(derive_seed(seed, "random controllers"))
    bank = _bank(n, d, rank, generator)
    bank.up.data.copy_(torch.randn(bank.up.shape, generator=generator))
    with torch.no_grad():
        wanted, drawn = (
            (each.up @ each.down).norm(dim=(1, 2), keepdim=True) for each in (like, bank.to(like.up.device))
        )
        bank.up.mul_(wanted / drawn)
    return bank.requires_grad_(False)


def oracle_control(
    model: SequenceModel, site: Site, bank: LowRankControllers
) -> Callable[[PinpadState], list[LowRankControl]]:
    """What :func:`workbench.worlds.pinpad.play.play_pinpad` takes: at every step the controller of the true subgoal."""
    size, fingerprint = Pinpad.of(model.world).subgoal, model.fingerprint
    return lambda state: [LowRankControl(bank, state.target // size, site=site, fingerprint=fingerprint)]
