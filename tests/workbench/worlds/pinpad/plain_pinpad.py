"""The pinpad once more, in plain Python and one world at a time: the reference that the tensors are held against.

Written from the rules, not from the batched code: cells are (row, column) pairs, the world a dictionary.  As a
Gymnasium environment it is what ``SyncVectorEnv`` steps in the benchmarks.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

NEIGHBOURS = {0: (0, -1), 1: (0, 1), 2: (-1, 0), 3: (1, 0)}  # left, right, up, down


class PlainPinpad:
    """One episode.  ``layout``: cells of the agent, the colours and the walls, numbered row by row."""

    def __init__(self, size: int, colours: int, horizon: int, layout: list[int], task: list[int]) -> None:
        places = [divmod(cell, size) for cell in layout]
        self.size, self.horizon, self.task = size, horizon, task
        self.agent, self.objects = places[0], places[1:]
        self.colour_at = {place: i for i, place in enumerate(self.objects[:colours])}
        self.walls = set(self.objects[colours:])
        self.progress = self.time = 0
        self.terminated = self.truncated = self.success = False

    def move(self, move: int) -> float:
        """Play a move and return its reward."""
        if self.terminated or self.truncated:
            return 0.0
        row, column = self.agent[0] + NEIGHBOURS[move][0], self.agent[1] + NEIGHBOURS[move][1]
        inside = 0 <= row < self.size and 0 <= column < self.size
        self.time += 1
        if inside and (row, column) not in self.walls:
            self.agent = row, column
            colour = self.colour_at.get(self.agent)
            if colour is not None:
                if colour == self.task[self.progress]:
                    self.progress += 1
                    self.success = self.progress == len(self.task)
                    self.terminated = self.success
                else:
                    self.terminated = True
        self.truncated = not self.terminated and self.time == self.horizon
        return float(self.success)

    def target(self) -> int:
        """The colour that is next, of a finished task the last."""
        return self.task[min(self.progress, len(self.task) - 1)]

    def observe(self, form: str) -> list[int]:
        """The observation as the fields of ``form``."""
        (row, column), seen = self.agent, []
        if form == "onehot":
            return [r * self.size + c for r, c in [self.agent, *self.objects]]
        seen = [column, row]
        for r, c in self.objects:
            seen += [c, r] if form == "absolute" else [c - column + self.size - 1, r - row + self.size - 1]
        return seen

    def channels(self) -> np.ndarray:
        """The paper's observation: a one-hot channel of cells for the agent and every object, [cells * channels]."""
        grid = np.zeros((1 + len(self.objects), self.size, self.size), dtype=np.float32)
        for channel, place in enumerate([self.agent, *self.objects]):
            grid[(channel, *place)] = 1
        return grid.ravel()

    def distances(self, goal: int) -> dict[tuple[int, int], int]:
        """Moves to a colour from every cell from which there is a way, all else being obstacles (breadth first)."""
        start = self.objects[goal]
        obstacles = set(self.objects) - {start}
        found, queue = {start: 0}, deque([start])
        while queue:
            here = queue.popleft()
            for down, right in NEIGHBOURS.values():
                there = here[0] + down, here[1] + right
                inside = 0 <= there[0] < self.size and 0 <= there[1] < self.size
                if inside and there not in found and there not in obstacles:
                    found[there] = found[here] + 1
                    queue.append(there)
        return found

    def best_moves(self, goal: int, place: tuple[int, int] | None = None) -> list[int]:
        """The moves that begin a shortest way from a place (the agent's) to a colour by another cell."""
        row, column = place or self.agent
        far = self.distances(goal)
        after = {m: far.get((row + d, column + r)) for m, (d, r) in NEIGHBOURS.items()}
        ways = {move: cost for move, cost in after.items() if cost is not None}
        return [move for move, cost in ways.items() if cost == min(ways.values())]

    def steps_needed(self) -> int | None:
        """Length of the shortest way through the whole task from the start, None where there is none."""
        place, total = self.agent, 0
        for goal in self.task:
            far = self.distances(goal)
            ways = [far[p] for d, r in NEIGHBOURS.values() if (p := (place[0] + d, place[1] + r)) in far]
            if not ways:
                return None
            place, total = self.objects[goal], total + 1 + min(ways)
        return total


class PlainPinpadEnv(gymnasium.Env[np.ndarray, int]):
    """The plain pinpad as an environment of the paper's size, tasks uniform over ``tasks``."""

    def __init__(self, tasks: list[list[int]], size: int = 7, colours: int = 8, walls: int = 4) -> None:
        self.tasks, self.size, self.colours, self.walls = tasks, size, colours, walls
        self.action_space: spaces.Space[Any] = spaces.Discrete(4)
        self.observation_space: spaces.Space[Any] = spaces.MultiDiscrete([size**2] * (1 + colours + walls))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        layout = self.np_random.permutation(self.size**2)[: 1 + self.colours + self.walls].tolist()
        task = self.tasks[int(self.np_random.integers(len(self.tasks)))]
        self.game = PlainPinpad(self.size, self.colours, 100, layout, task)
        return np.array(self.game.observe("onehot")), self._info()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = self.game.move(int(action))
        game = self.game
        return np.array(game.observe("onehot")), reward, game.terminated, game.truncated, self._info()

    def _info(self) -> dict[str, Any]:
        game = self.game
        return {
            "task": np.array(game.task),
            "target": game.target(),
            "progress": game.progress,
            "success": game.success,
        }
