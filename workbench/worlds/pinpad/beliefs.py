"""The exact Bayes filter of the pinpad: what can be known of the task from the expert's moves so far.

The expert's policy under every task is known, so the posterior over tasks after moves 1..t-1 is
``prior * prod_s pi(move_s | cell_s, task)``, zero for tasks that the colours visited so far rule out, and for those
that have no way in this world (the expert was not asked to play them there).  Two references
follow: the best loss that a sequence model can reach on the expert's moves, and the best accuracy of a belief about the
colour that is next.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.worlds.pinpad.expert import Episodes, distances, expert_probabilities, solvable


@dataclass(frozen=True)
class Beliefs:
    """What the filter knows before each move.

    ``tasks`` [batch, time, tasks]: the posterior; ``colours`` [batch, time, colours]: that of the colour that is next;
    ``moves`` [batch, time, 4]: the predicted move; ``nll`` [batch, time]: nats on the move made.
    """

    tasks: Float[Tensor, "batch time tasks"]
    colours: Float[Tensor, "batch time colours"]
    moves: Float[Tensor, "batch time moves"]
    nll: Float[Tensor, "batch time"]


def bayes_filter(
    episodes: Episodes, tasks: Int[Tensor, "tasks length"], weights: Float[Tensor, " tasks"] | None = None
) -> Beliefs:
    """The filter over ``tasks`` with prior ``weights`` (None: uniform), along the expert's episodes.

    Entries past an episode's length are meaningless.
    """
    world, device = episodes.world, episodes.agents.device
    tasks = tasks.to(device)
    prior = torch.ones(len(tasks), dtype=torch.float64) if weights is None else weights.double()
    layouts = torch.cat([episodes.agents[:, :1], episodes.objects], 1)
    costs = distances(world, layouts)
    n, time = episodes.moves.shape
    agents = episodes.agents[:, :time]
    toward = [
        expert_probabilities(world, costs, agents, torch.full_like(agents, c)) for c in range(world.colours)
    ]  # by colour: [batch time moves]
    by_colour = torch.stack(toward, 2).double()  # [batch time colours moves]
    visited = episodes.objects[:, : world.colours, None] == episodes.agents[:, None, 1:]  # [batch colours time]
    visited &= (episodes.agents[:, 1:] != agents)[:, None]
    possible = torch.stack([solvable(world, layouts, task.expand(n, -1), costs) for task in tasks], 1)
    posterior = prior.to(device) * possible  # the expert plays solvable worlds only, and the world is seen
    posterior = posterior / posterior.sum(1, keepdim=True).clamp(min=1e-300)
    progress = torch.zeros(n, len(tasks), dtype=torch.long, device=device)
    found: list[tuple[Tensor, ...]] = []
    for t in range(time):
        target = tasks.expand(n, -1, -1).gather(2, progress.clamp(max=tasks.shape[1] - 1)[..., None])[..., 0]
        policy = by_colour[:, t].gather(1, target[..., None].expand(-1, -1, 4))  # [batch tasks moves]
        colours = torch.zeros(n, world.colours, dtype=torch.float64, device=device).scatter_add_(1, target, posterior)
        moves = (posterior[..., None] * policy).sum(1)
        chosen = episodes.moves[:, t, None]
        found.append((posterior, colours, moves, -moves.gather(1, chosen)[:, 0].clamp(min=1e-12).log()))
        posterior = posterior * policy.gather(2, chosen[..., None].expand(-1, len(tasks), -1))[..., 0]
        entered = visited[:, :, t]  # [batch colours]
        right = entered.gather(1, target)
        posterior = posterior * (right | ~entered.any(1, keepdim=True))
        progress = progress + right
        posterior = posterior / posterior.sum(1, keepdim=True).clamp(min=1e-300)
    return Beliefs(*(torch.stack(each, 1).float() for each in zip(*found, strict=True)))
