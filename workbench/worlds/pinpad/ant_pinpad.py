"""``workbench/AntPinpad-v0``: the pinpad walked by MuJoCo's ant (arXiv 2512.20605; needs the extra ``mujoco``).

The body is Gymnasium's Ant-v5: 8 torques in [-1, 1], 0.05 s a step.  The ant stands in the cell that its centre is in;
entering the colour that is next in the task makes progress, and the task is never observed.  An episode ends on success
(reward 1, the only one), on entering another colour, when the centre enters a wall's cell or leaves the arena, when the
torso's height leaves [0.2, 1.0], and is truncated at the horizon.

What the paper leaves open and was chosen here: cells of 2 m (an ant with its legs stretched is about as wide), nothing
solid stands in the arena (walls and the arena's border end the episode instead), the ant starts upright anywhere in the
middle four fifths of its cell, at any yaw, with Ant-v5's noise of 0.1 on joints and velocities.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Int

from workbench.errors import DataError, MissingExtraError, SpecError, check_known, did_you_mean
from workbench.seeding import derive_seed
from workbench.worlds.moves import Move
from workbench.worlds.pinpad.ant_world import AntWorld
from workbench.worlds.pinpad.expert import distances, expert_probabilities, solvable
from workbench.worlds.pinpad.pinpad import draw_layouts
from workbench.worlds.pinpad.tasks import held_out_task, pretraining_tasks

TASKS = ("pretraining", "held_out")
"""Names of tasks: one of the 16 drawn at each reset, or the one whose transitions are never trained on."""

_HEIGHT = (0.2, 1.0)
_START = 0.8  # share of a cell's side in which the ant starts
_OPTIONS = ("layout", "task")
_TRIES = 1000


class AntPinpad(gymnasium.Env[np.ndarray, np.ndarray]):
    """The ant in a world of coloured cells.

    ``task`` is a name in :data:`TASKS` or a sequence of colours; with ``solvable`` only layouts are drawn in which the
    task can be done.  Observation: float32 [41], see :mod:`workbench.worlds.pinpad.ant_world`.  ``info``: ``task``,
    ``target`` (the colour that is next), ``progress``, ``cell`` (-1 outside), ``success``, and ``ended``: empty, or
    ``success``, ``wrong colour``, ``wall``, ``fell`` or ``time``.

    ``reset(seed=s)`` starts the episode of seed s, a later ``reset()`` the one that follows; ``options`` may hold a
    ``layout`` (cells of the agent, the colours and the walls) and a ``task``.  Raises :class:`MissingExtraError`
    without MuJoCo and :class:`SpecError` for a task or layout that does not fit.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(
        self, world: AntWorld | None = None, task: str | Sequence[int] = "pretraining", solvable: bool = False
    ) -> None:
        self.world, self.solvable = world or AntWorld(), solvable
        self._tasks = self._tasks_of(task)
        self.body = _new_body(self.world.frame_skip)
        self.action_space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (8,), np.float32)
        shape = (self.world.observation_size,)
        self.observation_space: spaces.Space[Any] = spaces.Box(-10.0, 10.0, shape, np.float32)
        self.episode_seed: int | None = None
        self.ended = "not begun"
        self.cell: int | None = None
        self.last_cell = 0  # the last inside the arena

    @property
    def xy(self) -> np.ndarray:
        """Where the ant's centre is, in metres."""
        return self.body.data.qpos[:2].copy()

    @property
    def target(self) -> int:
        """The colour that is next; of a finished task, the last."""
        return self.task[min(self.progress, len(self.task) - 1)]

    @property
    def direction(self) -> np.ndarray:
        """The way to the next colour, a unit vector [2] in the world's axes: what the expert is told."""
        return self.routes.direction(self.xy, self.last_cell, self.target)

    @property
    def observation(self) -> np.ndarray:
        """What the ant sees now."""
        data = self.body.data
        return self.world.observe(np.concatenate([data.qpos[2:], data.qvel]), self.xy, self._centres)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start the episode of ``seed``, or the one that follows the last when there is no seed."""
        super().reset(seed=seed)
        if seed is None:
            last = self.episode_seed
            seed = int(self.np_random.integers(2**62)) if last is None else derive_seed(last, "next episode")
        self.episode_seed = int(seed)
        given = options or {}
        for name in given:
            check_known(name, _OPTIONS, "reset option")
        tasks = self._tasks_of(given["task"]) if "task" in given else self._tasks
        self.task = tasks[derive_seed(self.episode_seed, "task") % len(tasks)]
        self._place_objects(given.get("layout"))
        self.progress = self.time = 0
        self.success, self.ended = False, ""
        self._place_ant()
        return self.observation, self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Apply 8 torques.  Raises ``gymnasium.error.ResetNeeded`` when the episode is over."""
        if self.ended:
            raise gymnasium.error.ResetNeeded("the episode is over (or has not begun): call reset()")
        torques = np.asarray(action, dtype=np.float64)
        if torques.shape != (8,) or not np.isfinite(torques).all():
            raise DataError(f"the ant takes 8 finite torques, not {action!r}")
        self.body.do_simulation(torques.clip(-1, 1), self.world.frame_skip)
        self.time += 1
        self.ended = self._arrive()
        if not self.ended and self.time >= self.world.rules.horizon:
            self.ended = "time"
        terminated = bool(self.ended) and self.ended != "time"
        return self.observation, float(self.success), terminated, self.ended == "time", self._info()

    def close(self) -> None:
        """Free what the body holds."""
        self.body.close()

    # ---- rules

    def _arrive(self) -> str:
        """Why the episode ends where the ant now is; empty if it goes on."""
        height = float(self.body.data.qpos[2])
        if not (np.isfinite(self.body.state_vector()).all() and _HEIGHT[0] <= height <= _HEIGHT[1]):
            return "fell"
        self.cell = self.world.cell_at(self.xy)
        if self.cell is None or self.cell in self._walls:
            return "wall"
        entered = self.cell != self.last_cell
        self.last_cell = self.cell
        if not entered or self.cell not in self._colours:
            return ""
        if self._colours.index(self.cell) != self.target:
            return "wrong colour"
        self.progress += 1
        self.success = self.progress == len(self.task)
        return "success" if self.success else ""

    # ---- starting an episode

    def _tasks_of(self, task: Any) -> list[tuple[int, ...]]:
        rules = self.world.rules
        if isinstance(task, str):
            if task not in TASKS:
                raise SpecError(f"unknown task {task!r}{did_you_mean(task, TASKS)}; or give a sequence of colours")
            drawn = pretraining_tasks(rules) if task == "pretraining" else held_out_task(rules)[None]
            return [tuple(each) for each in drawn.tolist()]
        colours = tuple(int(colour) for colour in task)
        repeats = any(a == b for a, b in pairwise(colours))
        if not colours or repeats or not all(0 <= colour < rules.colours for colour in colours):
            raise SpecError(f"the task {colours} is none: name colours 0 to {rules.colours - 1}, none twice in a row")
        return [colours]

    def _place_objects(self, given: Any) -> None:
        rules, seed = self.world.rules, derive_seed(self.episode_seed or 0, "layout")
        self.layout = _layout_of(given, rules) if given is not None else self._draw(seed)
        self._colours = self.layout[1 : 1 + rules.colours].tolist()
        self._walls = frozenset(self.layout[1 + rules.colours :].tolist())
        self._centres = self.world.centre(self.layout[1:])
        self.routes = Routes(self.world, self.layout, derive_seed(seed, "ties"))
        self.cell = self.last_cell = int(self.layout[0])

    def _draw(self, seed: int) -> np.ndarray:
        rules, generator = self.world.rules, torch.Generator().manual_seed(seed)
        for _ in range(_TRIES):
            layout = draw_layouts(rules, 1, generator)
            if not self.solvable or bool(solvable(rules, layout, torch.tensor([self.task]), distances(rules, layout))):
                return layout[0].numpy()
        raise SpecError(f"ant pinpad: no layout in {_TRIES} lets the task {self.task} be done: use fewer walls")

    def _place_ant(self) -> None:
        seed = derive_seed(self.episode_seed or 0, "start")
        self.body.reset(seed=seed % 2**31)
        rng = np.random.default_rng(seed)
        qpos, qvel = self.body.data.qpos.copy(), self.body.data.qvel.copy()
        reach = _START * self.world.cell / 2
        qpos[:2] = self.world.centre(self.layout[0]) + rng.uniform(-reach, reach, 2)
        half_yaw = rng.uniform(-np.pi, np.pi) / 2
        qpos[3:7] = np.cos(half_yaw), 0.0, 0.0, np.sin(half_yaw)
        self.body.set_state(qpos, qvel)

    def _info(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "target": self.target,
            "progress": self.progress,
            "cell": -1 if self.cell is None else self.cell,  # a number always: vector environments stack it
            "success": self.success,
            "ended": self.ended,
        }


