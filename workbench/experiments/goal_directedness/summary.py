"""From units to tables, and which of the paper's orderings held.

Differences between probes, positions and controls are paired: taken state by state, with intervals that resample whole
groups of layouts.  An ordering is held when the 95% interval of its difference lies on the right side of zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.agents.grid_behaviour import behaviour_table, calibration_of, compare_transforms, goal_structures
from workbench.experiments.goal_directedness.spec import GoalSpec
from workbench.experiments.goal_directedness.states import POSITIONS
from workbench.runs import RunFolder
from workbench.statistics import Interval, cluster_bootstrap, cluster_bootstrap_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["chosen_layer", "save_tables"]


def chosen_layer(folder: RunFolder) -> int:
    """The layer whose MLP maps are best, the mean of before and after reasoning (accuracy without padding)."""
    maps = gather(folder, "map", but=("map-controls", "map-sizes"))
    kept = maps[(maps["metric"] == "accuracy") & (maps["padding"] == "without") & (maps["probe"] == "mlp")]
    return int(kept.groupby("layer")["estimate"].mean().idxmax())


def gather(folder: RunFolder, kind: str, but: tuple[str, ...] = ()) -> pd.DataFrame:
    """The rows of all units whose names begin with ``kind``-."""
    import pandas as pd

    names = [name for name in folder.units() if name.startswith(f"{kind}-") and not name.startswith(but or ("\0",))]
    return pd.concat([folder.read(name) for name in names], ignore_index=True)
