"""Figures of an internal-RL run (arXiv 2512.20605), drawn from the tables that the experiment writes.

Every number with an interval comes from a table; learning curves show their rows by median and quartiles over seeds, as
a description of the rows and not as an estimate.  An episode is always labelled with how it came to be shown and with
how often the method succeeds overall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import plotly.graph_objects as go

from workbench.errors import WorkbenchError
from workbench.families.internal_rl.figures.discovery import codes, rate_distortion, switches
from workbench.families.internal_rl.figures.episodes import PinpadEpisode, episodes_of, overall_success, picked
from workbench.families.internal_rl.figures.learning import final_success, learning_curves
from workbench.families.internal_rl.figures.model import base_model, belief_history, beliefs, controllers
from workbench.families.internal_rl.figures.player import episode_step, episode_steps
from workbench.families.internal_rl.figures.style import table_of
from workbench.families.internal_rl.figures.verdicts import gates, orderings
from workbench.figures.style import drawn

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PinpadEpisode",
    "Record",
    "base_model",
    "belief_history",
    "beliefs",
    "codes",
    "controllers",
    "drawings_of",
    "episode_step",
    "episode_steps",
    "episodes_of",
    "figures_of",
    "final_success",
    "gates",
    "learning_curves",
    "orderings",
    "overall_success",
    "picked",
    "rate_distortion",
    "shown_episodes",
    "switches",
]


class Record(Protocol):
    """What the figures need of a run; :class:`workbench.runs.RunRecord` and an open run folder are both such."""

    @property
    def artifacts(self) -> list[str]: ...
    def load_table(self, name: str) -> pd.DataFrame: ...


def figures_of(record: Record) -> dict[str, go.Figure]:
    """All figures for which the run has tables, and ``episode-<task>-<how chosen>`` for one episode of each kind;
    ``{}`` for a run that has none yet.

    A table that is missing, broken or lacks what a figure draws costs that figure only.
    """
    figures = drawn(drawings_of(record))
    try:
        episodes, rates = shown_episodes(record)
    except WorkbenchError:
        return figures
    return figures | {
        name: episode_steps(episode, rates.get(episode.task, "")) for name, episode in picked(episodes).items()
    }


def shown_episodes(record: Record) -> tuple[list[PinpadEpisode], dict[str, str]]:
    """The episodes that the run kept for pictures, none when it kept none; and by task how often the method succeeds
    overall, in words.

    Raises :class:`RunError` when the table is broken, :class:`DataError` when it lacks a column or holds nonsense.
    """
    if "episodes.parquet" not in record.artifacts:
        return [], {}
    return episodes_of(record.load_table("episodes")), dict(overall_success(table_of(record, "final")))


def drawings_of(record: Record) -> dict[str, Callable[[], go.Figure]]:
    """What draws each figure of the run's tables, by name, for who shows one at a time; drawing raises
    :class:`DataError` when a table lacks what the figure needs."""
    return dict([*_verdicts(record), *_learning(record), *_discovery(record), *_model(record)])


Draws = Iterator[tuple[str, Callable[[], go.Figure]]]


def _verdicts(record: Record) -> Draws:
    judged, compared = table_of(record, "gates"), table_of(record, "orderings")
    if judged is not None:
        yield "gates", lambda: gates(judged)
    if compared is not None:
        yield "orderings", lambda: orderings(compared)


def _learning(record: Record) -> Draws:
    curves, final, by_seed = (table_of(record, name) for name in ("curves", "final", "final_by_seed"))
    if curves is not None:
        yield "learning_curves", lambda: learning_curves(curves, final)
    if final is not None:
        yield "final_success", lambda: final_success(final, by_seed)


def _discovery(record: Record) -> Draws:
    found, points, base = (table_of(record, name) for name in ("discovery", "rate_distortion", "base"))
    if found is not None:
        yield "switches", lambda: switches(found)
        yield "codes", lambda: codes(found)
    if points is not None:
        yield "rate_distortion", lambda: rate_distortion(points, base)


def _model(record: Record) -> Draws:
    base, probed, steered = (table_of(record, name) for name in ("base", "beliefs", "controllers"))
    if base is not None:
        yield "base_model", lambda: base_model(base)
    if probed is not None:
        yield "beliefs", lambda: beliefs(probed)
        yield "belief_history", lambda: belief_history(probed)
    if steered is not None:
        yield "controllers", lambda: controllers(steered)
