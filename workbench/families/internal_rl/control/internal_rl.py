"""Internal RL: reinforcement learning over the codes of a frozen metacontroller (arXiv 2512.20605).

The environment, the model, the decoder and the switch together are a new environment whose actions are codes: a policy
draws z, the decoder's controller U(z) steers the model until the switch opens again, and the reward of the steps
between is summed.  So an episode is a handful of abstract steps, and its sparse reward reaches them directly.

The policy is recurrent over the activations at its switches; its objective is PPO's without a critic,
``min(r A, clip(r) A)`` with ``A = (R - mean) / (std + 1e-3)`` over the whole batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from workbench.families.internal_rl.control.metacontroller import Metacontroller
from workbench.models.interventions import Where
from workbench.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

    State = dict[str, Tensor]


class CodePolicy(nn.Module):
    """A Gaussian over codes from a GRU over the activations at switches; it starts at N(0, std² I).

    The paper starts near N(0, I).  A wider start finds codes that overrule what the base model expects.
    """

    def __init__(self, d_model: int, code: int = 8, width: int = 256, std: float = 1.0) -> None:
        super().__init__()
        self.recurrent = nn.GRU(d_model, width, batch_first=True)
        self.mean = nn.Linear(width, code)
        self.log_std = nn.Parameter(torch.full((code,), math.log(std)))
        nn.init.zeros_(self.mean.weight)
        nn.init.zeros_(self.mean.bias)

    def forward(self, seen: Float[Tensor, "batch decisions d"], hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean codes [batch, decisions, code] and the hidden state [batch, width] after the last."""
        out, last = self.recurrent(seen, None if hidden is None else hidden[None].contiguous())
        return self.mean(out), last[0]

    def log_prob(self, mean: Tensor, z: Tensor) -> Tensor:
        """Log density of codes, summed over their entries."""
        return torch.distributions.Normal(mean, self.log_std.exp()).log_prob(z).sum(-1)


@dataclass(frozen=True)
class Decisions:
    """The abstract steps of a batch of episodes, padded: ``seen`` [batch, decisions, d] (what the policy saw), ``z``
    [batch, decisions, code], ``log_prob`` and ``mask`` [batch, decisions], ``time`` [batch, decisions] (the step)."""

    seen: Float[Tensor, "batch decisions d"]
    z: Float[Tensor, "batch decisions code"]
    log_prob: Float[Tensor, "batch decisions"]
    mask: Bool[Tensor, "batch decisions"]
    time: Int[Tensor, "batch decisions"]

    def switches(self, steps: int) -> Bool[Tensor, "batch steps"]:
        """True at the steps of an episode at which a code was drawn."""
        flags = torch.zeros(len(self.mask), steps, dtype=torch.bool, device=self.mask.device)
        rows, at = self.mask.nonzero(as_tuple=True)
        flags[rows, self.time[rows, at]] = True
        return flags

    def held(self, steps: int) -> Float[Tensor, "batch steps code"]:
        """The code that acts at each of the first ``steps`` steps (past an episode's end, its last)."""
        at = (self.switches(steps).cumsum(1) - 1).clamp(min=0)
        return self.z.gather(1, at[..., None].expand(-1, -1, self.z.shape[2]))


