"""Co-training: base model and metacontroller learn together, the control condition of internal RL (arXiv 2512.20605).

Both minimise the loss of discovery, ``mean_t [-log p(a_t) + alpha KL_t]``, and nothing is frozen: only that differs
from ``discovery.discover``.  From an untrained base (:func:`workbench.models.untrained.untrained`) there is no
pretraining at all, which is how the paper's condition is read here (our notes do not spell it out); from the pretrained
base it is a finetuning.  What comes out is used like a discovered metacontroller, with the model that comes along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.families.internal_rl.control.discovery import Course, discovery_loss
from workbench.families.internal_rl.control.metacontroller import Metacontroller
from workbench.families.internal_rl.control.raw_actions import trainable_copy
from workbench.models.sequence_model import SequenceModel
from workbench.sites import Site
from workbench.training.loop import Schedule, train
from workbench.worlds.pinpad.expert import Episodes

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["co_train"]


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
    """Train ``metacontroller`` in place together with a copy of ``model``, and return that copy (resuming from
    ``folder``).  ``batch_of(step)`` are episodes of the expert; ``model`` stays as it is."""
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
