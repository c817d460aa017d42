"""Figures of the base model of an internal-RL run: its loss beside the exact Bayes filter's, what its layers say of the
subgoal in force, and where low-rank controllers can take over."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from workbench.families.internal_rl.figures.looks import (
    BELIEFS,
    CONTROLLERS,
    TASKS,
    depth_axis,
    labelled,
    of_measure,
    task_name,
)
from workbench.figures.marks import LEVEL, Traces, curve, each
from workbench.figures.panels import name_axis, panels
from workbench.figures.style import BLACK, BLUE, Look, finish, need, ordered
from workbench.statistics import Interval

BASE, SECOND = "base", "second base"
_PROBED = ("model", "share", "site", "layer", "control", "measure")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
_STEPS = "95% intervals resample whole episodes."


def base_model(table: pd.DataFrame) -> go.Figure:
    """Loss beside the Bayes filter's, and success without control.  ``table``: ``measure, estimate, low, high``."""
    need(table, ["measure", *LEVEL], "base_model")
    shown = {
        "loss of the next move (nats)": {
            "nll": Look("base model", BLUE), "bayes_nll": Look("exact Bayes filter", BLACK, symbol="square"),
        },
        "success (share of episodes)": {
            "uncontrolled_pretraining": Look("pretraining tasks", BLUE),
            "uncontrolled_held_out": Look("held-out task", BLUE, symbol="circle-open"),
        },
    }  # fmt: skip
    found = {
        title: [(look, rows) for measure, look in looks.items() if len(rows := of_measure(table, measure))]
        for title, looks in shown.items()
    }
    tops = {title: max((float(own["high"].max()) for _, own in rows), default=1.0) for title, rows in found.items()}
    tops["success (share of episodes)"] = 1.0

    def draw(title: str) -> Traces:
        return [t for k, (look, rows) in enumerate(found[title]) for t in labelled(rows, k, look, tops[title])]

    figure = panels({title: title for title in found}, draw, shared=False, horizontal_spacing=0.2)
    for col, (title, top) in enumerate(tops.items(), 1):
        name_axis(figure, [look.name for look, _ in found[title]], row=1, col=col)
        figure.update_xaxes(range=[-0.03 * top, 1.06 * top], row=1, col=col)
    note = "95% intervals: whole episodes resampled for losses, Wilson for shares. The filter is the best possible."
    gap = [f" Paired gap to it: {Interval.of(row).text(3)} nats." for row in of_measure(table, "gap").itertuples()]
    return finish(figure, "The base model without control", note + "".join(gap), 980, 300)


def beliefs(table: pd.DataFrame) -> go.Figure:
    """Accuracy of the probe of the subgoal in force after every layer of the base, beside its controls and the exact
    Bayes filter.  ``table`` has ``model, share, site, layer`` (0: the embedding), ``control, measure, estimate, low,
    high``."""
    need(table, [*_PROBED, *LEVEL], "beliefs")
    part = of_measure(table[table["model"] == BASE], "accuracy")
    part = part[part["share"] == part["share"].max()]
    need(part, [], "beliefs of the base")

    def course(rows: pd.DataFrame, look: Look) -> Traces:
        return curve(rows, "layer", look, thin=look != BELIEFS["none"])

    figure = go.Figure(each(part, "control", BELIEFS, course))
    depth_axis(figure, part)
    figure.update_yaxes(title_text="accuracy (share of steps)", range=[0, 1.03])
    note = f"The subgoal in force is never shown to the model. Linear probes; {_STEPS}"
    return finish(figure, "What each layer says of the subgoal in force", note, 860, 540)


def belief_history(table: pd.DataFrame) -> go.Figure:
    """Accuracy of the same probe along the training of a second base: a line a depth, and the exact Bayes filter.

    ``table``: as for :func:`beliefs`.
    """
    need(table, [*_PROBED, *LEVEL], "belief_history")
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
    need(table, ["site", "layer", "control", "task", "measure", *LEVEL], "controllers")
    tasks = {task: task_name(task) for task in ordered(table["task"], TASKS)}

    def course(rows: pd.DataFrame, look: Look) -> Traces:
        return curve(rows, "layer", look, thin=look != CONTROLLERS["supervised"])

    def draw(task: str) -> Traces:
        part = table[table["task"] == task]
        ceiling = of_measure(part, "solvable").drop_duplicates("layer")
        top = curve(ceiling, "layer", CONTROLLERS["solvable"], thin=True, shade=False)
        return top + each(of_measure(part, "success"), "control", CONTROLLERS, course)

    figure = panels(tasks, draw, y="success (share of episodes)")
    depth_axis(figure, table)
    figure.update_yaxes(range=[-0.03, 1.04])
    note = "Low-rank controllers, one a subgoal, trained with the base frozen; the true subgoal says which one acts. "
    note += "95% intervals: Wilson."
    return finish(figure, "Where controllers can take over", note, max(700, 285 * len(tasks) + 90), 520)
