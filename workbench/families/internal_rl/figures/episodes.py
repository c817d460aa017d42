"""Episodes that an internal-RL run kept for pictures: where the agent went, which code was in force, what the gate
said, and how the episode came to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.errors import DataError
from workbench.families.internal_rl.figures.looks import of_measure, task_name
from workbench.figures.style import need
from workbench.statistics import Interval

FIRST, FARTHEST = "first", "farthest"
METHOD = "internal RL"
_COLUMNS = ("task", "episode", "step", "agent", "next", "target", "subgoal", "gate", "switched", "segment", "success",
            "progress", "size", "colours", "walls")  # fmt: skip


@dataclass(frozen=True, eq=False)
class PinpadEpisode:
    """One episode of ``n`` moves on a grid of ``size`` cells a side, cells numbered row by row.

    ``colours`` and ``walls`` are cells; ``agents`` [n + 1] the cells before each move and after the last.  Before each
    move: ``target`` the colour that is next, ``subgoal`` the subgoal that this colour is part of, ``gate`` in 0 to 1,
    ``switched`` whether a new code was drawn, ``segment`` the number of the code since the start, ``codes`` [n, c] its
    numbers.  ``progress`` counts the colours reached.  ``chosen`` says how the episode came to be shown (empty: not
    recorded) out of ``played`` episodes (0: not recorded), ``sequence`` are the task's colours (empty: not recorded).
    """

    task: str
    number: int
    size: int
    colours: tuple[int, ...]
    walls: tuple[int, ...]
    agents: NDArray[np.int_]
    target: NDArray[np.int_]
    subgoal: NDArray[np.int_]
    gate: NDArray[np.float64]
    switched: NDArray[np.bool_]
    segment: NDArray[np.int_]
    codes: NDArray[np.float64]
    success: bool
    progress: int
    chosen: str = ""
    played: int = 0
    sequence: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        cells = (*self.colours, *self.walls, *self.agents)
        if not len(self) or not all(0 <= int(cell) < self.size**2 for cell in cells):
            raise DataError(f"episode {self.number} ({self.task}) has no moves, or a cell outside of its grid")
        if self.target.min() < 0 or self.target.max() >= len(self.colours):
            raise DataError(f"episode {self.number} ({self.task}) names a colour that is not in its grid")

    def __len__(self) -> int:
        """Number of moves."""
        return len(self.gate)

    @property
    def changes(self) -> NDArray[np.int_]:
        """The steps (from 0) that are the first of a new subgoal; not the episode's first."""
        return np.flatnonzero(self.subgoal[1:] != self.subgoal[:-1]) + 1

    @property
    def how_chosen(self) -> str:
        """How the episode came to be shown, in words that tell a picked one from a usual one."""
        of = f" of {self.played} played" if self.played else ""
        if self.chosen == FIRST:
            return f"not picked: among the first{of}"
        if self.chosen == FARTHEST:
            return f"picked: among those that got farthest{of}"
        return "how it was chosen was not recorded"

    @property
    def ending(self) -> str:
        """How the episode ended: the task was done, another colour than the next was entered, or time ran out."""
        text = f"colours reached: {self.progress}{f' of {len(self.sequence)}' if self.sequence else ''}"
        last, target = int(self.agents[-1]), int(self.target[-1])
        if self.success:
            return f"{text}, task done"
        entered = self.colours.index(last) if last in self.colours and last != self.agents[-2] else target
        if entered != target:
            return f"{text}, ended by entering colour {entered} when {target} was next"
        return f"{text}, ended when time ran out"


def episodes_of(table: pd.DataFrame) -> list[PinpadEpisode]:
    """The episodes of the table ``episodes``, in its order.

    Columns: ``task, episode, step, agent, next, target, subgoal, gate, switched, segment, success, progress, size,
    colours, walls``, and ``code_0...``; ``chosen, played, sequence`` may be missing (older runs).
    """
    need(table, _COLUMNS, "episodes")
    return [_episode(rows.sort_values("step")) for _, rows in table.groupby(["task", "episode"], sort=False)]


def _episode(rows: pd.DataFrame) -> PinpadEpisode:
    first: dict[str, Any] = rows.iloc[0].to_dict()
    codes = sorted((c for c in rows.columns if str(c).startswith("code_")), key=lambda c: int(str(c)[5:]))
    return PinpadEpisode(
        task=str(first["task"]), number=int(first["episode"]), size=int(first["size"]),
        colours=_numbers(first["colours"]), walls=_numbers(first["walls"]),
        agents=np.append(rows["agent"].to_numpy(int), int(rows["next"].iloc[-1])),
        target=rows["target"].to_numpy(int), subgoal=rows["subgoal"].to_numpy(int), gate=rows["gate"].to_numpy(float),
        switched=rows["switched"].to_numpy(bool), segment=rows["segment"].to_numpy(int),
        codes=rows[codes].to_numpy(float), success=bool(first["success"]), progress=int(first["progress"]),
        chosen=str(first.get("chosen", "")), played=int(first.get("played", 0)),
        sequence=_numbers(first.get("sequence", "")),
    )  # fmt: skip


def _numbers(text: Any) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in str(text).split(",") if part)
    except ValueError as error:
        raise DataError(f"{text!r} is not a list of numbers such as '3,7'") from error


def overall_success(final: pd.DataFrame | None) -> Mapping[str, str]:
    """By task, how often the method of the shown episodes succeeds, from the table ``final``; empty without it."""
    if final is None or not {"method", "task", "seeds", "measure", "estimate", "low", "high"}.issubset(final.columns):
        return {}
    rows = of_measure(final[final["method"] == METHOD], "success")
    return {
        str(
            row.task
        ): f"{METHOD} succeeds in {Interval.of(row).text(3)} of all episodes of the {task_name(str(row.task))} "
        f"({row.seeds} seed{'s' * (int(row.seeds) > 1)})"
        for row in rows.itertuples()
    }


def picked(episodes: list[PinpadEpisode]) -> dict[str, PinpadEpisode]:
    """One episode of each task and each way of choosing, by a name that says both: those that become files.

    >>> picked([])
    {}
    """
    found: dict[str, PinpadEpisode] = {}
    for episode in episodes:
        found.setdefault(f"episode-{episode.task.replace(' ', '-')}-{episode.chosen or 'shown'}", episode)
    return found
