"""The gridworld pinpad: thousands of worlds stepped at once as tensors, on any device.

An agent walks a square grid with coloured cells and walls.  A task is a sequence of colours; it is never observed.
Entering the colour that is next in the task makes progress, entering another colour ends the episode, and completing
the task ends it with reward 1, the only reward there is.  A move into a wall or over the border changes nothing
(arXiv 2512.20605, the gridworld pinpad).

Cells are numbered row by row, 0 to size² - 1; moves are those of :mod:`workbench.worlds.moves` (left, right, up,
down).  No Python loop runs over worlds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Int8, Shaped
from torch import Tensor

from workbench.arguments import integer
from workbench.errors import DataError, SpecError, check_known
from workbench.worlds.moves import Move

OBSERVATIONS = ("onehot", "absolute", "relative")
_DRAWS = 2_000
_NOTHING, _WALL = -1, -2


@dataclass(frozen=True)
class Pinpad:
    """The rules of a family of worlds.

    ``size`` cells a side, ``colours`` coloured cells and ``walls`` wall cells, ``horizon`` steps at most.  ``distance``
    is the least number of moves (walls aside) between any two of the agent's start and the colours.  A subgoal is
    ``subgoal`` colours in a row (subgoal 1 of the paper's world is colours 2, 3).  ``observation`` is one of

    - ``onehot``: the cell of the agent, of each colour and of each wall (the paper's grid of channels);
    - ``absolute``: the same as an x and a y each;
    - ``relative``: x and y of the agent, and x and y of each colour and wall relative to it.

    An observation is a row of integers, one a field; ``field_sizes`` says how many values each can have.

    >>> world = Pinpad()
    >>> sum(world.field_sizes)  # one-hot, as in the paper
    637
    >>> world.subgoals
    4
    """

    size: int = 7
    colours: int = 8
    walls: int = 4
    horizon: int = 100
    distance: int = 1
    subgoal: int = 2
    observation: str = "onehot"

    def __post_init__(self) -> None:
        check_known(self.observation, OBSERVATIONS, "observation")
        for name in [each.name for each in fields(self) if each.name != "observation"]:
            value = integer(getattr(self, name), f"pinpad: {name}", least=int(name != "walls"))
            object.__setattr__(self, name, value)
        if self.colours % self.subgoal:
            raise SpecError(f"pinpad: {self.colours} colours are not a whole number of subgoals of {self.subgoal}")
        if 1 + self.colours + self.walls > self.size**2:
            raise SpecError(f"pinpad: {self.colours} colours and {self.walls} walls do not fit into size {self.size}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Pinpad:
        """The rules of the world that a model was trained in (of an ant's, those of its grid), from ``model.world``."""
        return cls(**given.get("rules", given))

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.size**2

    @property
    def subgoals(self) -> int:
        """Number of subgoals."""
        return self.colours // self.subgoal

    @property
    def field_sizes(self) -> tuple[int, ...]:
        """How many values each field of an observation can have."""
        objects = self.colours + self.walls
        if self.observation == "onehot":
            return (self.cells,) * (1 + objects)
        if self.observation == "absolute":
            return (self.size,) * (2 + 2 * objects)
        return (self.size,) * 2 + (2 * self.size - 1,) * (2 * objects)


# The paper's world, and one that two CPU cores can learn (longer subgoals on fewer colours).
PINPADS: dict[str, Pinpad] = {
    "paper": Pinpad(),
    "small": Pinpad(size=9, colours=4, walls=1, horizon=64, distance=4, subgoal=1, observation="relative"),
}


@dataclass(frozen=True)
class PinpadState:
    """Worlds in the midst of their episodes.

    ``agent`` [batch], ``colours`` [batch, colours] and ``walls`` [batch, walls] are cells; ``task`` [batch, length]
    colours; ``progress`` and ``time`` [batch]; ``done`` and ``success`` [batch] booleans.  ``contents`` [batch, cells]
    says the same as ``colours`` and ``walls`` by cell: a colour, -1 for nothing, -2 for a wall.
    """

    agent: Int[Tensor, " batch"]
    colours: Int[Tensor, "batch colours"]
    walls: Int[Tensor, "batch walls"]
    task: Int[Tensor, "batch length"]
    progress: Int[Tensor, " batch"]
    time: Int[Tensor, " batch"]
    done: Bool[Tensor, " batch"]
    success: Bool[Tensor, " batch"]
    contents: Int8[Tensor, "batch cells"]

    @property
    def target(self) -> Int[Tensor, " batch"]:
        """The colour that is next; of a finished task, the last."""
        return _at(self.task, self.progress.clamp(max=self.task.shape[1] - 1))

    @property
    def objects(self) -> Int[Tensor, "batch objects"]:
        """Cells of the colours and the walls, as :func:`observe` takes them."""
        return torch.cat([self.colours, self.walls], 1)

    def __getitem__(self, rows: Tensor | slice) -> PinpadState:
        """Some of the worlds."""
        parts = [getattr(self, field.name) for field in fields(self)]
        if isinstance(rows, torch.Tensor) and rows.dtype == torch.long:  # three times as fast as brackets
            return PinpadState(*(part.index_select(0, rows) for part in parts))
        return PinpadState(*(part[rows] for part in parts))

    def put_(self, rows: Int[Tensor, " some"], other: PinpadState) -> None:
        """Set ``other``'s worlds, in order, in the places ``rows``, in place.

        For restarts in a loop, where copies would cost more than steps.  Earlier states of the same episodes share the
        layouts and tasks, so they change too.
        """
        for field in fields(self):
            getattr(self, field.name).index_copy_(0, rows, getattr(other, field.name))

    def restart_(
        self, rows: Int[Tensor, " some"], layouts: Int[Tensor, "some objects"], tasks: Int[Tensor, "some length"]
    ) -> None:
        """Begin new episodes in the places ``rows``, in place: :func:`begin` and :meth:`put_` in one, and unchecked."""
        n = self.colours.shape[1]
        colours, walls = layouts[:, 1 : 1 + n], layouts[:, 1 + n :]
        contents = _contents(self.contents.shape[1], colours, walls)
        for whole, part in (
            (self.agent, layouts[:, 0]), (self.colours, colours), (self.walls, walls), (self.task, tasks),
            (self.contents, contents),
        ):  # fmt: skip
            whole.index_copy_(0, rows, part)
        for whole in (self.progress, self.time, self.done, self.success):
            whole.index_fill_(0, rows, 0)

    def where(self, mask: Bool[Tensor, " batch"], other: PinpadState) -> PinpadState:
        """These worlds where ``mask`` is true, ``other``'s elsewhere."""

        def pick(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(mask.view(-1, *[1] * (a.ndim - 1)), a, b)

        return PinpadState(*(pick(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))


def draw_layouts(world: Pinpad, n: int, generator: torch.Generator) -> Int[Tensor, "n objects"]:
    """Cells of the agent, the colours and the walls, [n, 1 + colours + walls], without overlap and ``distance`` apart.

    Uniform over the layouts that keep the distance, by drawing again those that do not.
    """
    device = generator.device
    layouts = torch.empty(n, 1 + world.colours + world.walls, dtype=torch.long, device=device)
    left = torch.arange(n, device=device)
    for _ in range(_DRAWS):
        drawn = torch.rand(len(left), world.cells, generator=generator, device=device).topk(layouts.shape[1]).indices
        good = _apart(world, drawn)
        layouts[left[good]] = drawn[good]
        left = left[~good]
        if not len(left):
            return layouts
    raise _no_room(world)


def _apart(world: Pinpad, layouts: Int[Tensor, "batch objects"]) -> Bool[Tensor, " batch"]:
    """True where the agent and all colours are ``distance`` moves from each other."""
    cells = layouts[:, : 1 + world.colours]
    good = torch.ones(len(cells), dtype=torch.bool, device=cells.device)
    if world.distance == 1:  # no two share a cell
        return good
    y, x = cells // world.size, cells % world.size
    for i in range(1, cells.shape[1]):
        moves = (x[:, :i] - x[:, i, None]).abs() + (y[:, :i] - y[:, i, None]).abs()  # [batch i]
        good &= (moves >= world.distance).all(1)
    return good


def _no_room(world: Pinpad) -> SpecError:
    return SpecError(
        f"pinpad: no room for an agent and {world.colours} colours {world.distance} moves apart "
        f"in size {world.size}: lower distance"
    )


def begin(world: Pinpad, layouts: Int[Tensor, "batch objects"], tasks: Int[Tensor, "batch length"]) -> PinpadState:
    """Worlds at the start of their episodes.  ``tasks`` [batch, length] are colours, equal ones never in a row."""
    tasks = tasks.to(layouts.device)
    if tasks.ndim != 2 or len(tasks) != len(layouts) or not tasks.shape[1]:
        raise DataError(f"pinpad: tasks of shape {tuple(tasks.shape)} for {len(layouts)} worlds: give [worlds, length]")
    if tasks.min() < 0 or tasks.max() >= world.colours:
        raise DataError(
            f"pinpad: a task names colours 0 to {world.colours - 1}, found {int(tasks.min())} to {int(tasks.max())}"
        )
    if (tasks[:, 1:] == tasks[:, :-1]).any():
        raise DataError("pinpad: a task names a colour twice in a row, and a colour cannot be entered from itself")
    n, device = len(layouts), layouts.device
    agent, colours, walls = (part.clone() for part in layouts.split([1, world.colours, world.walls], 1))
    contents = _contents(world.cells, colours, walls)
    progress, time = torch.zeros(2, n, dtype=torch.long, device=device)
    done, success = torch.zeros(2, n, dtype=torch.bool, device=device)
    return PinpadState(agent[:, 0], colours, walls, tasks.clone(), progress, time, done, success, contents)


def _contents(
    cells: int, colours: Int[Tensor, "batch colours"], walls: Int[Tensor, "batch walls"]
) -> Int8[Tensor, "batch cells"]:
    """What lies in each cell."""
    contents = torch.full((len(colours), cells), _NOTHING, dtype=torch.int8, device=colours.device)
    numbers = torch.arange(colours.shape[1], dtype=torch.int8, device=colours.device).expand(len(colours), -1)
    return contents.scatter_(1, walls, _WALL).scatter_(1, colours, numbers)


def _at(table: Tensor, columns: Int[Tensor, " batch"]) -> Shaped[Tensor, " batch"]:
    """The entry of each row in its column; twice as fast as ``gather``."""
    n, width = table.shape
    return table.reshape(-1).index_select(0, _starts(n, width, table.device) + columns)


@lru_cache(maxsize=32)
def _starts(n: int, width: int, device: torch.device) -> Int[Tensor, " batch"]:
    return torch.arange(n, device=device) * width


@cache
def _next_cells(size: int, device: torch.device) -> Int[Tensor, "cells moves"]:
    """Where each move leads when there are no walls, [cells, 4]."""
    cells = torch.arange(size**2)
    y, x = cells[:, None] // size, cells[:, None] % size
    dy, dx = torch.tensor([move.delta for move in Move]).T
    to_y, to_x = y + dy, x + dx
    inside = (to_y >= 0) & (to_y < size) & (to_x >= 0) & (to_x < size)
    return torch.where(inside, to_y * size + to_x, cells[:, None]).to(device)


def step(
    world: Pinpad, state: PinpadState, moves: Int[Tensor, " batch"]
) -> tuple[PinpadState, Float[Tensor, " batch"]]:
    """Every world after its move, and its reward; worlds that are done stay as they are, at reward 0."""
    new, reward, _ = _stepped(world, state, moves)
    return new, reward


def _stepped(world: Pinpad, state: PinpadState, moves: Tensor) -> tuple[PinpadState, Tensor, Tensor]:
    """What :func:`step` gives, and which worlds entered a colour that was not next, [batch]."""
    to = _next_cells(world.size, state.agent.device).view(-1).index_select(0, 4 * state.agent + moves)
    content = _at(state.contents, to)
    to = torch.where((content == _WALL) | state.done, state.agent, to)
    moved = to != state.agent
    right = (content == state.target) & moved
    wrong = (content >= 0) & moved & ~right
    progress = state.progress + right
    success = state.success | (right & (progress == state.task.shape[1]))
    time = state.time + ~state.done
    done = state.done | success | wrong | (time >= world.horizon)
    reward = (success & ~state.success).float()
    return replace(state, agent=to, progress=progress, time=time, done=done, success=success), reward, wrong


def observe(
    world: Pinpad, agent: Int[Tensor, "*batch"], objects: Int[Tensor, "*batch objects"]
) -> Int[Tensor, "*batch fields"]:
    """Observations [..., fields] of agents [...] among objects [..., colours + walls] (cells)."""
    if world.observation == "onehot":
        return torch.cat([agent[..., None], objects], -1)
    cells = torch.cat([agent[..., None], objects], -1)
    x, y = cells % world.size, cells // world.size
    if world.observation == "relative":
        shift = world.size - 1
        x = torch.cat([x[..., :1], x[..., 1:] - x[..., :1] + shift], -1)
        y = torch.cat([y[..., :1], y[..., 1:] - y[..., :1] + shift], -1)
    return rearrange([x, y], "xy ... fields -> ... (fields xy)")
