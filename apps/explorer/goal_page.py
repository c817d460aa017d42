"""One goal-directedness run: what held, the figures, and a viewer of what was decoded at each step."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from apps.explorer.choices import pick
from apps.explorer.runs_page import name_of
from workbench.errors import WorkbenchError
from workbench.figures.goal_directedness import GridExample, drawings_of, examples_of, grid_step
from workbench.figures.style import words
from workbench.runs import RunRecord, load_run

__all__ = ["goal_page"]

EXPERIMENT = "goal-directedness"
BEHAVIOUR = ("behaviour", "calibration", "transforms", "structures")
PROBES = ("map", "plan", "distance", "directions", "decoded")
CAUSAL = ("causal",)


def goal_page(runs: pd.DataFrame) -> None:
    """Orderings, figures and trajectories of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header("Goal-directedness in grid worlds")
    own = runs[runs["experiment"] == EXPERIMENT]
    finished = own[own["status"] == "finished"]
    if finished.empty:
        st.info(f"No goal-directedness run is finished ({len(own)} are not: see the page Runs). This makes one:")
        st.code(f"workbench run {EXPERIMENT} --preset smoke", language="bash")
        return
    paths = {name_of(run): run["path"] for _, run in finished.iterrows()}
    run = load_run(paths[pick("Run", list(paths), key="run", index=len(paths) - 1)])
    tabs = st.tabs(["What held", "Behaviour", "Probes", "Grid viewer", "Causal"])
    draws = (
        lambda: _orderings(run),
        lambda: _figures(run, "behaviour", BEHAVIOUR),
        lambda: _figures(run, "probes", PROBES),
        lambda: _viewer(run),
        lambda: _figures(run, "causal", CAUSAL),
    )
    for tab, draw in zip(tabs, draws, strict=True):
        with tab:
            try:
                draw()
            except WorkbenchError as error:
                st.error(str(error))


def _orderings(run: RunRecord) -> None:
    if "orderings.parquet" not in run.artifacts:
        st.info("This run has no table of orderings.")
        return
    st.caption("Orderings that the paper found (arXiv 2602.08964), on this model, with 95% intervals.")
    st.dataframe(run.load_table("orderings"), hide_index=True, key="orderings")


def _figures(run: RunRecord, tab: str, kinds: Sequence[str]) -> None:
    """One of the figures whose names begin with one of ``kinds``."""
    names = [name for name in _names(str(run.path), run.status.updated, run) if name.startswith(tuple(kinds))]
    if not names:
        st.info("This run has no tables for these figures.")
        return
    name = pick("Figure", names, key=f"{tab}_figure", show=words)
    figure = _drawn(str(run.path), run.status.updated, name, run)
    st.plotly_chart(figure, theme=None, width="content", key=f"chart-{name}")


# Drawn or read again only when the run was updated; one figure at a time, since a run has some twenty.
@st.cache_resource(max_entries=8, show_spinner=False)
def _names(path: str, updated: str, _run: RunRecord) -> list[str]:
    return list(drawings_of(_run))


@st.cache_resource(max_entries=64, show_spinner="Drawing")
def _drawn(path: str, updated: str, name: str, _run: RunRecord) -> go.Figure:
    return drawings_of(_run)[name]()


@st.cache_resource(max_entries=4, show_spinner="Reading")
def _examples(path: str, updated: str, _run: RunRecord) -> list[GridExample]:
    return examples_of(_run)


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
        step = _step(len(example.steps))
    st.plotly_chart(grid_step(example, step - 1), theme=None, width="content", key="grid")
    completion = example.steps[step - 1].get("completion")
    if completion:
        st.caption("What the agent wrote at this step")
        st.code(str(completion).strip(), language=None, wrap_lines=True)


def _describe(name: str, example: GridExample) -> str:
    return f"{name}: {example.size} x {example.size} grid, {len(example.steps)} steps"


def _step(count: int) -> int:
    """The step on the slider, from 1; the address's ``?step=`` says which."""
    if count == 1:  # a slider needs two values
        return 1
    asked = st.query_params.get("step", "1")
    if "step" not in st.session_state:
        st.session_state["step"] = int(asked) if asked.isdecimal() else 1
    st.session_state["step"] = min(max(st.session_state["step"], 1), count)
    step = int(st.slider("Step", 1, count, key="step"))
    st.query_params["step"] = str(step)
    return step
