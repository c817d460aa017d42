"""Figures of an internal-RL run (arXiv 2512.20605), drawn from the tables that the experiment writes.

Every number with an interval comes from a table; learning curves show their rows by median and quartiles over seeds, as
a description of the rows and not as an estimate.  An episode is always labelled with how it came to be shown and with
how often the method succeeds overall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from workbench.errors import WorkbenchError
from workbench.families.claims import read_claims
from workbench.families.internal_rl.figures.discovery import codes, rate_distortion, switches
from workbench.families.internal_rl.figures.episodes import PinpadEpisode, episodes_of, overall_success, picked
from workbench.families.internal_rl.figures.learning import final_success, learning_curves
from workbench.families.internal_rl.figures.model import base_model, belief_history, beliefs, controllers
from workbench.families.internal_rl.figures.player import episode_step, episode_steps
from workbench.families.internal_rl.report import gate_table
from workbench.figures.marks import LEVEL, points
from workbench.figures.panels import name_axis, zero_line
from workbench.figures.record import Record, Tables
from workbench.figures.style import BLUE, GREEN, VERMILION, Look, finish, need

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


_CLEAR = "rgba(0, 0, 0, 0)"


def gates(table: pd.DataFrame) -> go.Figure:
    """The gates in their order as a table.  ``table``: ``stage, measure, value, low, high, bar, passed, where``."""
    need(table, ["stage", "measure", "value", "low", "high", "bar", "passed", "where"], "gates")
    shown = gate_table(table)
    frame = shown.frame.assign(passed=shown.frame["passed"].map({"yes": "<b>✓ passed</b>", "no": "<b>✗ failed</b>"}))
    verdicts = [GREEN if passed else VERMILION for passed in table["passed"]]
    figure = go.Figure(go.Table(
        columnwidth=[95, 95, 320, 190, 130, 190],
        header={"values": list(frame), "align": "left", "fill_color": "rgba(127, 127, 127, 0.2)",
                "font": {"size": 13, "color": "#222"}, "height": 30},
        cells={"values": [frame[name] for name in frame], "align": "left", "height": 30, "fill_color": _CLEAR,
               "line_color": "rgba(127, 127, 127, 0.4)",
               "font": {"size": 13, "color": [verdicts, *[["#222"] * len(frame)] * (frame.shape[1] - 1)]}},
    ))  # fmt: skip
    note = shown.caption[:1].upper() + shown.caption[1:]
    finish(figure, "Gates between the stages", f"{note}.", 1080, 32 * len(table) + 165)
    return figure.update_layout(margin={"l": 20, "r": 20, "b": 20})


def claims(table: pd.DataFrame) -> go.Figure:
    """Every claim as a difference with its 95% interval; held when the interval lies above 0.

    ``table``: ``claim, on, held, evidence, estimate, low, high``.
    """
    need(table, ["claim", "on", "held", "evidence", *LEVEL], "claims")
    names = table["claim"] + table["on"].map(lambda on: f" ({on})" if on else "")
    figure, held = go.Figure(), table["held"].astype(bool)
    table = table.assign(place=range(len(table)))
    for look, part in (
        (Look(f"held ({held.sum()})", BLUE), table[held]),
        (Look(f"not held ({(~held).sum()})", VERMILION, symbol="x"), table[~held]),
    ):
        shown = {"customdata": part["evidence"], "hovertemplate": "%{customdata}"}
        figure.add_traces(points(part, look, y=part["place"], **shown))
    name_axis(zero_line(figure, "x"), list(names))
    figure.update_xaxes(title_text="difference (accuracy, success or F1) with its 95% interval")
    figure.update_layout(showlegend=True)
    title = f"Claims of the paper: {int(held.sum())} of {len(names)} held"
    return finish(figure, title, "Held: the interval lies above 0.", 1040, 25 * len(names) + 210)
