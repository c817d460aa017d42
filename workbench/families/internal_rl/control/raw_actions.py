"""Raw actions: reinforcement of the sequence model itself, the baseline that internal RL is measured against.

The policy is the model's own distribution of actions, and a copy of the whole model learns, by the same objective: the
return of the episode, standardised over the batch, weighs every step.  Episodes are played one cached step at a time;
the gradient takes one pass over them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from workbench.families.internal_rl.control.reinforce import Trial, random_worlds
from workbench.models.sequence_model import SequenceModel
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.play import play_pinpad

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

__all__ = ["ActionLearner", "trainable_copy"]


def trainable_copy(model: SequenceModel, name: str) -> SequenceModel:
    """A model of its own weights, all of which can learn; ``model`` stays as it is.

    >>> from workbench.models.tiny import tiny_sequence_model
    >>> model = tiny_sequence_model()
    >>> copied = trainable_copy(model, "copy")
    >>> copied.fingerprint == model.fingerprint, all(p.requires_grad for p in copied.backend.hf_model.parameters())
    (True, True)
    """
    return SequenceModel(copy.deepcopy(model.backend.hf_model).requires_grad_(True), name)


@dataclass(frozen=True)
class ActionLearner:
    """``model`` (a :func:`trainable_copy`) in random worlds on ``task`` [length].

    See :class:`workbench.families.internal_rl.control.reinforce.Learner`; a choice is a move.
    """

    model: SequenceModel
    task: Int[Tensor, " length"]

    @property
    def module(self) -> nn.Module:
        """The whole model."""
        module: nn.Module = self.model.backend.hf_model
        return module

    @property
    def frozen(self) -> Mapping[str, nn.Module]:
        """Nothing."""
        return {}

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self.model.device

    def play(self, episodes: int, generator: torch.Generator, greedy: bool = False) -> Trial:
        """Episodes of drawn moves, or of the likeliest.  ``record`` are the episodes."""
        state = random_worlds(self.model, self.task, episodes, generator)
        played = play_pinpad(self.model, state, generator, temperature=0.0 if greedy else 1.0)
        done = played.episodes
        return Trial(done.success.float(), played.progress.float(), played.logprobs, done.mask, done, done)

    def log_prob(self, trial: Trial, rows: Tensor, choices: int) -> Tensor:
        """Log-probabilities of the first moves of some episodes under the model as it is now, in one pass."""
        record: Episodes = trial.record[rows]
        logits = self.model.backend.forward(record.observations[:, :choices])
        assert logits is not None
        return logits.float().log_softmax(-1).gather(-1, record.moves[:, :choices, None])[..., 0]

    def measures(self) -> dict[str, float]:
        """Nothing besides."""
        return {}
