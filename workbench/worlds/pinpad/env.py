"""The gridworld pinpad as Gymnasium environments, single and vectorised, with the rules of
:mod:`workbench.worlds.pinpad.pinpad`.

``reset(seed=s)`` starts the episode of seed ``s``, the same one alone and in a vector; a later ``reset()`` goes on to a
seed derived from the last one.  Layouts are drawn as the paper draws them, so some have no way to complete the task.

Action: a :class:`Move`, 0 LEFT 1 RIGHT 2 UP 3 DOWN.  Observation: the fields of ``world.observation`` as integers
(``MultiDiscrete``), or with ``one_hot=True`` a ``Box`` of zeros and ones, each field one-hot (the paper's 637
numbers).  The task is not part of it.  Reward: 1 on completing the task, else 0.  Completing the task and entering a
colour that is not next terminate the episode; ``world.horizon`` steps truncate it.  ``info``: ``task`` (colours),
``target`` (the colour that is next), ``progress`` (colours done) and ``success``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from workbench.arguments import integer
from workbench.errors import DataError, SpecError, check_known
from workbench.worlds.moves import Move
from workbench.worlds.pinpad.options import (
    array_of,
    ends,
    integers,
    observation_space,
    read_layout,
    read_tasks,
    read_world,
)
from workbench.worlds.pinpad.pictures import pinpad_picture
from workbench.worlds.pinpad.pinpad import Pinpad, PinpadState, _stepped, begin
from workbench.worlds.pinpad.seeds import EpisodesAhead, next_seeds, seeded_layouts, seeded_tasks

_MOVES = ", ".join(f"{move.value} {move.name}" for move in Move)


class PinpadEnv(gymnasium.Env[np.ndarray, int]):
    """``workbench/Pinpad-v0``: one pinpad.

    ``world`` is a :class:`Pinpad` or the name of one of ``PINPADS``; other keywords replace rules of it (``size=5``,
    ``observation="relative"``).  ``task`` is ``"pretraining"`` (one of these an episode), ``"held-out"``, or a sequence
    of colours.  ``reset(options={"layout": cells, "task": colours})`` plays those instead; either may be left out.
    ``state`` is the batch of one that is being played.

    Raises :class:`SpecError` for unusable options, :class:`DataError` for unusable tasks, layouts and moves.

    >>> env = PinpadEnv(size=4, colours=4, walls=0, subgoal=1, task=(0, 2), observation="absolute")
    >>> observation, info = env.reset(options={"layout": [0, 1, 15, 2, 3]})
    >>> observation.tolist(), info["target"]  # x and y of the agent and of each colour
    ([0, 0, 1, 0, 3, 3, 2, 0, 3, 0], 0)
    >>> observation, reward, terminated, truncated, info = env.step(Move.RIGHT)
    >>> reward, terminated, info["target"], info["progress"]
    (0.0, False, 2, 1)
    >>> env.step(Move.RIGHT)[1:3], env.state.success.item()
    ((1.0, True), True)
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        world: Pinpad | str = "paper",
        task: str | Sequence[int] = "pretraining",
        one_hot: bool = False,
        render_mode: str | None = None,
        tile_size: int = 32,
        **rules: Any,
    ) -> None:
        if render_mode is not None:
            check_known(render_mode, self.metadata["render_modes"], "render_mode")
        self.world, self.one_hot = read_world(world, rules), one_hot
        self.tasks = read_tasks(self.world, task)
        self.render_mode, self.tile_size = render_mode, tile_size
        self.action_space: spaces.Space[Any] = spaces.Discrete(len(Move))
        self.observation_space: spaces.Space[Any] = observation_space(self.world, one_hot)
        self.episode_seed: int | None = None
        self.state: PinpadState | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start the episode of ``seed``, or the one that follows the last when there is no seed."""
        seed = None if seed is None else integer(seed, "seed", least=0)
        super().reset(seed=seed, options=options)
        given = options or {}
        for name in given:
            check_known(name, ["layout", "task"], "reset option")
        layout = read_layout(self.world, given["layout"]) if "layout" in given else None
        task = integers(given["task"], "task")[None] if "task" in given else None
        if seed is None:
            last = self.episode_seed
            seed = int(self.np_random.integers(2**53)) if last is None else int(next_seeds(np.array([last]))[0])
        self.episode_seed = int(seed)
        seeds = np.array([self.episode_seed])
        layout = seeded_layouts(self.world, seeds) if layout is None else layout
        self.state = begin(self.world, layout, seeded_tasks(self.tasks, seeds) if task is None else task)
        return array_of(self.world, self.state, self.one_hot)[0], self._info(self.state)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make a move.  Raises ``gymnasium.error.ResetNeeded`` when the episode is over."""
        before = self.state
        if before is None or bool(before.done):
            raise gymnasium.error.ResetNeeded("the episode is over (or has not begun): call reset()")
        if not self.action_space.contains(action):
            raise DataError(f"move {action!r} does not exist: the moves are {_MOVES}")
        self.state, reward, wrong = _stepped(self.world, before, torch.tensor([int(action)]))
        terminated, truncated = ends(before, self.state, wrong)
        seen = array_of(self.world, self.state, self.one_hot)[0]
        return seen, float(reward), bool(terminated), bool(truncated), self._info(self.state)

    def render(self) -> np.ndarray | None:
        """A picture of the state (render mode ``rgb_array``), the colour that is next framed."""
        if self.render_mode is None or self.state is None:
            return None
        objects = self.state.objects[0].tolist()
        target = None if bool(self.state.done) else int(self.state.target)
        return pinpad_picture(self.world, objects, int(self.state.agent), target, self.tile_size)

    def _info(self, state: PinpadState) -> dict[str, Any]:
        return {
            "task": state.task[0].numpy().copy(),
            "target": int(state.target),
            "progress": int(state.progress),
            "success": bool(state.success),
        }


class PinpadVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """``num_envs`` pinpads stepped as tensors; equal to that many :class:`PinpadEnv`, number for number.

    From ``gymnasium.make_vec("workbench/Pinpad-v0", num_envs=n)``.  Options are those of :class:`PinpadEnv`, and

    - ``autoreset_mode``: NEXT_STEP (default; the step after an episode's last ignores that world's action, pays 0 and
      returns the first observation of its next episode), SAME_STEP (the last observation and info are in
      ``info["final_obs"]`` and ``info["final_info"]``) or DISABLED (``reset(options={"reset_mask": ended})``), as
      in Gymnasium's ``SyncVectorEnv``;
    - ``device`` of the tensors.  What comes in and goes out are NumPy arrays; code that stays on a device calls
      :func:`workbench.worlds.pinpad.pinpad.step` itself.

    >>> envs = PinpadVectorEnv(3, "small")
    >>> observation, info = envs.reset(seed=7)
    >>> bool((observation[2] == PinpadEnv("small").reset(seed=9)[0]).all())
    True
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        world: Pinpad | str = "paper",
        task: str | Sequence[int] = "pretraining",
        one_hot: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        device: torch.device | str = "cpu",
        **rules: Any,
    ) -> None:
        if num_envs < 1:
            raise SpecError(f"num_envs {num_envs} is too few: give at least 1")
        if not isinstance(autoreset_mode, AutoresetMode):
            check_known(autoreset_mode, [mode.value for mode in AutoresetMode], "autoreset_mode")
        self.num_envs, self.world, self.one_hot = num_envs, read_world(world, rules), one_hot
        self.autoreset_mode, self.device = AutoresetMode(autoreset_mode), torch.device(device)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.tasks = read_tasks(self.world, task)
        self.single_action_space: spaces.Space[Any] = spaces.Discrete(len(Move))
        self.single_observation_space: spaces.Space[Any] = observation_space(self.world, one_hot)
        self.action_space: spaces.Space[Any] = batch_space(self.single_action_space, num_envs)
        self.observation_space: spaces.Space[Any] = batch_space(self.single_observation_space, num_envs)
        self.episode_seeds = np.full(num_envs, -1, dtype=np.int64)  # -1: none yet
        self.state: PinpadState | None = None
        self._ahead: EpisodesAhead | None = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode in every world; an int seeds world i with ``seed + i``, a sequence gives one seed each.

        ``options={"reset_mask": [num_envs] booleans}`` starts episodes in some worlds only.
        """
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed), options=options)
            seed = [int(seed) + i for i in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise DataError(f"{len(seeds)} seeds for {self.num_envs} environments: give one for each")
        mask = self._mask(options or {})
        rows = np.flatnonzero(mask)
        state = self._begin(rows, [seeds[row] for row in rows])
        return array_of(self.world, state, self.one_hot), self._info(state, mask)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Make a move in every world.  actions: integers [num_envs]; all arrays returned begin with [num_envs].

        Raises ``gymnasium.error.ResetNeeded`` before the first reset and, with autoreset DISABLED, where an episode
        is over.
        """
        before = self.state
        if before is None:
            raise gymnasium.error.ResetNeeded("no episode has begun: call reset()")
        over = before.done.cpu().numpy()
        if self.autoreset_mode is AutoresetMode.DISABLED and over.any():
            hint = "call reset(options={'reset_mask': terminated | truncated})"
            raise gymnasium.error.ResetNeeded(f"the episode of world {over.argmax()} is over: {hint}")
        self.state, reward, wrong = _stepped(self.world, before, self._moves(actions, over))
        terminated, truncated = (each.cpu().numpy() for each in ends(before, self.state, wrong))
        last: dict[str, Any] = {}
        restart = over
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            restart = terminated | truncated
            last = self._last(self.state, restart)
        state = self._restart(self.state, np.flatnonzero(restart)) if restart.any() else self.state
        seen = array_of(self.world, state, self.one_hot)
        everywhere = np.ones(self.num_envs, dtype=bool)
        return seen, reward.double().cpu().numpy(), terminated, truncated, last | self._info(state, everywhere)

    def _moves(self, actions: np.ndarray, over: np.ndarray) -> torch.Tensor:
        moves = np.asarray(actions)
        if moves.shape != (self.num_envs,) or moves.dtype.kind not in "iu":
            raise DataError(f"actions of shape {moves.shape}, {moves.dtype}: give {self.num_envs} integers")
        moves = np.where(over, 0, moves)
        if moves.min() < 0 or moves.max() >= len(Move):
            wrong = moves[(moves < 0) | (moves >= len(Move))]
            raise DataError(f"move {wrong[0]} does not exist: the moves are {_MOVES}")
        return torch.from_numpy(moves.astype(np.int64, copy=False)).to(self.device)

    def _mask(self, options: dict[str, Any]) -> np.ndarray:
        """The worlds to reset, [num_envs]."""
        for name in options:
            check_known(name, ["reset_mask"], "reset option")
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, dtype=bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise DataError(f"reset_mask: give {self.num_envs} booleans, at least one of them true")
        if self.state is None and not mask.all():
            raise gymnasium.error.ResetNeeded("no episode has begun: the first reset() is of every world")
        return mask

    def _begin(self, rows: np.ndarray, given: Sequence[int | None] | None = None) -> PinpadState:
        """Start the episodes of the ``given`` seeds in some worlds, those that follow the last where there is none."""
        last = self.episode_seeds[rows]
        seeds = next_seeds(last)
        if (last < 0).any():
            seeds = np.where(last < 0, self.np_random.integers(2**53, size=len(rows)), seeds)
        if given is not None:
            seeds = np.array([s if g is None else g for s, g in zip(seeds, given, strict=True)], dtype=np.int64)
        if (seeds < 0).any():
            raise DataError(f"seed {seeds.min()} is negative: seeds are whole numbers from 0")
        self.episode_seeds[rows], self._ahead = seeds, None
        layouts = seeded_layouts(self.world, seeds).to(self.device)
        new = begin(self.world, layouts, seeded_tasks(self.tasks, seeds))
        if self.state is None or len(rows) == self.num_envs:
            self.state = new
        else:
            self.state.put_(torch.from_numpy(rows).to(self.device), new)
        return self.state

    def _restart(self, state: PinpadState, rows: np.ndarray) -> PinpadState:
        """Start the episodes that follow the last in some worlds."""
        if self._ahead is None:
            self._ahead = EpisodesAhead(self.world, self.tasks, self.episode_seeds)
        self.episode_seeds[rows], layouts, tasks = self._ahead.take(rows)
        state.restart_(*(each.to(self.device) for each in (torch.from_numpy(rows), layouts, tasks)))
        return state

    def _last(self, state: PinpadState, ended: np.ndarray) -> dict[str, Any]:
        """``final_obs`` and ``final_info`` of the worlds that ended, as ``SyncVectorEnv`` gives them."""
        rows = np.flatnonzero(ended)
        if not len(rows):
            return {}
        finals = np.full(self.num_envs, None, dtype=object)
        seen = array_of(self.world, state[torch.from_numpy(rows).to(self.device)], self.one_hot)
        for row, each in zip(rows.tolist(), seen, strict=True):
            finals[row] = each
        return {
            "final_obs": finals, "_final_obs": ended,
            "final_info": self._info(state, ended), "_final_info": ended.copy(),
        }  # fmt: skip

    def _info(self, state: PinpadState, mask: np.ndarray) -> dict[str, Any]:
        found = {"task": state.task, "target": state.target, "progress": state.progress, "success": state.success}
        info: dict[str, Any] = {}
        everywhere = mask.all()
        for name, values in found.items():
            array = values.cpu().numpy().copy()
            if not everywhere:
                array[~mask] = 0
            info[name], info[f"_{name}"] = array, mask.copy()
        return info
