"""One goal-directedness run: what held, the figures, and a viewer of what was decoded at each step."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from workbench.errors import RunError
from workbench.families.goal_directedness.figures import GridExample, examples_of, grid_step
from workbench.families.goal_directedness.figures.looks import MAPS
from workbench.figures.style import look_in, words
from workbench.runs import RunRecord
from workbench.views.charts import show_figure
from workbench.views.choices import pick, slide, tabs
from workbench.views.family import figures, finished_run, orderings, safely

__all__ = ["before_and_after", "goal_page"]

EXPERIMENT = "goal-directedness"
BEHAVIOUR = ("behaviour", "calibration", "transforms", "structures")
PROBES = ("map", "plan", "distance", "directions", "decoded")
CAUSAL = ("causal",)
_CAPTION = "Orderings that the paper found (arXiv 2602.08964), on this model, with 95% intervals."
_POSITIONS = {"pre": "before the reasoning", "post": "after the reasoning"}


def goal_page(runs: pd.DataFrame) -> None:
    """Orderings, figures and trajectories of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header("Goal-directedness in grid worlds")
    run = finished_run(runs, EXPERIMENT, f"workbench run {EXPERIMENT} --preset smoke")
    if run is None:
        return
    tabs(
        safely({
            "What held": lambda: orderings(run, _CAPTION),
            "Behaviour": lambda: _behaviour(run),
            "Probes": lambda: _figures(run, "probes", PROBES),
            "Before and after": lambda: _positions(run),
            "Grid viewer": lambda: _viewer(run),
            "Causal": lambda: _figures(run, "causal", CAUSAL),
        }),
        "view",
    )  # fmt: skip


def _figures(run: RunRecord, tab: str, kinds: tuple[str, ...]) -> None:
    figures(run, f"{tab}_figure", kinds)


def _behaviour(run: RunRecord) -> None:
    """A figure, and below it the table over all mazes, sizes and densities."""
    _figures(run, "behaviour", BEHAVIOUR)
    if "behaviour_margins.parquet" in run.artifacts:
        with st.expander("Numbers, over all densities or all sizes"):
            st.dataframe(run.load_table("behaviour_margins"), hide_index=True, key="margins")


def _positions(run: RunRecord) -> None:
    """What probes read before the reasoning beside what they read after it, at the chosen layer."""
    needed = ("maps.parquet", "plans.parquet", "decoded_actions.parquet", "chosen.json")
    if not set(needed) <= set(run.artifacts):
        st.info("This run has no tables of probes.")
        return
    layer = int(run.read_json("chosen")["layer"])
    st.caption(
        f"Probes at layer {layer} on held-out mazes, with 95% intervals over mazes; controls in the rows below each. "
        "Curves and layer by position heatmaps are in the tab Probes (map layers, map heatmap, distance heatmap)."
    )
    st.dataframe(before_and_after(run, layer), hide_index=True, key="positions", height=520)


def before_and_after(run: RunRecord, layer: int) -> pd.DataFrame:
    """One row a reading and control, with the estimates and intervals of both positions as text."""
    maps, plans, actions = (run.load_table(name) for name in ("maps", "plans", "decoded_actions"))
    maps = maps[(maps["cell"] == "") & (maps["train"] == "all") & (maps["layer"] == layer)]
    maps = maps[maps["metric"].isin(["accuracy", "balanced_accuracy"])]
    plans = plans[(plans["prefix"] == 1) & (plans["padding"] == "with") & (plans["layer"] == layer)]
    rows: list[dict[str, str]] = []
    for (metric, probe, control), part in maps.groupby(["metric", "probe", "control"], sort=True):
        rows.append(_reading(f"map {words(metric)}, {probe}", control, part))
    for (decoder, control), part in plans.groupby(["decoder", "control"], sort=True):
        kind = f"decoder with {decoder} layer{'s' * (decoder > 1)}" if decoder else "linear"
        rows.append(_reading(f"next move, {kind}", control, part))
    for (kind, metric), part in actions.groupby(["map", "metric"], sort=True):
        rows.append(_reading(f"moves against the map: {words(metric)}", look_in(MAPS, kind).name, part))
    readings = list(dict.fromkeys(row["reading"] for row in rows))
    rows.sort(key=lambda row: (readings.index(row["reading"]), row["control"] != ""))  # controls below their probe
    return pd.DataFrame(rows)


def _reading(name: str, control: object, part: pd.DataFrame) -> dict[str, str]:
    by = part.drop_duplicates("position").set_index("position")
    row = {"reading": name, "control": "" if control == "none" else words(str(control))}
    for position, title in _POSITIONS.items():
        found = by.loc[position] if position in by.index else None
        row[title] = "" if found is None else f"{found['estimate']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
    return row


@st.cache_resource(max_entries=4, show_spinner="Reading")
def _examples(path: str, updated: str, _run: RunRecord) -> list[GridExample]:
    """Read again only when the run was updated."""
    return examples_of(_Arrays(_run))


class _Arrays:
    """A run whose tensors come as NumPy arrays: a page must not wait for torch."""

    def __init__(self, run: RunRecord) -> None:
        self.artifacts, self.load_table, self.read_json = run.artifacts, run.load_table, run.read_json
        self._folder = run.path / "artifacts"

    def load_tensors(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays of a safetensors file."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self._folder / f"{name}.safetensors"
        try:
            return load_file(path), {}
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(f"{path} is broken: {error}") from error


def _viewer(run: RunRecord) -> None:
    """One step of a trajectory: the true map, the decoded maps, the forecasts, and what the agent wrote."""
    examples = _examples(str(run.path), run.status.updated, run)
    if not examples:
        st.info("This run kept no trajectories to look at.")
        return
    names = {f"{k}": example for k, example in enumerate(examples, 1)}
    left, right = st.columns(2)
    with left:
        name = pick("Trajectory", list(names), key="trajectory", show=lambda k: _describe(k, names[k]))
    example = names[name]
    with right:
        step = slide("Step", 1, len(example.steps), key="step")
    show_figure(grid_step(example, step - 1), "grid", recolour=False, narrowest=820)
    completion = example.steps[step - 1].get("completion")
    if completion:
        st.caption("What the agent wrote at this step")
        st.code(str(completion).strip(), language=None, wrap_lines=True)


def _describe(name: str, example: GridExample) -> str:
    return f"{name}: {example.size} x {example.size} grid, {len(example.steps)} steps"
