"""The expert of the pinpad: shortest paths by dynamic programming, ties drawn uniformly; and its episodes.

For every world and colour the number of moves to that colour is found for all cells at once, other colours and walls
being obstacles.  The expert takes any move that comes nearer to the next colour; as every leg ends on one cell, legs
that are each shortest make a shortest whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.errors import SpecError
from workbench.worlds.pinpad.pinpad import (
    _DRAWS,
    Pinpad,
    PinpadState,
    _next_cells,
    begin,
    draw_layouts,
    observe,
    step,
)

FAR = 10_000
"""Distance of what cannot be reached."""


@dataclass(frozen=True)
class Episodes:
    """Recorded episodes, padded to the longest.

    ``agents`` [batch, time + 1] cells before each move and after the last; ``objects`` [batch, colours + walls] cells;
    ``moves`` and ``targets`` (the colour that was next) [batch, time]; ``lengths`` and ``success`` [batch];
    ``tasks`` [batch, length].  Entries past an episode's length are meaningless.
    """

    world: Pinpad
    agents: Int[Tensor, "batch steps"]
    objects: Int[Tensor, "batch objects"]
    moves: Int[Tensor, "batch time"]
    targets: Int[Tensor, "batch time"]
    lengths: Int[Tensor, " batch"]
    success: Bool[Tensor, " batch"]
    tasks: Int[Tensor, "batch length"]

    @property
    def mask(self) -> Bool[Tensor, "batch time"]:
        """True at steps that were taken."""
        return torch.arange(self.moves.shape[1], device=self.moves.device) < self.lengths[:, None]

    @property
    def observations(self) -> Int[Tensor, "batch steps fields"]:
        """What the agent saw, [batch, time + 1, fields]."""
        objects = self.objects[:, None].expand(-1, self.agents.shape[1], -1)
        return observe(self.world, self.agents, objects)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: Tensor | slice) -> Episodes:
        """Some of the episodes, padded to the longest of them."""
        lengths = self.lengths[rows]
        time = int(lengths.max())
        return Episodes(
            self.world, self.agents[rows, : time + 1], self.objects[rows], self.moves[rows, :time],
            self.targets[rows, :time], lengths, self.success[rows], self.tasks[rows],
        )  # fmt: skip

    def begun_at(self, steps: Int[Tensor, " batch"]) -> Episodes:
        """The episodes without their first ``steps``, as if they had begun there; ``steps`` are below the lengths."""
        last = self.agents.shape[1] - 1
        cells = (torch.arange(last + 1, device=steps.device) + steps[:, None]).clamp(max=last)
        moves = cells[:, :-1].clamp(max=last - 1)
        return replace(
            self,
            agents=self.agents.gather(1, cells),
            moves=self.moves.gather(1, moves),
            targets=self.targets.gather(1, moves),
            lengths=self.lengths - steps,
        )


def distances(world: Pinpad, layouts: Int[Tensor, "batch objects"]) -> Int[Tensor, "batch colours cells"]:
    """Moves from every cell to each colour, :data:`FAR` where there is no way (and on obstacles)."""
    n, size, colours = len(layouts), world.size, world.colours
    objects = layouts[:, 1:]
    blocked = torch.zeros(n, colours, world.cells, dtype=torch.bool, device=layouts.device)
    blocked.scatter_(2, objects[:, None].expand(-1, colours, -1), True)
    goal = torch.zeros_like(blocked).scatter_(2, objects[:, :colours, None], True)
    cost = torch.zeros(n, colours, size + 2, size + 2, dtype=torch.int16, device=layouts.device).fill_(FAR)
    inner = cost[:, :, 1:-1, 1:-1]
    inner.copy_(torch.where(goal, 0, FAR).view_as(inner))
    wall = (blocked & ~goal).view_as(inner)
    for _ in range(world.cells):
        near = torch.minimum(cost[:, :, :-2, 1:-1], cost[:, :, 2:, 1:-1])
        near = torch.minimum(near, torch.minimum(cost[:, :, 1:-1, :-2], cost[:, :, 1:-1, 2:]))
        new = torch.minimum(inner, near + 1).masked_fill(wall, FAR).clamp_(max=FAR)
        if torch.equal(new, inner):
            break
        inner.copy_(new)
    return inner.flatten(2)


def expert_probabilities(
    world: Pinpad,
    costs: Int[Tensor, "batch colours cells"],
    agent: Int[Tensor, "*batch"],
    target: Int[Tensor, "*batch"],
) -> Float[Tensor, "*batch moves"]:
    """The expert's move probabilities on the way to ``target``, uniform over the moves that come nearest.

    ``agent`` and ``target`` begin with the batch and may have more dimensions (time).  Without a way, all are 0.
    """
    to = _next_cells(world.size, agent.device)[agent]  # [... moves]
    rows = torch.arange(len(costs), device=agent.device).view(-1, *[1] * (to.ndim - 1))
    cost = costs[rows, target[..., None], to]
    cost = cost.masked_fill(to == agent[..., None], FAR)  # staying is no move, also on a colour that blocks the way
    best = (cost == cost.amin(-1, keepdim=True)) & (cost < FAR)
    return best / best.sum(-1, keepdim=True).clamp(min=1)


def solvable(world: Pinpad, layouts: Tensor, tasks: Tensor, costs: Tensor) -> Bool[Tensor, " batch"]:
    """True where every leg of the task has a way, and all of them fit into the horizon."""
    rows = torch.arange(len(layouts), device=layouts.device)
    near = torch.cat([layouts[:, :1], layouts[:, 1:].gather(1, tasks[:, :-1])], 1)  # where each leg starts
    to = _next_cells(world.size, layouts.device)[near]  # [batch length moves]
    cost = costs[rows[:, None, None], tasks[..., None], to].masked_fill(to == near[..., None], FAR)
    legs = cost.amin(-1).long() + 1  # [batch length]
    return legs.sum(1) <= world.horizon


def expert_episodes(
    world: Pinpad,
    tasks: Int[Tensor, "tasks length"],
    n: int,
    generator: torch.Generator,
    weights: Float[Tensor, " tasks"] | None = None,
) -> Episodes:
    """``n`` episodes of the expert on tasks drawn with ``weights`` (None: uniform), in solvable worlds only.

    A task and a world are drawn again together where the task has no way there.  Raises :class:`SpecError` where that
    happens too often.
    """
    weights = torch.ones(len(tasks), dtype=torch.float64) if weights is None else weights
    device = generator.device
    layouts: list[Tensor] = []
    drawn: list[Tensor] = []
    costs: list[Tensor] = []
    left = n
    for _ in range(_DRAWS):
        picked = torch.multinomial(weights.to(device), left, replacement=True, generator=generator)
        task, layout = tasks.to(device)[picked], draw_layouts(world, left, generator)
        cost = distances(world, layout)
        good = solvable(world, layout, task, cost)
        for whole, part in ((layouts, layout), (drawn, task), (costs, cost)):
            whole.append(part[good])
        left -= int(good.sum())
        if not left:
            break
    else:
        raise SpecError("pinpad: hardly any world lets the tasks be done: fewer walls, a longer horizon, shorter tasks")
    state = begin(world, torch.cat(layouts), torch.cat(drawn))
    return _play(world, state, torch.cat(costs), generator)


def _play(world: Pinpad, state: PinpadState, costs: Tensor, generator: torch.Generator) -> Episodes:
    agents, moves, targets = [state.agent], [], []
    first = state
    while not bool(state.done.all()):
        p = expert_probabilities(world, costs, state.agent, state.target)
        noise = torch.rand(p.shape, generator=generator, device=p.device)
        move = ((p > 0) * (1 + noise)).argmax(-1)  # the largest of equal chances is a uniform draw
        targets.append(state.target)
        moves.append(move)
        state, _ = step(world, state, move)
        agents.append(state.agent)
    objects = torch.cat([first.colours, first.walls], 1)
    return Episodes(
        world, torch.stack(agents, 1), objects, torch.stack(moves, 1), torch.stack(targets, 1),
        state.time, state.success, first.task,
    )  # fmt: skip
