"""Playing the pinpad with a sequence model: thousands of episodes side by side, one cached step at a time.

Interventions act at every step, as in any other pass; ``Where.rows`` are the episodes, ``Where.positions`` the steps.
With a cache each sees a step once; without one it sees the prefix again at every step, and gives the same moves: what
remembers (:class:`steering.stateful.Carried`) begins anew with each prefix, and interventions that are chosen step by
step act on every step as they did then.
Finished episodes stay in the batch until half of it is finished, since dropping rows copies the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.models.backend import Hook
from workbench.models.interventions import Intervention, Where, hooks_for
from workbench.models.sequence_model import SequenceModel
from workbench.sites import Site
from workbench.worlds.pinpad.expert import Episodes
from workbench.worlds.pinpad.pinpad import Pinpad, PinpadState, observe, step

Steering = Sequence[Intervention] | Callable[[PinpadState], Sequence[Intervention]]


@dataclass(frozen=True)
class Played:
    """``episodes`` as they were played, ``logprobs`` [batch, time] of the moves (0 past the end), and ``progress``
    [batch], the colours of the task that were reached in order."""

    episodes: Episodes
    logprobs: Float[Tensor, "batch time"]
    progress: Int[Tensor, " batch"]


def play_pinpad(
    model: SequenceModel,
    state: PinpadState,
    generator: torch.Generator,
    interventions: Steering = (),
    temperature: float = 1.0,
    cached: bool = True,
) -> Played:
    """Play every world of ``state`` to its end.

    ``interventions``: a list, or a function of the worlds before each step (an oracle that knows the target, say).
    Moves are drawn at ``temperature`` (0: the likeliest).  ``cached=False`` runs the whole prefix at every step, for
    comparison: slower, the same moves.
    """
    world, n = Pinpad.of(model.world), len(state.agent)
    objects = torch.cat([state.colours, state.walls], 1)
    rows, cache = torch.arange(n, device=objects.device), model.cache(world.horizon)
    agents = [state.agent]
    moves: list[Tensor] = []
    targets: list[Tensor] = []
    logprobs: list[Tensor] = []
    acting: list[Sequence[Intervention]] = []
    with torch.no_grad():
        while not bool(state.done.all()):
            alive = ~state.done[rows]
            if 2 * int(alive.sum()) <= len(rows):
                rows = rows[alive]
                cache.keep(alive.nonzero()[:, 0])
            acting.append(interventions(state) if callable(interventions) else interventions)
            seen = torch.stack(agents[-1:] if cached else agents, 1)[rows]  # [batch new]
            logits = _logits(model, observe(world, seen, objects[rows][:, None].expand(-1, seen.shape[1], -1)), rows,
                             acting, cache if cached else None)  # fmt: skip
            logp = (logits.float() / temperature).log_softmax(-1) if temperature else logits.float().log_softmax(-1)
            drawn = torch.multinomial(logp.exp(), 1, generator=generator)[:, 0] if temperature else logp.argmax(-1)
            move = torch.zeros(n, dtype=torch.long, device=rows.device).index_copy_(0, rows, drawn)
            chosen = logp.gather(1, drawn[:, None])[:, 0]
            logprobs.append(logp.new_zeros(n).index_copy_(0, rows, chosen) * ~state.done)
            targets.append(state.target)
            moves.append(move)
            state, _ = step(world, state, move)
            agents.append(state.agent)
    episodes = Episodes(
        world, torch.stack(agents, 1), objects, torch.stack(moves, 1), torch.stack(targets, 1),
        state.time, state.success, state.task,
    )  # fmt: skip
    return Played(episodes, torch.stack(logprobs, 1), state.progress)


def _logits(
    model: SequenceModel, observations: Tensor, rows: Tensor, acting: list[Sequence[Intervention]], cache: object
) -> Tensor:
    """Action logits [batch, n_actions] after the last of ``observations`` [batch, new, fields]; ``acting`` are the
    interventions of every step so far."""
    new, stop = observations.shape[1], len(acting)
    positions = torch.arange(stop - new, stop, device=rows.device).expand(len(rows), -1)
    horizon = torch.full_like(positions, Pinpad.of(model.world).horizon)
    where = Where(positions, rows[:, None].expand_as(positions), horizon)
    same = new == 1 or all(each is acting[-1] for each in acting)
    hooks = hooks_for(acting[-1], where) if same else _hooks_by_step(acting, where)
    logits = model.backend.forward(observations, cache=cache, hooks=hooks)
    assert logits is not None
    return logits[:, -1]


def _hooks_by_step(acting: list[Sequence[Intervention]], where: Where) -> dict[Site, Hook]:
    """Hooks on a whole prefix that steer each step by its own interventions."""
    steps = [
        Where(*(each[:, t : t + 1] for each in (where.positions, where.rows, where.prompt_lengths)))
        for t in range(len(acting))
    ]
    by_step = [hooks_for(each, at) for each, at in zip(acting, steps, strict=True)]

    def steering(site: Site) -> Hook:
        def hook(activation: Tensor) -> Tensor:
            parts = activation.split(1, 1)
            return torch.cat([each[site](e) if site in each else e for each, e in zip(by_step, parts, strict=True)], 1)

        return hook

    return {site: steering(site) for site in {site for each in by_step for site in each}}
