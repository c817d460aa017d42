"""Figures of what metacontrollers discovered: when they switch, what their codes say, rate against distortion."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.families.internal_rl.figures.style import CONDITIONS, ESTIMATE, bars_of, looks_in, of_measure
from workbench.figures.style import BLACK, BLUE, GREY, Look, finish, need, ordered, words

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
    need(table, [*_FOUND, *ESTIMATE], "switches")
    shown = {measure: title for measure, title in ALIGNMENT.items() if len(of_measure(table, measure))}
    need(table[table["measure"].isin(shown)], [], "switches, of its measures of alignment,")
    figure = make_subplots(1, len(shown), shared_yaxes=True, horizontal_spacing=0.025,
                           subplot_titles=list(shown.values()))  # fmt: skip
    found = _discoveries(table)
    for j, measure in enumerate(shown, 1):
        for style, suffix, shift in ((OWN, "", -0.15), (RANDOM, "_random", 0.15)):
            part = of_measure(table, measure + suffix)
            places = [found.index(at) + shift for at in zip(part["condition"], part["seed"], strict=True)]
            figure.add_scatter(
                x=part["estimate"], y=places, mode="markers", name=style.name, legendgroup=style.name,
                showlegend=j == 1, marker={"symbol": style.symbol, "size": 10, "color": style.colour},
                error_x=bars_of(part, style.colour), customdata=part[["low", "high"]], cliponaxis=False,
                hovertemplate="%{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]", row=1, col=j,
            )  # fmt: skip
    figure.update_xaxes(range=[-0.04, 1.04], tickvals=[0, 0.25, 0.5, 0.75, 1], ticktext=["0", "¼", "½", "¾", "1"])
    names = [_named(table, condition, seed) for condition, seed in found]
    figure.update_yaxes(tickvals=list(range(len(found))), ticktext=names, range=[len(found) - 0.4, -0.6])
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
    style = CONDITIONS.get(condition)
    name = f"{style.name if style else words(condition)}, seed {seed}"
    own = of_measure(table[(table["condition"] == condition) & (table["seed"] == seed)], "switches")
    return name if own.empty else f"{name} ({own['estimate'].iloc[0]:.1f} switches)"


def codes(table: pd.DataFrame) -> go.Figure:
    """What the codes say: the subgoal read linearly off them in each segment, beside the commonest subgoal; and success
    when the mean code of each subgoal, as it is and made longer, is held until the subgoal is reached.

    ``table``: as for :func:`switches`.
    """
    need(table, [*_FOUND, *ESTIMATE], "codes")
    numbers = sorted({int(m[15:]) for m in table["measure"] if m.startswith("decode_segment_") and m[15:].isdigit()})
    segments, names = [f"decode_segment_{k}" for k in numbers], [str(k) for k in numbers]
    composed = {measure: name for measure, name in COMPOSED.items() if (table["measure"] == measure).any()}
    panels = (
        ("subgoal read off the code: accuracy", segments, names),
        ("the same, over the commonest subgoal", [f"{segment}_lead" for segment in segments], names),
        ("success with composed codes", list(composed), list(composed.values())),
    )
    need(table[table["measure"].isin([*segments, *composed])], [], "codes, of what codes say,")
    figure = make_subplots(1, 3, horizontal_spacing=0.08, subplot_titles=[title for title, _, _ in panels])
    found = _discoveries(table)
    for j, (_, measures, names) in enumerate(panels, 1):
        for number, (condition, seed) in enumerate(found):
            own = table[(table["condition"] == condition) & (table["seed"] == seed)].set_index("measure")
            shift = 0.5 * ((number + 0.5) / len(found) - 0.5)
            _points(figure, own, measures, (condition, seed, shift), j)
        figure.update_xaxes(tickvals=list(range(len(names))), ticktext=names, range=[-0.5, len(names) - 0.5], col=j)
    figure.add_hline(0, line={"color": "#777", "width": 1.2}, col=2)
    for j, title in ((1, "accuracy (share)"), (3, "share of episodes")):
        figure.update_yaxes(title_text=title, range=[-0.04, 1.04], col=j)
    figure.update_yaxes(title_text="difference", col=2)
    figure.update_xaxes(title_text="segment of the episode", col=1)
    figure.update_xaxes(title_text="segment of the episode", col=2)
    note = "One mark a seed. Composed: the mean first-segment code of each subgoal is held until that is reached; "
    note += "scaled: made longer, as a policy may<br>draw them. 95% intervals resample episodes (Wilson for success)."
    return finish(figure, "What the codes say", note, 1160, 520).update_layout(margin_t=124)


def _points(
    figure: go.Figure, own: pd.DataFrame, measures: list[str], which: tuple[str, int, float], column: int
) -> None:
    """The marks of one discovery in one panel; ``which``: its condition, its seed, and how far it is shifted."""
    condition, seed, shift = which
    style = CONDITIONS.get(condition, Look(words(condition), BLACK))
    own = own[own["estimate"].notna()]
    there = [(k, measure) for k, measure in enumerate(measures) if measure in own.index]
    part = own.loc[[measure for _, measure in there]]
    figure.add_scatter(
        x=[k + shift for k, _ in there], y=part["estimate"], mode="markers", name=style.name, legendgroup=style.name,
        showlegend=column == 1 and seed == 0, marker={"symbol": style.symbol, "size": 8, "color": style.colour},
        error_y=bars_of(part, style.colour), customdata=part[["low", "high"]], cliponaxis=False,
        hovertemplate=f"{style.name}, seed {seed}: %{{y:.3f}} [%{{customdata[0]:.3f}}, %{{customdata[1]:.3f}}]"
        "<extra></extra>", row=1, col=column,
    )  # fmt: skip


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
            figure.add_scatter(
                x=[0, float(table["kl"].max())], y=[height, height], mode="lines", name=name, legendrank=2000,
                line={"color": BLACK, "width": 1.4, "dash": dash}, hovertemplate=f"{name}: %{{y:.4f}}<extra></extra>",
            )  # fmt: skip
    for condition, style in looks_in(table["condition"], CONDITIONS):
        for seed, part in table[table["condition"] == condition].groupby("seed"):
            figure.add_traces(list(_tradeoff(part.sort_values("kl"), style, int(seed))))
    figure.update_xaxes(title_text="rate: KL of the codes (nats a move)", rangemode="tozero")
    figure.update_yaxes(title_text="distortion: loss of the next move (nats)")
    note = "Filled: gate as learned; hollow: the same gate cut at one half. Numbers: hard switches an episode; "
    note += "hover for alpha. Single runs, no intervals."
    return finish(figure, "Rate and distortion of the codes", note, 900, 580)


def _heights(base: pd.DataFrame | None, measure: str) -> Iterator[float]:
    if base is not None and {"measure", "estimate"}.issubset(base.columns):
        yield from (float(value) for value in of_measure(base, measure)["estimate"])


def _tradeoff(part: pd.DataFrame, style: Look, seed: int) -> Iterator[go.Scatter]:
    name = f"{style.name}, seed {seed}"
    yield go.Scatter(
        x=part["kl"], y=part["hard_nll"], mode="markers", name=name, legendgroup=name, showlegend=False,
        marker={"symbol": f"{style.symbol}-open", "size": 11, "color": style.colour, "line": {"width": 2}},
        customdata=part[["alpha", "switches"]],
        hovertemplate="alpha %{customdata[0]:g}, gate cut: KL %{x:.3f}, loss %{y:.4f}",
    )  # fmt: skip
    yield go.Scatter(
        x=part["kl"], y=part["nll"], mode="lines+markers+text", name=name, legendgroup=name, cliponaxis=False,
        line={"color": style.colour, "width": 2, "dash": style.dash}, marker={"symbol": style.symbol, "size": 9},
        text=[f"{count:.1f}" for count in part["switches"]], textposition="top center",
        textfont={"size": 11, "color": style.colour}, customdata=part[["alpha", "switches"]],
        hovertemplate="alpha %{customdata[0]:g}: KL %{x:.3f}, loss %{y:.4f}, %{customdata[1]:.2f} switches",
    )  # fmt: skip
