"""Figures of the base model of an internal-RL run: its loss beside the exact Bayes filter's, what its layers say of the
subgoal in force, and where low-rank controllers can take over."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from workbench.families.internal_rl.figures.style import (
    BELIEFS,
    CONTROLLERS,
    ESTIMATE,
    TASKS,
    depth_axis,
    labelled,
    looks_in,
    of_measure,
    task_name,
)
from workbench.figures.marks import curve
from workbench.figures.style import BLACK, BLUE, Look, finish, need, ordered
from workbench.statistics import Interval

BASE, SECOND = "base", "second base"
_PROBED = ("model", "share", "site", "layer", "control", "measure")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
_STEPS = "95% intervals resample whole episodes."


def base_model(table: pd.DataFrame) -> go.Figure:
    """Loss beside the Bayes filter's, and success without control.  ``table``: ``measure, estimate, low, high``."""
    need(table, ["measure", *ESTIMATE], "base_model")
    losses = {"nll": Look("base model", BLUE), "bayes_nll": Look("exact Bayes filter", BLACK, symbol="square")}
    played = {
        "pretraining": Look("pretraining tasks", BLUE, symbol="circle"),
        "held_out": Look("held-out task", BLUE, symbol="circle-open"),
    }
    panels = (
        ("loss of the next move (nats)", "", losses),
        ("success (share of episodes)", "uncontrolled_", played),
    )
    figure = make_subplots(1, 2, horizontal_spacing=0.2, subplot_titles=[title for title, _, _ in panels])
    for column, (_, prefix, looks) in enumerate(panels, 1):
        rows = [(row, style) for key, style in looks.items() for row in of_measure(table, prefix + key).itertuples()]
        top = 1.0 if prefix else max((float(row.high) for row, _ in rows), default=1.0)
        for place, (row, style) in enumerate(rows):
            figure.add_traces(list(labelled(row, place, style, top)), [1] * 2, [column] * 2)
        names = {"tickvals": list(range(len(rows))), "ticktext": [style.name for _, style in rows]}
        figure.update_yaxes(range=[len(rows) - 0.4, -0.6], row=1, col=column, **names)
        figure.update_xaxes(range=[-0.03 * top, 1.06 * top], row=1, col=column)
    note = "95% intervals: whole episodes resampled for losses, Wilson for shares. The filter is the best possible."
    gap = [f" Paired gap to it: {Interval.of(row).text(3)} nats." for row in of_measure(table, "gap").itertuples()]
    return finish(figure, "The base model without control", note + "".join(gap), 980, 300)


def beliefs(table: pd.DataFrame) -> go.Figure:
    """Accuracy of the probe of the subgoal in force after every layer of the base, beside its controls and the exact
    Bayes filter.  ``table`` has ``model, share, site, layer`` (0: the embedding), ``control, measure, estimate, low,
    high``."""
    need(table, [*_PROBED, *ESTIMATE], "beliefs")
    part = of_measure(table[table["model"] == BASE], "accuracy")
    part = part[part["share"] == part["share"].max()]
    need(part, [], "beliefs of the base")
    figure = go.Figure()
    for control, style in looks_in(part["control"], BELIEFS):
        figure.add_traces(curve(part[part["control"] == control], "layer", style, thin=control != "none"))
    depth_axis(figure, list(zip(part["layer"], part["site"], strict=True)))
    figure.update_yaxes(title_text="accuracy (share of steps)", range=[0, 1.03])
    note = f"The subgoal in force is never shown to the model. Linear probes; {_STEPS}"
    return finish(figure, "What each layer says of the subgoal in force", note, 860, 540)


def belief_history(table: pd.DataFrame) -> go.Figure:
    """Accuracy of the same probe along the training of a second base: a line a depth, and the exact Bayes filter.

    ``table``: as for :func:`beliefs`.
    """
    need(table, [*_PROBED, *ESTIMATE], "belief_history")
    part = of_measure(table[table["model"] == SECOND], "accuracy")
    need(part, [], "belief_history of the second base")
    figure, depths = go.Figure(), sorted(part["layer"].unique())
    last = max(1, len(depths) - 1)
    colours = sample_colorscale("Viridis", [0.88 * i / last for i in range(len(depths))], colortype="tuple")
    for i, depth in enumerate(depths):
        own = part[(part["layer"] == depth) & (part["control"] == "none")]
        name = "embedding" if depth == 0 else f"after layer {str(own['site'].iloc[0]).split('.')[1]}"
        colour = "#" + "".join(f"{round(255 * value):02x}" for value in colours[i])
        figure.add_traces(curve(own, "share", Look(name, colour, "solid", _SYMBOLS[i % 8])))
    filtered = part[(part["layer"] == depths[0]) & (part["control"] == "bayes")]
    figure.add_traces(curve(filtered, "share", BELIEFS["bayes"], thin=True))
    figure.update_yaxes(title_text="accuracy (share of steps)", range=[0, 1.03])
    figure.update_xaxes(title_text="share of training", range=[-0.03, 1.03], tickformat=".0%")
    note = f"A second base, trained from scratch with another seed. Linear probes; {_STEPS}"
    return finish(figure, "Beliefs along training", note, 860, 540)


def controllers(table: pd.DataFrame) -> go.Figure:
    """Success under controllers at each depth with the true subgoal as switch, a panel a task, beside random
    controllers, no controller and the share of worlds that can be solved.

    ``table`` has ``site, layer, control, task, measure`` (success, solvable), ``estimate, low, high``.
    """
    need(table, ["site", "layer", "control", "task", "measure", *ESTIMATE], "controllers")
    tasks = ordered(table["task"], TASKS)
    figure = make_subplots(1, len(tasks), shared_yaxes=True, horizontal_spacing=0.03,
                           subplot_titles=[task_name(task) for task in tasks])  # fmt: skip
    for j, task in enumerate(tasks, 1):
        part = table[table["task"] == task]
        success = of_measure(part, "success")
        ceiling = of_measure(part, "solvable").drop_duplicates("layer").assign(control="solvable")
        for control, style in looks_in([*ceiling["control"], *success["control"]], CONTROLLERS):
            own = ceiling if control == "solvable" else success[success["control"] == control]
            thin = control != "supervised"
            figure.add_traces(curve(own, "layer", style, thin=thin, shade=control != "solvable"), 1, j)
        depth_axis(figure, list(zip(part["layer"], part["site"], strict=True)), row=1, col=j)
    figure.update_yaxes(range=[-0.03, 1.04])
    figure.update_yaxes(title_text="success (share of episodes)", row=1, col=1)
    note = "Low-rank controllers, one a subgoal, trained with the base frozen; the true subgoal says which one acts. "
    note += "95% intervals: Wilson."
    return finish(figure, "Where controllers can take over", note, max(700, 285 * len(tasks) + 90), 520)