class Routes:
    """Ways of the ant in one layout: cells of the agent, the colours and the walls, [1 + colours + walls].

    ``next_cells`` [colours, cells] is the next cell on a shortest way to a colour, the cell itself where there is none.
    Distances are those of the grid's expert (other colours and walls are obstacles); ties are broken once an episode,
    so that the way from a cell does not change while the ant walks through it.

    >>> import torch
    >>> from workbench.worlds.pinpad.ant_world import AntWorld
    >>> routes = Routes(AntWorld(), torch.tensor([0, 2, 7, 13, 15, 1]), seed=0)
    >>> int(routes.next_cells[0, 0]), int(routes.next_cells[0, 5])  # around the wall in cell 1
    (4, 6)
    """

    def __init__(self, world: AntWorld, layout: Int[np.ndarray, " objects"], seed: int) -> None:
        rules = world.rules
        self.world = world
        cells = torch.arange(rules.cells).expand(1, rules.colours, -1)
        targets = torch.arange(rules.colours)[None, :, None].expand_as(cells)
        costs = distances(rules, torch.as_tensor(layout)[None])
        ways = expert_probabilities(rules, costs, cells, targets)[0].numpy()  # [colours cells moves]
        noise = np.random.default_rng(seed).random(ways.shape)
        picked = ((ways > 0) * (1 + noise)).argmax(-1)
        steps = np.array([dy * rules.size + dx for dy, dx in (move.delta for move in Move)])
        self.next_cells = np.where(ways.any(-1), np.arange(rules.cells) + steps[picked], np.arange(rules.cells))

    def direction(self, xy: Float[np.ndarray, "2"], cell: int, target: int) -> Float[np.ndarray, "2"]:
        """Unit vector from ``xy`` in ``cell`` toward the centre of the next cell on the way to the colour ``target``.

        Aiming at the centre keeps the ant away from the borders to cells that it must not enter.
        """
        way = self.world.centre(self.next_cells[target, cell]) - xy
        return way / max(float(np.hypot(*way)), 1e-6)


def _layout_of(given: Any, rules: Any) -> np.ndarray:
    layout = np.asarray(given)
    n = 1 + rules.colours + rules.walls
    whole = layout.dtype.kind in "iu" and layout.shape == (n,)
    if not whole or len(set(layout.tolist())) != n or layout.min() < 0 or layout.max() >= rules.cells:
        raise SpecError(f"a layout is {n} different cells below {rules.cells} (agent, colours, walls), not {given!r}")
    return layout.astype(np.int64)


def _new_body(frame_skip: int) -> Any:
    for package in ("mujoco", "imageio"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "mujoco")
    made = gymnasium.make(
        "Ant-v5", frame_skip=frame_skip, include_cfrc_ext_in_observation=False, reset_noise_scale=0.1,
        disable_env_checker=True,
    )  # fmt: skip
    return made.unwrapped
