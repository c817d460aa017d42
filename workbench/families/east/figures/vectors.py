"""What EAST's vectors are like, what the thoughts say under steering, and how much a thought decides."""

from __future__ import annotations

from math import log10

import pandas as pd
import plotly.graph_objects as go

from workbench.families.east.figures.looks import METHODS
from workbench.figures.marks import LEVEL, Traces, curve, each, line
from workbench.figures.panels import grid, panels
from workbench.figures.style import BLACK, BLUE, VERMILION, Look, finish, need, words


def thought_trace(rows: pd.DataFrame) -> go.Figure:
    """How sure the action is if the thought stopped part of the way: early steps beside late ones, by method.

    ``rows`` has ``method, prompt, step, share, certainty`` (a prompt and point of its thought a row).  Lines are
    medians over prompts and bands their quartiles: a description of these rows, not an interval of an estimate.  Early
    steps are the first third of the steps that occur, late ones the last third.  Source: arXiv 2406.00244, finding 2.
    """
    need(rows, ["method", "prompt", "step", "share", "certainty"], "thought_trace")
    last = int(rows["step"].max())
    third = (last + 1) / 3
    spans = {"early": rows["step"] < third, "late": rows["step"] >= 2 * third}
    titles = {}
    for name, inside in spans.items():
        steps, prompts = rows.loc[inside, "step"], rows.loc[inside, "prompt"].nunique()
        seen = f"{name} steps, {steps.min()} to {steps.max()} ({prompts} prompts)"
        titles[name] = seen if prompts else f"no {name} steps"

    def quartiles(own: pd.DataFrame, look: Look) -> Traces:
        found = own.groupby("share")["certainty"].quantile([0.5, 0.25, 0.75]).unstack()
        return curve(found.set_axis(LEVEL, axis=1).reset_index(), "share", look)

    figure = panels(titles, lambda name: each(rows[spans[name]], "method", METHODS, quartiles))
    figure.update_xaxes(title_text="share of the thought that was written", tickformat=".0%", range=[-0.03, 1.03])
    figure.update_yaxes(range=[0.48, 1.02])
    figure.update_yaxes(title_text="probability of the likelier action", row=1, col=1)
    note = "Median over prompts (line) and quartiles (band). Where the line is flat, the thought no longer decides."
    return finish(figure, "How much the thought decides", note, 980, 480)


def words_table(table: pd.DataFrame, top: int = 12, minimum: int = 5) -> go.Figure:
    """Words over-represented in thoughts with steering and without, by the ratio of their relative frequencies.

    ``table`` has ``word, steered, unsteered`` (counts) and ``ratio`` (> 1: steering brings it).  Shown are the ``top``
    words each way among those that occur at least ``minimum`` times; a ratio within 2% of 1 is neither.
    Source: arXiv 2406.00244, its table of words.
    """
    need(table, ["word", "steered", "unsteered", "ratio"], "words_table")
    table = table[table["steered"] + table["unsteered"] >= minimum].sort_values("ratio")
    need(table, [], f"words_table (words that occur at least {minimum} times)")
    more, fewer = table[table["ratio"] > 1.02].tail(top), table[table["ratio"] < 0.98].head(top)
    need(table[abs(table["ratio"] - 1) > 0.02], [], "words_table (words that steering makes more or less frequent)")
    figure = go.Figure()
    for part, name, colour in ((more, "more with EAST", BLUE), (fewer, "more without", VERMILION)):
        counts = [f"{a} | {b}" for a, b in zip(part["steered"], part["unsteered"], strict=True)]
        figure.add_bar(
            x=part["ratio"] - 1, base=1, y=part["word"], orientation="h", name=name, marker_color=colour,
            text=counts, textposition="outside", customdata=part["ratio"], cliponaxis=False,
            hovertemplate="%{y}: ratio %{customdata:.2f}",
        )  # fmt: skip
    order = [*fewer["word"], *more["word"]]
    shown = table[table["word"].isin(order)]["ratio"]
    low, high = min(shown.min(), 0.9), max(shown.max(), 1.1)
    ticks = (
        (0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2)
        if high / low < 3
        else (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    )
    room = (high / low) ** 0.2  # for the counts beside the bars
    figure.update_xaxes(type="log", range=[log10(low / room), log10(high * room)], tickvals=ticks)
    figure.update_xaxes(title_text="relative frequency with EAST over that without (log scale)")
    figure.update_yaxes(
        title_text="word", categoryorder="array", categoryarray=order, showgrid=False, tickmode="linear"
    )
    figure.add_vline(1, line={"color": BLACK, "width": 1})
    note = f"Beside each bar: occurrences with EAST | without. Words that occur at least {minimum} times."
    return finish(figure, "Words that steering brings and takes away", note, 820, 250 + 24 * len(order))


def vector_norms(norms: pd.DataFrame) -> go.Figure:
    """By layer: the length of each estimate beside that of the residual stream, and how well it is determined.

    ``norms`` has ``rendering, estimate, layer, norm, residual_norm, half_cosine``.  The half cosine is that between the
    vectors of two halves of the runs: near 1 the estimate is determined, near 0 it is noise.
    """
    need(norms, ["rendering", "estimate", "layer", "norm", "residual_norm", "half_cosine"], "vector_norms")
    renderings = {name: words(name) for name in norms["rendering"].unique()}
    norms = norms[norms["estimate"].isin(METHODS)].sort_values("layer")

    def draw(column: str, rendering: str) -> Traces:
        part = norms[norms["rendering"] == rendering]
        own = each(part, "estimate", METHODS, lambda rows, look: line(rows["layer"], rows[column], look, size=8))
        stream = part.drop_duplicates("layer")
        whole = line(stream["layer"], stream["residual_norm"], Look("residual stream ‖z‖", BLACK), 3)
        return whole + own if column == "norm" else own

    rows = {"norm": "norm (log scale)", "half_cosine": "cosine of two halves"}
    figure = grid(rows, renderings, draw, "layer")
    figure.update_yaxes(type="log", dtick=1, minor={"showgrid": True}, row=1)
    figure.update_yaxes(range=[min(-0.05, norms["half_cosine"].min() - 0.05), 1.05], row=2)
    figure.update_xaxes(dtick=max(1, norms["layer"].nunique() // 12))
    note = "Above: ‖u‖ of each estimate and the mean ‖z‖. Below: cosine between vectors from two halves of the runs."
    return finish(
        figure, "How large and how well determined the vectors are", note, max(640, 420 * len(renderings) + 120), 620
    )
