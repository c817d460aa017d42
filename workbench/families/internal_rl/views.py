"""Internal RL in the explorer: figures, final numbers, and its episodes, move by move."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from workbench.families import Table, View
from workbench.families.internal_rl.figures import PinpadEpisode, shown_episodes
from workbench.families.internal_rl.figures.looks import task_name
from workbench.families.internal_rl.figures.player import caption, episode_step, episode_steps
from workbench.families.internal_rl.report import final_table
from workbench.figures.record import Record
from workbench.runs import RunRecord
from workbench.views.charts import show_figure
from workbench.views.choices import pick, slide, switch
from workbench.views.text import plain


def views() -> tuple[View, ...]:
    """The tabs beside gates and claims."""
    return (
        View("Learning", figures=("learning_curves", "final_success"), tables=_final),
        View("Discovery", figures=("rate_distortion", "switches", "codes"), tables=_over_seeds),
        View("Beliefs and control", figures=("beliefs", "belief_history", "controllers", "base_model")),
        View("Episodes", draw=player),
    )


def _final(record: Record) -> Iterator[Table]:
    if "final.parquet" in record.artifacts:
        yield final_table(record.load_table("final"))


def _over_seeds(record: Record) -> Iterator[Table]:
    if "discovery_over_seeds.parquet" in record.artifacts:
        caption = "The intervals resample seeds; there is none where there is one seed."
        rows = record.load_table("discovery_over_seeds")
        yield Table("Every measure of every discovery, means over seeds", rows, caption)


def player(run: RunRecord) -> None:
    """One episode, move by move: the grid, the code in force, and the gate over time."""
    episodes, rates = _episodes(str(run.path), run.status.updated, run)
    if not episodes:
        st.info("This run kept no episodes to look at.")
        return
    left, middle, right = st.columns([2, 3, 2])
    task = pick("Task", list(dict.fromkeys(e.task for e in episodes)), key="task", show=task_name, at=left)
    own = {str(episode.number): episode for episode in episodes if episode.task == task}
    episode = own[pick("Episode", list(own), key="episode", show=lambda name: _describe(own[name]), at=middle)]
    moving = switch("Play it", key="play", help="all moves in one figure, with a play button", at=right)
    for line in caption(episode, rates.get(task, "")):
        said, _, rest = line.partition("<b>")
        how, _, more = rest.partition("</b>")
        st.markdown(f"{plain(said)} **{plain(how)}** {plain(more)}" if how else plain(line))
    if moving:
        show_figure(episode_steps(episode, captioned=False), "chart-moving", recolour=False, narrowest=820)
        return
    move = slide("Move", 1, len(episode), key="step", default=len(episode))
    show_figure(episode_step(episode, move, captioned=False), "chart-episode", recolour=False, narrowest=820)
    st.caption(
        "The way takes a new hue with each code; a dot with its number marks where a code was drawn. The frame is the "
        "colour that is next, which the agent is never shown; triangles over the gate are true changes of the subgoal."
    )


@st.cache_resource(max_entries=4, show_spinner="Reading")
def _episodes(path: str, updated: str, _run: RunRecord) -> tuple[list[PinpadEpisode], dict[str, str]]:
    """Read again only when the run was updated."""
    return shown_episodes(_run)


def _describe(episode: PinpadEpisode) -> str:
    kind = {"first": "not picked", "farthest": "picked"}.get(episode.chosen, "shown")
    done = "task done" if episode.success else f"colours reached: {episode.progress}"
    return f"{episode.number} ({kind}): {done}"
