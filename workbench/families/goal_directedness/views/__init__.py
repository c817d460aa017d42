"""Goal-directedness in the explorer: figures, numbers, and a viewer of what was decoded at each step."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from workbench.families import Table, View
from workbench.families.goal_directedness.figures import GridExample, examples_of, grid_step
from workbench.figures.record import Record, Tables
from workbench.runs import RunRecord
from workbench.views.charts import show_figure
from workbench.views.choices import pick, slide

__all__ = ["views"]


def views() -> tuple[View, ...]:
    """The tabs beside the claims."""
    return (
        View("Behaviour", figures=("behaviour", "calibration", "transforms", "structures"), tables=_margins),
        View("Probes", figures=("map", "plan", "distance", "directions", "decoded")),
        View("Grid viewer", draw=_viewer),
        View("Causal", figures=("causal",)),
    )


def _margins(record: Record) -> Iterator[Table]:
    table = Tables(record).table("behaviour_margins")
    if table is not None:
        yield Table("Over all densities or all sizes", table)


@st.cache_resource(max_entries=4, show_spinner="Reading")
def _examples(path: str, updated: str, _run: RunRecord) -> list[GridExample]:
    """Read again only when the run was updated."""
    return examples_of(_run)


def _viewer(run: RunRecord) -> None:
    """One step of a trajectory: the true map, the decoded maps, the forecasts, and what the agent wrote."""
    examples = _examples(str(run.path), run.status.updated, run)
    if not examples:
        st.info("This run kept no trajectories to look at.")
        return
    names = {f"{k}": example for k, example in enumerate(examples, 1)}
    left, right = st.columns(2)
    name = pick("Trajectory", list(names), key="trajectory", show=lambda k: _describe(k, names[k]), at=left)
    example = names[name]
    step = slide("Step", 1, len(example.steps), key="step", at=right)
    show_figure(grid_step(example, step - 1), "grid", recolour=False, narrowest=820)
    completion = example.steps[step - 1].get("completion")
    if completion:
        st.caption("What the agent wrote at this step")
        st.code(str(completion).strip(), language=None, wrap_lines=True)


def _describe(name: str, example: GridExample) -> str:
    return f"{name}: {example.size} x {example.size} grid, {len(example.steps)} steps"
