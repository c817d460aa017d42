"""A run as a list of units, each done once: what the experiment families share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from workbench.runs import RunFolder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Say", "Unit", "run_units"]

Say = Callable[[str], None]
Job = TypeVar("Job")


@dataclass(frozen=True)
class Unit(Generic[Job]):
    """A step of a run: its name in the run folder, what it does, how many completions it draws at most."""

    name: str
    what: str
    completions: int
    work: Callable[[Job], pd.DataFrame]


def run_units(folder: RunFolder, units: Iterable[Unit[Job]], job: Job, say: Say | None = None) -> None:
    """Do the units that ``folder`` has not yet, in order, and write their rows; ``say`` gets one line a unit."""
    all_units = list(units)
    left = set(folder.plan([unit.name for unit in all_units]))
    for number, unit in enumerate(all_units, 1):
        if unit.name in left:
            if say:
                say(f"[{number}/{len(all_units)}] {unit.what}")
            folder.log(f"begin {unit.name}")
            folder.write(unit.name, unit.work(job))