class CodedControl:
    """A metacontroller whose codes come from a policy: the stateful intervention of internal RL.

    ``policy=None`` draws codes from N(0, temperature² I) (the random baseline).  ``always`` switches at every step.
    Decisions are recorded; :meth:`decisions` lays them out by episode.  A decision is made once: a pass over steps that
    were already taken (a prefix run again without a cache) holds the codes that were drawn then.
    """

    def __init__(
        self,
        site: Site,
        metacontroller: Metacontroller,
        policy: CodePolicy | None,
        generator: torch.Generator,
        always: bool = False,
        temperature: float = 1.0,
        fingerprint: str | None = None,
    ) -> None:
        self.site, self.metacontroller, self.policy = site, metacontroller, policy
        self.generator, self.always, self.temperature, self.fingerprint = generator, always, temperature, fingerprint
        self._log: list[tuple[Tensor, ...]] = []
        self._taken = torch.zeros(0, dtype=torch.long)  # [rows] steps that were taken of each episode

    def start(self, rows: int) -> State:
        """Nothing seen, no code yet."""
        shape, device = self.metacontroller.shape, self.generator.device
        self._taken = torch.zeros(rows, dtype=torch.long, device=device)
        width = self.policy.recurrent.hidden_size if self.policy else 1
        sizes = {"history": shape.history, "z": shape.code, "hidden": width}
        return {name: torch.zeros(rows, size, device=device) for name, size in sizes.items()}

    def steer(self, activation: Tensor, where: Where, state: State) -> tuple[Tensor, State]:
        """One step ([batch, 1, d]) or several; each position in turn."""
        rows, positions = where.rows[:, 0], where.positions
        past = self._past(rows, positions)
        steered = []
        for t in range(activation.shape[1]):
            known = None if past is None else tuple(each[:, t] for each in past)
            one, state = self._step(activation[:, t], rows, positions[:, t], state, known)
            steered.append(one)
        taken = torch.maximum(self._taken[rows], positions.amax(1) + 1)
        self._taken = self._taken.index_copy(0, rows, taken)
        return torch.stack(steered, 1), state

    def _past(self, rows: Tensor, positions: Tensor) -> tuple[Tensor, ...] | None:
        """Of steps that were taken before, each [batch, pos, ...]: which are, where a code was drawn, and the code in
        force; None where all are new, as under a cache."""
        known = (positions >= 0) & (positions < self._taken[rows, None])
        if not bool(known.any()):
            return None
        made = self.decisions(len(self._taken))
        steps = 1 + max(int(made.time.max()), int(positions.max()))
        at = rows[:, None], positions.clamp(min=0)
        return known, made.switches(steps)[at], made.held(steps)[at]

    def _step(
        self, e: Tensor, rows: Tensor, positions: Tensor, state: State, known: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, State]:
        m = self.metacontroller
        seen = m.seen(e)
        beta = m.switch(seen, state["history"], state["z"])
        switch = ((beta > 0.5) | (positions == 0) | self.always) & (positions >= 0)
        z, hidden = state["z"].clone(), state["hidden"].clone()
        if known is not None:
            before, switched, codes = known
            z[before] = codes[before]
            if self.policy is not None and bool((again := before & switched).any()):
                hidden[again] = self.policy(seen[again][:, None], hidden[again])[1]
            switch = switch & ~before
        if bool(switch.any()):
            drawn, log_prob, moved = self._draw(seen[switch], hidden[switch])
            z[switch], hidden[switch] = drawn, moved
            self._log.append((rows[switch], positions[switch], seen[switch], drawn, log_prob))
        new = {"history": m.advance(seen, state["history"]), "z": z, "hidden": hidden}
        return m.hyper(e[:, None], z[:, None])[:, 0], new

    def _draw(self, seen: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = (len(seen), self.metacontroller.shape.code)
        noise = torch.randn(shape, generator=self.generator, device=seen.device)
        if self.policy is None:
            z = self.temperature * noise
            return z, torch.distributions.Normal(0.0, self.temperature or 1.0).log_prob(z).sum(-1), hidden
        mean, hidden = self.policy(seen[:, None], hidden)
        z = mean[:, 0] + self.temperature * self.policy.log_std.exp() * noise
        return z, self.policy.log_prob(mean[:, 0], z), hidden

    def decisions(self, episodes: int, lengths: Int[Tensor, " batch"] | None = None) -> Decisions:
        """Everything drawn so far, by episode and in order; with ``lengths`` [episodes], only what was drawn before an
        episode's end (finished episodes stay in a batch for a while)."""
        rows, time, seen, z, log_prob = (torch.cat(each) for each in zip(*self._log, strict=True))
        if lengths is not None:
            within = time < lengths[rows]
            rows, time, seen, z, log_prob = (each[within] for each in (rows, time, seen, z, log_prob))
        order = torch.argsort(rows * (int(time.max()) + 1) + time)
        rows = rows[order]
        counts = torch.bincount(rows, minlength=episodes)
        at = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]

        def lay(values: Tensor) -> Tensor:
            laid = values.new_zeros(episodes, int(counts.max()), *values.shape[1:])
            laid[rows, at] = values[order]
            return laid

        return Decisions(lay(seen), lay(z), lay(log_prob), lay(torch.ones_like(log_prob)) > 0, lay(time))


def advantages(returns: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """``(R - mean) / (std + 1e-3)`` over the whole batch.

    >>> advantages(torch.tensor([0.0, 1.0])).round(decimals=2).tolist()
    [-1.0, 1.0]
    """
    return (returns - returns.mean()) / (returns.std(correction=0) + 1e-3)


def clipped_objective(log_prob: Tensor, old: Tensor, advantage: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
    """PPO's clipped surrogate, the mean over the decisions of ``mask``: ``min(r A, clip(r, 1 - clip, 1 + clip) A)``."""
    ratio = (log_prob - old).exp()
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    return gain[mask].mean()
