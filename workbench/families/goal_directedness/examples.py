"""A few trajectories with what was decoded of them, for the grid viewer."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.families.goal_directedness.probing import ProbeData
from workbench.runs import RunFolder
from workbench.worlds.grids.agents.probed_states import POSITIONS
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.maze_sets import probe_layouts

TRAJECTORIES = 6


def save_examples(folder: RunFolder, data: ProbeData, layer: int) -> None:
    """Write ``examples.json`` (layouts and steps) and ``examples.safetensors`` (decoded maps and plans of each step).

    Tensors: ``true-{k}`` [steps, size, size] cell classes, ``map_{position}-{k}`` [steps, size, size, classes] and
    ``plan_{position}-{k}`` [steps, plan_steps, 5] probabilities of trajectory k.  All are of held-out layouts,
    the longest trajectory of each size first.
    """
    layouts = probe_layouts(data.spec).layouts
    steps = data.steps[data.test].reset_index(drop=True)
    decoded = {p: folder.load_tensors(f"decoded-{p}-{layer}")[0]["probabilities"].numpy() for p in POSITIONS}
    plans = {p: folder.load_tensors(f"plans-{p}")[0]["probabilities"].numpy() for p in POSITIONS}
    maps = data.maps[data.test]
    parts = sorted(steps.groupby(["layout", "rollout"]).indices.values(), key=len, reverse=True)
    sizes = sorted(data.spec.sizes)
    share = -(-TRAJECTORIES // len(sizes))
    picked = [rows for n in sizes for rows in [r for r in parts if steps["size"].iloc[r[0]] == n][:share]]
    described: list[dict[str, Any]] = []
    tensors: dict[str, np.ndarray] = {}
    for k, rows in enumerate(picked):
        layout = layouts[int(steps["layout"].iloc[rows[0]])]
        n = layout.size
        described.append(
            {
                "size": n, "rows": list(layout.rows), "start": list(layout.start), "goal": list(layout.goal),
                "key": None, "door": None, "density": float(steps["density"].iloc[rows[0]]), "layer": layer,
                "steps": [_step(steps.iloc[row], layout) for row in rows],
            }
        )  # fmt: skip
        tensors[f"true-{k}"] = maps[rows][:, :n, :n]
        for position in POSITIONS:
            tensors[f"map_{position}-{k}"] = decoded[position][rows][:, :n, :n]
            tensors[f"plan_{position}-{k}"] = plans[position][rows]
    folder.write_json("examples", described)
    folder.save_tensors("examples", tensors)


def _step(row: Any, layout: Any) -> dict[str, Any]:
    state = State((int(row["row"]), int(row["column"])), bool(row["has_key"]))
    return {
        "row": state.cell[0], "column": state.cell[1], "has_key": state.has_key, "move": int(row["move"]),
        "optimal": [int(move) for move in layout.optimal_moves(state)], "completion": str(row["completion"]),
    }  # fmt: skip
