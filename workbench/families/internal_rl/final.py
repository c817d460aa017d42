"""Final success of every method as arrays: seeds by episodes, the same worlds for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.families.internal_rl.tables import gathered

if TYPE_CHECKING:
    import pandas as pd

    from workbench.runs.contents import RunContents

__all__ = ["EXPERT", "Final", "final_rows"]

EXPERT = "expert"


@dataclass(frozen=True)
class Final:
    """The evaluation of a run's methods; ``table`` holds one row an episode."""

    table: pd.DataFrame

    @property
    def cells(self) -> list[tuple[str, str]]:
        """(method, task) of what is there, in the order of the rows."""
        return list(dict.fromkeys(zip(self.table["method"], self.table["task"], strict=True)))

    def array(self, method: str, task: str, column: str = "success") -> np.ndarray:
        """[seeds, episodes, 1]."""
        rows = self.table[(self.table["method"] == method) & (self.table["task"] == task)]
        wide = rows.pivot(index="seed", columns="episode", values=column)
        return wide.to_numpy(float)[..., None]

    def seeds(self, method: str, task: str) -> list[int]:
        """Its seeds, in the order of :meth:`array`."""
        rows = self.table[(self.table["method"] == method) & (self.table["task"] == task)]
        return sorted(rows["seed"].unique().tolist())


def final_rows(folder: RunContents) -> Final | None:
    """What was evaluated, or None when nothing was reinforced."""
    import pandas as pd

    ceiling, learned = gathered(folder, "ceiling"), gathered(folder, "rl")
    if not len(learned):
        return None
    learned = learned[learned["phase"] == "final"]
    return Final(pd.concat([ceiling, learned], ignore_index=True))
