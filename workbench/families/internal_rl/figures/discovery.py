"""Figures of what metacontrollers discovered: when they switch, what their codes say, rate against distortion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from workbench.families.internal_rl.figures.looks import CONDITIONS, of_measure
from workbench.figures.marks import LEVEL, Traces, line, points
from workbench.figures.panels import name_axis, panels, share_axis, zero_line
from workbench.figures.style import BLACK, BLUE, GREY, Look, finish, look_in, looks_in, need, ordered

# What is compared with a random gate: measure -> title of its panel.
ALIGNMENT = {
    "f1": "F1, exact step",
    "f1_window": "F1, within one step",
    "precision": "precision, exact step",
    "recall": "recall, exact step",
}
COMPOSED = {
    "compose_pretraining": "pretraining",
    "compose_held_out": "held-out",
    "compose_pretraining_scaled": "pretraining,<br>scaled",
    "compose_held_out_scaled": "held-out,<br>scaled",
}
OWN, RANDOM = Look("learned gate", BLUE, "solid", "circle"), Look("random gate of the same rate", GREY, "dot", "x")
_FOUND = ("condition", "seed", "measure")


def switches(table: pd.DataFrame) -> go.Figure:
    """Alignment of switches with true changes of the subgoal, a line a discovery, beside random gates of the same rate.

    ``table`` has ``condition, seed, measure, estimate, low, high``; a panel for each of F1, F1 within one step,
    precision and recall that is there.
    """
    need(table, [*_FOUND, *LEVEL], "switches")
    shown = {measure: title for measure, title in ALIGNMENT.items() if len(of_measure(table, measure))}
    need(table[table["measure"].isin(shown)], [], "switches, of its measures of alignment,")
    found = _discoveries(table)

    def draw(measure: str) -> Traces:
        drawn: Traces = []
        for look, suffix, shift in ((OWN, "", -0.15), (RANDOM, "_random", 0.15)):
            part = of_measure(table, measure + suffix)
            places = [found.index(at) + shift for at in zip(part["condition"], part["seed"], strict=True)]
            drawn += points(part, look, y=places)
        return drawn

    figure = share_axis(panels(shown, draw), "x").update_xaxes(ticktext=["0", "¼", "½", "¾", "1"])
    name_axis(figure, [_named(table, condition, seed) for condition, seed in found])
    note = "Each discovery beside random gates of its own rate, in the same episodes; 95% intervals resample episodes. "
    note += "Where nearly every step is a switch, a window of one step is met by chance."
    return finish(figure, "Do switches fall on changes of the subgoal?", note, 330 + 215 * len(shown),
                  36 * len(found) + 220)  # fmt: skip


def _discoveries(table: pd.DataFrame) -> list[tuple[str, int]]:
    """(condition, seed) of every discovery, conditions in their order."""
    found = list(dict.fromkeys(zip(table["condition"], table["seed"], strict=True)))
    order = ordered(table["condition"], CONDITIONS)
    return sorted(found, key=lambda at: (order.index(at[0]), at[1]))


def _named(table: pd.DataFrame, condition: str, seed: int) -> str:
    """A discovery with its switches an episode, where they were counted."""
    name = f"{look_in(CONDITIONS, condition).name}, seed {seed}"
    own = of_measure(table[(table["condition"] == condition) & (table["seed"] == seed)], "switches")
    return name if own.empty else f"{name} ({own['estimate'].iloc[0]:.1f} switches)"


def codes(table: pd.DataFrame) -> go.Figure:
    """What the codes say: the subgoal read linearly off them in each segment, beside the commonest subgoal; and success
    when the mean code of each subgoal, as it is and made longer, is held until the subgoal is reached.

    ``table``: as for :func:`switches`.
    """
    need(table, [*_FOUND, *LEVEL], "codes")
    numbers = sorted({int(m[15:]) for m in table["measure"] if m.startswith("decode_segment_") and m[15:].isdigit()})
    segments, names = [f"decode_segment_{k}" for k in numbers], [str(k) for k in numbers]
    composed = {measure: name for measure, name in COMPOSED.items() if (table["measure"] == measure).any()}
    shown = {
        "subgoal read off the code: accuracy": (segments, names),
        "the same, over the commonest subgoal": ([f"{segment}_lead" for segment in segments], names),
        "success with composed codes": (list(composed), list(composed.values())),
    }
    need(table[table["measure"].isin([*segments, *composed])], [], "codes, of what codes say,")
    found = _discoveries(table)

    def draw(title: str) -> Traces:
        shifts = [0.5 * ((number + 0.5) / len(found) - 0.5) for number in range(len(found))]
        return [
            trace
            for (condition, seed), shift in zip(found, shifts, strict=True)
            for trace in _marks(table, shown[title][0], condition, seed, shift)
        ]

    figure = zero_line(panels({title: title for title in shown}, draw, shared=False), col=2)
    for j, (_, names) in enumerate(shown.values(), 1):
        name_axis(figure, names, "x", col=j)
    for j, title in ((1, "accuracy (share)"), (3, "share of episodes")):
        share_axis(figure, col=j).update_yaxes(title_text=title, col=j)
    figure.update_yaxes(title_text="difference", col=2)
    for j in (1, 2):
        figure.update_xaxes(title_text="segment of the episode", col=j)
    note = "One mark a seed. Composed: the mean first-segment code of each subgoal is held until that is reached; "
    note += "scaled: made longer, as a policy may<br>draw them. 95% intervals resample episodes (Wilson for success)."
    return finish(figure, "What the codes say", note, 1160, 520).update_layout(margin_t=124)


def _marks(table: pd.DataFrame, measures: list[str], condition: str, seed: int, shift: float) -> Traces:
    """The marks of one discovery in one panel, beside the places of their measures."""
    own = table[(table["condition"] == condition) & (table["seed"] == seed) & table["measure"].isin(measures)]
    own = own[own["estimate"].notna()]
    look, places = look_in(CONDITIONS, condition), own["measure"].map(measures.index) + shift
    hover = f"{look.name}, seed {seed}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}]<extra></extra>"
    return points(own, look, x=places, size=8, hovertemplate=hover)


def rate_distortion(table: pd.DataFrame, base: pd.DataFrame | None = None) -> go.Figure:
    """Loss of the next move against the KL of the codes over the weight alpha: a line a condition and seed.

    ``table`` has ``condition, alpha, seed, kl, nll`` (gate as learned), ``hard_nll`` (gate cut at one half) and
    ``switches`` (a number at each point: hard switches an episode).  The losses of the base alone and of the exact
    Bayes filter are those of ``base`` (as for :func:`workbench.families.internal_rl.figures.model.base_model`).
    """
    need(table, ["condition", "alpha", "seed", "kl", "nll", "hard_nll", "switches"], "rate_distortion")
    figure = go.Figure()
    for name, measure, dash in (
        ("base model, no codes", "nll", "dash"),
        ("exact Bayes filter", "bayes_nll", "dot"),
    ):
        for height in _heights(base, measure):
            hover = f"{name}: %{{y:.4f}}<extra></extra>"
            ends, look = [0, float(table["kl"].max())], Look(name, BLACK, dash)
            figure.add_traces(line(ends, [height, height], look, 1.4, legendrank=2000, hovertemplate=hover))
    for condition, style in looks_in(table["condition"], CONDITIONS):
        for seed, part in table[table["condition"] == condition].groupby("seed"):
            figure.add_traces(_tradeoff(part.sort_values("kl"), style, int(seed)))
    figure.update_xaxes(title_text="rate: KL of the codes (nats a move)", rangemode="tozero")
    figure.update_yaxes(title_text="distortion: loss of the next move (nats)")
    note = "Filled: gate as learned; hollow: the same gate cut at one half. Numbers: hard switches an episode; "
    note += "hover for alpha. Single runs, no intervals."
    return finish(figure, "Rate and distortion of the codes", note, 900, 580)


def _heights(base: pd.DataFrame | None, measure: str) -> Iterator[float]:
    if base is not None and {"measure", "estimate"}.issubset(base.columns):
        yield from (float(value) for value in of_measure(base, measure)["estimate"])


def _tradeoff(part: pd.DataFrame, base: Look, seed: int) -> Traces:
    look, shown = replace(base, name=f"{base.name}, seed {seed}"), {"customdata": part[["alpha", "switches"]]}
    hover = "alpha %{customdata[0]:g}, gate cut: KL %{x:.3f}, loss %{y:.4f}"
    hollow: dict[str, Any] = {"mode": "markers", "marker_line_width": 2, "hovertemplate": hover, "showlegend": False}
    cut = line(part["kl"], part["hard_nll"], replace(look, symbol=f"{look.symbol}-open"), size=11, **(hollow | shown))
    texts = {"text": part["switches"].map("{:.1f}".format), "textfont": {"size": 11, "color": look.colour}}
    texts |= {"mode": "lines+markers+text", "textposition": "top center"}
    hover = "alpha %{customdata[0]:g}: KL %{x:.3f}, loss %{y:.4f}, %{customdata[1]:.2f} switches"
    return cut + line(part["kl"], part["nll"], look, 2, 9, hovertemplate=hover, **(texts | shown))
