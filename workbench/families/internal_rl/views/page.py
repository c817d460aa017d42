"""One internal-RL run: which gates were passed and what held, the figures, and a player of its episodes."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench.families.internal_rl.figures import PinpadEpisode, shown_episodes
from workbench.families.internal_rl.figures.player import caption, episode_step, episode_steps
from workbench.families.internal_rl.figures.style import level, task_name
from workbench.families.internal_rl.figures.verdicts import GATES
from workbench.families.page import figures, safely
from workbench.runs import RunRecord
from workbench.views.charts import show_figure
from workbench.views.choices import pick, slide, switch, tabs

__all__ = ["internal_rl_page"]

EXPERIMENT = "internal-rl"
LEARNING = ("learning_curves", "final_success")
DISCOVERY = ("rate_distortion", "switches", "codes")
MODEL = ("beliefs", "belief_history", "controllers", "base_model")
_ORDERINGS = "Orderings that the paper found (arXiv 2512.20605), on this model. Held: the 95% interval lies above 0."
_GATES = "Gates between the stages, in their order: what must hold before the next stage can mean anything."


def internal_rl_page(runs: pd.DataFrame) -> None:
    """Gates, orderings, figures and episodes of a finished run.  ``runs`` is what ``list_runs`` returns."""
    st.header("Internal RL: controllers in the residual stream")
    run = finished_run(runs, EXPERIMENT, f"workbench run {EXPERIMENT} --preset smoke")
    if run is None:
        return
    tabs(
        safely({
            "What held": lambda: _held(run),
            "Learning": lambda: _learning(run),
            "Discovery": lambda: _discovery(run),
            "Beliefs and control": lambda: _figures(run, "model", MODEL),
            "Episodes": lambda: _player(run),
        }),
        "view",
    )  # fmt: skip


def _figures(run: RunRecord, tab: str, kinds: tuple[str, ...]) -> None:
    figures(run, f"{tab}_figure", kinds)


def _held(run: RunRecord) -> None:
    """Gates, then orderings."""
    if "gates.parquet" in run.artifacts:
        table = run.load_table("gates")
        failed = table[~table["passed"].astype(bool)]
        st.caption(_GATES)
        if len(failed):
            stage, measure = failed[["stage", "measure"]].iloc[0]
            st.warning(f"The first gate that failed: {stage}, {GATES.get((stage, measure), (measure, ''))[0]}.")
        st.dataframe(_gate_table(table), hide_index=True, key="gates")
    orderings(run, _ORDERINGS)


def _gate_table(table: pd.DataFrame) -> pd.DataFrame:
    asks = [GATES.get(at, (at[1], "")) for at in zip(table["stage"], table["measure"], strict=True)]
    return pd.DataFrame({
        "passed": table["passed"].map({True: "yes", False: "no"}), "stage": table["stage"],
        "gate": [what for what, _ in asks],
        "value": [level(row) for row in table.rename(columns={"value": "estimate"}).itertuples()],
        "bar": [f"{side} {bar:g}" for (_, side), bar in zip(asks, table["bar"], strict=True)],
        "measured on": table["where"],
    })  # fmt: skip


def _learning(run: RunRecord) -> None:
    """A figure, and below it the final numbers of every method."""
    _figures(run, "learning", LEARNING)
    if "final.parquet" in run.artifacts:
        st.caption(
            "After learning, all methods in the same worlds, with 95% intervals. Relative: as a share of the expert's "
            "success. Progress: colours reached."
        )
        st.dataframe(_final_table(run.load_table("final")), hide_index=True, key="final")


def _final_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row a method and task, a column a measure."""
    rows = []
    for (method, task), part in table.groupby(["method", "task"], sort=False):
        levels = {row.measure: level(row) for row in part.itertuples()}
        rows.append({"task": task_name(str(task)), "method": method, "seeds": int(part["seeds"].max())} | levels)
    return pd.DataFrame(rows).sort_values("task", kind="stable")


def _discovery(run: RunRecord) -> None:
    _figures(run, "discovery", DISCOVERY)
    if "discovery_over_seeds.parquet" in run.artifacts:
        with st.expander("Numbers: every measure of every discovery, means over seeds"):
            st.caption("The intervals resample seeds; there is none where there is one seed.")
            st.dataframe(run.load_table("discovery_over_seeds"), hide_index=True, key="discovery")


@st.cache_resource(max_entries=4, show_spinner="Reading")
def _episodes(path: str, updated: str, _run: RunRecord) -> tuple[list[PinpadEpisode], dict[str, str]]:
    """Read again only when the run was updated."""
    return shown_episodes(_run)


def _player(run: RunRecord) -> None:
    """One episode, move by move: the grid, the code in force, and the gate over time."""
    episodes, rates = _episodes(str(run.path), run.status.updated, run)
    if not episodes:
        st.info("This run kept no episodes to look at.")
        return
    left, middle, right = st.columns([2, 3, 2])
    with left:
        task = pick("Task", list(dict.fromkeys(e.task for e in episodes)), key="task", show=task_name)
    own = {str(episode.number): episode for episode in episodes if episode.task == task}
    with middle:
        episode = own[pick("Episode", list(own), key="episode", show=lambda name: _describe(own[name]))]
    with right:
        moving = switch("Play it", key="play", help="all moves in one figure, with a play button")
    st.markdown("  \n".join(caption(episode, rates.get(task, ""))).replace("<b>", "**").replace("</b>", "**"))
    if moving:
        show_figure(episode_steps(episode, captioned=False), "chart-moving", recolour=False, narrowest=820)
        return
    move = slide("Move", 1, len(episode), key="step", default=len(episode))
    show_figure(episode_step(episode, move, captioned=False), "chart-episode", recolour=False, narrowest=820)
    st.caption(
        "The way takes a new hue with each code; a dot with its number marks where a code was drawn. The frame is the "
        "colour that is next, which the agent is never shown; triangles over the gate are true changes of the subgoal."
    )


def _describe(episode: PinpadEpisode) -> str:
    kind = {"first": "not picked", "farthest": "picked"}.get(episode.chosen, "shown")
    done = "task done" if episode.success else f"colours reached: {episode.progress}"
    return f"{episode.number} ({kind}): {done}"
