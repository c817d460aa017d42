"""Discovery: training a metacontroller on a frozen model, or together with it (co-training, the control condition).

The loss is ``mean_t [-log p(a_t) + alpha KL_t]`` on clean episodes of the expert; only the metacontroller learns, or
it and the base.  At a small size the switch collapses (one switch at the start, or a little at every step) when it
learns from the first step, so a :class:`Course` begins with a random gate at almost no KL, then lets the switch draw
open or shut while alpha rises, then holds alpha; and its encoder reads a mirrored or turned image of each episode (one
under one of the eight symmetries of the square, drawn anew each time).  Without it a code says in which direction to
go, which is of no use anywhere else; a direction in the image says nothing about the episode, and which colour is
sought says all.
Both are deviations from the paper, which ``Course(random_share=0, gate="learned", mirrored=False)`` undoes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.families.internal_rl.control.frozen import frozen, trainable_copy
from workbench.families.internal_rl.control.metacontroller import Controlled, Gate, Metacontroller
from workbench.models.sequence_model import SequenceModel
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.training.loop import Schedule, train
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.symmetries import SYMMETRIES, mirrored


@dataclass(frozen=True)
class Course:
    """How the gate and alpha go along training, by shares of the budget.

    A random gate (probability ``random_rate``) at ``alpha_random`` for ``random_share``, then ``gate`` (and a learning
    rate that starts again); alpha rises logarithmically from ``alpha_start`` to ``alpha_peak`` at ``peak_at`` and is
    ``alpha`` from there on.  ``forced`` switches at every step; ``mirrored``: the encoder reads a mirror image.

    >>> course = Course()
    >>> course.gate_at(0.1), course.gate_at(0.5), round(course.alpha_at(1.0), 3)
    (0.2, 'sampled', 0.15)
    """

    alpha: float = 0.15
    random_share: float = 0.3
    random_rate: float = 0.2
    alpha_random: float = 1e-4
    alpha_start: float = 1e-3
    alpha_peak: float = 0.17
    peak_at: float = 0.6
    gate: Gate = "sampled"
    forced: bool = False
    mirrored: bool = True

    def of(self, schedule: Schedule) -> Schedule:
        """The schedule whose learning rate starts again when the switch takes over."""
        return replace(schedule, restart=None if self.forced else self.random_share)

    def gate_at(self, done: float) -> Gate:
        """The gate at a share of the budget."""
        if self.forced:
            return "always"
        return self.random_rate if done < self.random_share else self.gate

    def alpha_at(self, done: float) -> float:
        """The weight of the KL at a share of the budget."""
        if done < self.random_share:
            return self.alpha_random
        if done < self.peak_at:
            along = (done - self.random_share) / (self.peak_at - self.random_share)
            return self.alpha_start * (self.alpha_peak / self.alpha_start) ** along
        return self.alpha


def controlled_pass(
    model: SequenceModel,
    site: Site,
    metacontroller: Metacontroller,
    episodes: Episodes,
    gate: Gate = "learned",
    generator: torch.Generator | None = None,
    sample: bool = True,
    mirror_image: Tensor | None = None,
) -> tuple[Controlled, Tensor]:
    """One pass over whole episodes under control: (what was done, nats on each move [batch, time]).

    ``mirror_image``: what the encoder reads in place of the episodes' own activations, see :func:`mirror_activations`.
    """
    return steered_pass(
        model, site, episodes, lambda e: metacontroller(e, episodes.mask, gate, generator, sample, mirror_image)
    )


def steered_pass(
    model: SequenceModel, site: Site, episodes: Episodes, steer: Callable[[Tensor], Any]
) -> tuple[Any, Tensor]:
    """One pass under ``steer(activations)``, whose result has the new ``activation``: (it, nats on each move)."""
    kept = []

    def hook(activation: Tensor) -> Tensor:
        kept.append(steer(activation))
        steered: Tensor = kept[0].activation
        return steered

    logits = model.backend.forward(episodes.observations[:, :-1], hooks={site: hook})
    assert logits is not None
    return kept[0], functional.cross_entropy(logits.transpose(1, 2), episodes.moves, reduction="none")


def mirror_activations(
    model: SequenceModel, site: Site, episodes: Episodes, generator: torch.Generator
) -> Float[Tensor, "batch pos d"]:
    """Activations, without control, of an image of each episode under a symmetry drawn from all eight."""
    which = torch.randint(len(SYMMETRIES), (len(episodes),), generator=generator, device=generator.device)
    kept: list[Tensor] = []

    def hook(activation: Tensor) -> Tensor:
        kept.append(activation)
        return activation

    observations = mirrored(episodes, which).observations[:, :-1]
    model.backend.forward(observations, hooks={site: hook}, stop_after=site.layer, logits=False)
    return kept[0]


def discover(
    model: SequenceModel,
    site: Site,
    metacontroller: Metacontroller,
    batch_of: Callable[[int], Episodes],
    schedule: Schedule,
    course: Course,
    folder: Path,
    seed: int = 0,
    report: Callable[[dict[str, float]], None] | None = None,
    **identity: Any,
) -> float:
    """Train ``metacontroller`` in place (resuming from ``folder``); return the seconds.  ``batch_of(step)`` are
    episodes of the expert; the model is left alone (:class:`RunError` if anything reaches its weights)."""
    generator = torch.Generator(model.device)

    def step_loss(step: int, done: float) -> tuple[Tensor, int]:
        return discovery_loss(model, site, metacontroller, batch_of(step), course, seed, step, done, generator)

    marks = {"site": str(site), "model": model.fingerprint, "seed": seed, "course": asdict(course), **identity}
    with frozen({"base": model.backend.hf_model}):
        return train(metacontroller, step_loss, course.of(schedule), folder, marks, report)


def co_train(
    model: SequenceModel,
    site: Site,
    metacontroller: Metacontroller,
    batch_of: Callable[[int], Episodes],
    schedule: Schedule,
    course: Course,
    folder: Path,
    seed: int = 0,
    report: Callable[[dict[str, float]], None] | None = None,
    **identity: Any,
) -> SequenceModel:
    """The same on a copy of ``model`` that learns as well, which is returned; ``model`` stays as it is.

    From an untrained base (:func:`workbench.models.untrained.untrained`) there is no pretraining at all, which is how
    the paper's condition is read here (our notes do not spell it out); from the pretrained base it is a finetuning.
    """
    base = trainable_copy(model, f"{model.name}-co-trained")
    both = nn.ModuleDict({"metacontroller": metacontroller, "base": base.backend.hf_model})
    generator = torch.Generator(model.device)

    def step_loss(step: int, done: float) -> tuple[Tensor, int]:
        return discovery_loss(base, site, metacontroller, batch_of(step), course, seed, step, done, generator)

    marks = {"site": str(site), "model": model.fingerprint, "seed": seed, "course": asdict(course), **identity}
    marks["method"] = "co-trained"
    train(both, step_loss, course.of(schedule), folder, marks, report)
    # Made anew, so that its fingerprint is that of the weights it has now.
    return SequenceModel(base.backend.hf_model.requires_grad_(False), base.name)


def discovery_loss(
    model: SequenceModel, site: Site, metacontroller: Metacontroller, episodes: Episodes, course: Course,
    seed: int, step: int, done: float, generator: torch.Generator,
) -> tuple[Tensor, int]:  # fmt: skip
    """(the loss of a step, the moves it is a mean over).  Its noise depends on ``seed`` and ``step`` only."""
    generator.manual_seed(derive_seed(seed, "discovery", step))
    mirror_image = mirror_activations(model, site, episodes, generator) if course.mirrored else None
    found, nll = controlled_pass(
        model, site, metacontroller, episodes, course.gate_at(done), generator, mirror_image=mirror_image
    )
    mask = episodes.mask
    return nll[mask].mean() + course.alpha_at(done) * found.kl[mask].mean(), int(mask.sum())
