"""Figures of an internal-RL run (arXiv 2512.20605), drawn from the tables that the experiment writes.

Every number with an interval comes from a table; learning curves show their rows by median and quartiles over seeds, as
a description of the rows and not as an estimate.  An episode is always labelled with how it came to be shown and with
how often the method succeeds overall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import plotly.graph_objects as go

from workbench.errors import WorkbenchError
from workbench.families.claims import read_claims
from workbench.families.internal_rl.figures.discovery import codes, rate_distortion, switches
from workbench.families.internal_rl.figures.episodes import PinpadEpisode, episodes_of, overall_success, picked
from workbench.families.internal_rl.figures.learning import final_success, learning_curves
from workbench.families.internal_rl.figures.model import base_model, belief_history, beliefs, controllers
from workbench.families.internal_rl.figures.player import episode_step, episode_steps
from workbench.families.internal_rl.figures.verdicts import claims, gates
from workbench.figures.record import Record, Tables

__all__ = [
    "PinpadEpisode", "episode_step", "episode_steps", "episodes_of", "figures", "picked", "shown_episodes",
]  # fmt: skip
Draw = Callable[[], go.Figure]


def figures(record: Record) -> dict[str, Draw]:
    """What draws each figure that the run has tables for, by name, and ``episode-<task>-<how chosen>`` for one episode
    of each kind.  Drawing raises :class:`DataError` when a table lacks what the figure needs."""
    return dict([*_of_tables(record), *_of_episodes(record)])


def _of_tables(record: Record) -> Iterator[tuple[str, Draw]]:
    found = Tables(record)
    for name, draw, table, beside in (
        ("gates", gates, "gates", ()),
        ("learning_curves", learning_curves, "curves", ("final",)),
        ("final_success", final_success, "final", ("final_by_seed",)),
        ("switches", switches, "discovery", ()),
        ("codes", codes, "discovery", ()),
        ("rate_distortion", rate_distortion, "rate_distortion", ("base",)),
        ("base_model", base_model, "base", ()),
        ("beliefs", beliefs, "beliefs", ()),
        ("belief_history", belief_history, "beliefs", ()),
        ("controllers", controllers, "controllers", ()),
    ):
        if (own := found.table(table)) is not None:
            yield name, partial(draw, own, *map(found.table, beside))
    if {"claims.parquet", "orderings.parquet"} & set(record.artifacts):
        yield "claims", lambda: claims(read_claims(record))


def _of_episodes(record: Record) -> Iterator[tuple[str, Draw]]:
    try:
        episodes, rates = shown_episodes(record)
    except WorkbenchError:  # the other figures do not need them
        return
    for name, episode in picked(episodes).items():
        yield name, partial(episode_steps, episode, rates.get(episode.task, ""))


def shown_episodes(record: Record) -> tuple[list[PinpadEpisode], dict[str, str]]:
    """The episodes that the run kept for pictures, none when it kept none; and by task how often the method succeeds
    overall, in words.

    Raises :class:`RunError` when the table is broken, :class:`DataError` when it lacks a column or holds nonsense.
    """
    if "episodes.parquet" not in record.artifacts:
        return [], {}
    return episodes_of(record.load_table("episodes")), dict(overall_success(Tables(record).table("final")))
