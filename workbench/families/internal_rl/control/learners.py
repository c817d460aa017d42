"""What is reinforced: a policy over codes, or the model's own moves.

Internal RL has a policy over the codes of a frozen metacontroller.  ``policy=None`` draws them from N(0, spread² I)
(random codes), ``always`` switches at every step (forced switching); co-training and CompILE bring a model or a
metacontroller of their own.  Raw actions are the baseline: the policy is the model's own distribution of actions, and a
copy of the whole model learns by the same objective, played one cached step at a time and climbed in one pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from steering.stateful import Carried
from workbench.errors import SpecError
from workbench.families.internal_rl.control.internal_rl import CodedControl, CodePolicy, Decisions
from workbench.families.internal_rl.control.metacontroller import Metacontroller
from workbench.families.internal_rl.control.reinforce import Trial, random_worlds
from workbench.models.sequence_model import SequenceModel
from workbench.sites import Site
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.play import play_pinpad


def new_policy(metacontroller: Metacontroller, seed: int = 0, width: int = 256, std: float = 1.0) -> CodePolicy:
    """An untrained policy over a metacontroller's codes, N(0, std² I), on its device.

    The random state of the process is left as it was.
    """
    shape = metacontroller.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = CodePolicy(shape.d_model, shape.code, width, std)
    return policy.to(next(metacontroller.parameters()).device)


@dataclass(frozen=True)
class CodeLearner:
    """``model`` in random worlds on ``task`` [length], steered at ``site`` by the codes that ``policy`` draws.

    See ``reinforce.Learner``; a choice is a code, and there is one at every switch.  ``spread`` is the standard
    deviation of codes without a policy.
    """

    model: SequenceModel
    site: Site
    metacontroller: Metacontroller
    policy: CodePolicy | None
    task: Int[Tensor, " length"]
    always: bool = False
    spread: float = 1.0

    def __post_init__(self) -> None:
        expected, given = self.model.d_model, self.metacontroller.shape.d_model
        if expected != given:
            raise SpecError(f"the metacontroller writes into width {given}, and {self.model.name} has width {expected}")

    @property
    def module(self) -> nn.Module | None:
        """The policy."""
        return self.policy

    @property
    def frozen(self) -> Mapping[str, nn.Module]:
        """The base model, and the metacontroller with its decoder and switch."""
        return {"base": self.model.backend.hf_model, "metacontroller": self.metacontroller}

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self.model.device

    def play(self, episodes: int, generator: torch.Generator, greedy: bool = False) -> Trial:
        """Episodes under drawn codes, or under mean codes; moves are always drawn.  ``record`` are the decisions."""
        drawn = self.spread if self.policy is None else 1.0
        control = CodedControl(
            self.site, self.metacontroller, self.policy, generator, self.always, 0.0 if greedy else drawn
        )
        state = random_worlds(self.model, self.task, episodes, generator)
        played = play_pinpad(self.model, state, generator, [Carried(control, episodes)])
        done = played.episodes
        made = control.decisions(episodes, done.lengths)
        return Trial(done.success.float(), played.progress.float(), made.log_prob, made.mask, made, done)

    def log_prob(self, trial: Trial, rows: Tensor, choices: int) -> Tensor:
        """Log densities of the first codes of some episodes under the policy as it is now."""
        made: Decisions = trial.record
        if self.policy is None:
            return trial.log_prob[rows, :choices]
        mean, _ = self.policy(made.seen[rows, :choices])
        return self.policy.log_prob(mean, made.z[rows, :choices])

    def measures(self) -> dict[str, float]:
        """``std``: the mean standard deviation of the codes."""
        return {"std": self.spread if self.policy is None else float(self.policy.log_std.detach().exp().mean())}


@dataclass(frozen=True)
class ActionLearner:
    """``model`` (a :func:`trainable_copy`) in random worlds on ``task`` [length].

    See ``reinforce.Learner``; a choice is a move.
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
