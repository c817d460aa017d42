"""One EAST run: what held, the figures, and what the agent said steered beside unsteered."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from apps.explorer.choices import pick
from apps.explorer.runs_page import name_of
from workbench.errors import WorkbenchError
from workbench.figures.east import figures_of
from workbench.figures.style import look, words
from workbench.runs import RunRecord, load_run

__all__ = ["east_page"]


def east_page(runs: pd.DataFrame) -> None:
    """Figures, orderings and transcripts of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header("EAST: entropic activation steering")
    finished = runs[(runs["experiment"] == "east") & (runs["status"] == "finished")]
    if finished.empty:
        others = int((runs["experiment"] == "east").sum())
        st.info(f"No EAST run is finished ({others} are not: see the page Runs). This makes one in under a minute:")
        st.code("workbench run east --preset smoke", language="bash")
        return
    paths = {name_of(run): run["path"] for _, run in finished.iterrows()}
    run = load_run(paths[pick("Run", list(paths), key="run", index=len(paths) - 1)])
    chosen = run.read_json("chosen") if "chosen.json" in run.artifacts else {}
    for rendering, choice in chosen.items():
        st.caption(f"{words(rendering)}: layer {choice['layer']}, multiplier {choice['multiplier']:g}")
    orderings, figures, transcripts = st.tabs(["What held", "Figures", "Transcripts"])
    for tab, draw in ((orderings, _orderings), (figures, _figures), (transcripts, _transcripts)):
        with tab:
            try:
                draw(run)
            except WorkbenchError as error:
                st.error(str(error))


def _orderings(run: RunRecord) -> None:
    if "orderings.parquet" not in run.artifacts:
        st.info("This run has no table of orderings.")
        return
    table = run.load_table("orderings")
    st.caption("Orderings that the paper found, on this model. Differences are in nats, with 95% intervals.")
    held = table["held"].map({True: "yes", False: "no"})
    st.dataframe(table.assign(held=held, rendering=table["rendering"].map(words)), hide_index=True, key="orderings")


def _figures(run: RunRecord) -> None:
    figures = _drawn(str(run.path), run.status.updated, run)
    if not figures:
        st.info("This run has no tables to draw.")
        return
    name = pick("Figure", list(figures), key="figure", show=lambda name: words(name).replace("-", ": ", 1))
    st.plotly_chart(figures[name], theme=None, width="content", key=f"chart-{name}")


@st.cache_resource(max_entries=4, show_spinner="Drawing")
def _drawn(path: str, updated: str, _run: RunRecord) -> dict[str, go.Figure]:
    """Figures of a run, drawn again only when the run was updated."""
    return figures_of(_run)


def _transcripts(run: RunRecord) -> None:
    """The same episode (same bandit, same seeds) unsteered and steered, step by step."""
    renderings = [u.removeprefix("behaviour-") for u in run.units() if u.startswith("behaviour-")]
    renderings = [r for r in renderings if f"steered-{r}" in run.units()]
    if not renderings:
        st.info("This run has not played steered episodes.")
        return
    first, second, third, fourth = st.columns(4)
    with first:
        rendering = pick("Rendering", renderings, key="rendering", show=words)
    steps = pd.concat([run.read(f"behaviour-{rendering}"), run.read(f"steered-{rendering}")], ignore_index=True)
    with second:
        setting = pick("Mean rewards", list(dict.fromkeys(steps["setting"])), key="setting")
    steps = steps[steps["setting"] == setting]
    with third:
        episode = pick("Episode", sorted(steps["episode"].astype(str).unique(), key=int), key="episode")
    methods = [m for m in dict.fromkeys(steps["method"]) if m != "unsteered"]
    with fourth:
        method = pick("Beside unsteered", methods, key="beside", show=lambda m: look(m).name)
    steps = steps[steps["episode"].astype(str) == episode]
    for column, name in zip(st.columns(2), ("unsteered", method), strict=True):
        with column:
            _transcript(steps[steps["method"] == name].sort_values("step"), look(name).name)


def _transcript(steps: pd.DataFrame, title: str) -> None:
    st.subheader(title)
    if steps.empty:
        st.info("This episode ended before its first step.")
        return
    columns = steps[["step", "completion", "feedback", "entropy"]].itertuples(index=False)
    text = [f"[step {s}, entropy {h:.2f} nats] {c.strip()}\n{f.strip()}" for s, c, f, h in columns]
    st.code("\n\n".join(text), language=None, wrap_lines=True, height=600)
