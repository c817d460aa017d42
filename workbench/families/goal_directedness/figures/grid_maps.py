"""One trajectory in a grid, step by step: the true map, the maps decoded from the agent's activations, and the forecast
of its next moves.

A decoded cell has a probability for each class; its colour is the mixture of the class colours with these weights, so
a sure wall is dark, a sure open cell white, and a doubtful one in between.  Its mark is the most probable class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from workbench.errors import DataError
from workbench.families.goal_directedness.figures.examples import CELLS, PLAN, GridExample
from workbench.families.goal_directedness.figures.looks import POSITIONS
from workbench.figures.animation import animate
from workbench.figures.marks import Traces, cell_lines
from workbench.figures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, finish, look_in, rgb

_NAMES = ("open", "wall", "agent", "goal", "key", "door", "padding")
_COLOURS = ("#FFFFFF", "#3A3A3A", VERMILION, GREEN, ORANGE, PURPLE, "#DAD7E8")
_MARKS = ("", "#", "A", "G", "K", "D", "·")
_AGENT, _GOAL, _ENDED = CELLS.index("A"), CELLS.index("G"), PLAN.index("ended")
_DELTAS = ((0, -1), (0, 1), (-1, 0), (1, 0))  # (row, column) of LEFT, RIGHT, UP, DOWN
_ARROWS = ("triangle-left", "triangle-right", "triangle-up", "triangle-down")
_PANEL = 270  # pixels a map is wide
_NOTHING = [None]  # a trace without any point would lose its place in the legend


def grid_step(example: GridExample, step: int = 0) -> go.Figure:
    """The maps and forecasts of one step (from 0); raises :class:`DataError` for a step that is not there.

    Small filled arrow: the move taken; large hollow ones: the optimal moves.  On a decoded map, rings show where agent
    and goal are most probable, and frames the cells whose most probable class is not the true one.
    """
    if not 0 <= step < len(example.steps):
        raise DataError(f"step {step} is not in this example: its {len(example.steps)} steps count from 0")
    maps, plans = [p for p in example.positions if p in example.decoded], list(example.plans)
    columns = 1 + len(example.positions)
    titles = ["true map", *(f"decoded {look_in(POSITIONS, p).name}" for p in example.positions)]
    figure = make_subplots(
        2 if plans else 1, columns, horizontal_spacing=0.2 / columns, vertical_spacing=0.09,
        row_heights=[0.66, 0.34] if plans else None, subplot_titles=titles,
    )  # fmt: skip
    for trace, (row, col) in _traces(example, step):
        figure.add_trace(trace, row, col)
    for col in [1, *(2 + example.positions.index(p) for p in maps)]:
        ticks = {"tickvals": list(range(example.size)), "showgrid": False, "constrain": "domain"}
        figure.update_xaxes(side="bottom", range=[-0.5, example.size - 0.5], row=1, col=col, **ticks)
        figure.update_yaxes(range=[example.size - 0.5, -0.5], row=1, col=col, **ticks)
    for position in plans:
        col = 2 + example.positions.index(position)
        ticks = {"tickvals": list(range(len(PLAN))), "ticktext": list(PLAN), "showgrid": False}
        figure.update_yaxes(range=[len(PLAN) - 0.5, -0.5], row=2, col=col, **ticks)
        ahead = {"range": [0.5, example.plans[position].shape[1] + 0.5], "dtick": 1, "showgrid": False}
        figure.update_xaxes(title_text="forecast: moves ahead", row=2, col=col, **ahead)
    if plans:
        figure.update_xaxes(visible=False, row=2, col=1)
        figure.update_yaxes(visible=False, row=2, col=1)
    size = {"width": max(640, (_PANEL + 50) * columns + 40), "height": _PANEL + 230 + (180 if plans else 0)}
    note = "Decoded cells mix the class colours by probability; hover for the numbers." if maps else ""
    return finish(figure, _title(example, step), note, **size)


def grid_steps(example: GridExample) -> go.Figure:
    """All steps of a trajectory as one figure with a slider and a play button."""
    figure, count = grid_step(example, 0), len(example.steps)
    frames = [(_title(example, k), [trace for trace, _ in _traces(example, k)]) for k in range(count)]
    return animate(figure, frames, list(range(len(figure.data))), shown=0, pace=700)


def _title(example: GridExample, step: int) -> str:
    here = example.steps[step]
    best = " or ".join(PLAN[int(m)] for m in here["optimal"]) or "none"
    if here["move"] is None:
        return f"Step {step + 1} of {len(example.steps)}: no readable answer (optimal: {best})"
    verdict = "optimal" if here["move"] in here["optimal"] else f"not optimal: {best}"
    return f"Step {step + 1} of {len(example.steps)}: {PLAN[int(here['move'])]} ({verdict})"


def _traces(example: GridExample, step: int) -> list[tuple[Any, tuple[int, int]]]:
    """The marks of a step with their panels; every step has the same ones, so that frames can replace them."""
    true = example.true[step]
    sure = np.eye(len(CELLS))[true]  # [size, size, classes]
    found: list[tuple[Any, tuple[int, int]]] = [(trace, (1, 1)) for trace in _map(sure, true)]
    found += [(trace, (1, 1)) for trace in _moves(example, step)]
    for j, position in enumerate(example.positions, 2):
        if position in example.decoded:
            probabilities = example.decoded[position][step]
            found += [(trace, (1, j)) for trace in _map(probabilities, true)]
            first = position == next(iter(example.decoded))
            found += [(trace, (1, j)) for trace in _findings(probabilities, true, legend=first)]
        if position in example.plans:
            found += [(trace, (2, j)) for trace in _plan(example, position, step)]
    return found


def _map(probabilities: NDArray[np.float64], true: NDArray[np.int_]) -> Traces:
    """Cells coloured by their class probabilities [size, size, classes], with marks and hover."""
    palette = np.array([rgb(colour) for colour in _COLOURS])
    mixed = np.clip(probabilities @ palette, 0, 255)  # [size, size, rgb]
    best, rows, columns = probabilities.argmax(-1), *np.indices(true.shape)
    bright = (mixed @ np.array([0.299, 0.587, 0.114])).ravel()
    ink = np.where(best.ravel() == CELLS.index("#"), "#B0B0B0", np.where(bright > 140, "#111111", "#FFFFFF"))
    cell = _PANEL / len(true)
    marks = go.Scatter(
        x=columns.ravel(), y=rows.ravel(), mode="markers+text", text=[f"<b>{_MARKS[c]}</b>" for c in best.ravel()],
        textfont={"color": ink.tolist(), "size": max(8, min(18, 0.42 * cell))}, showlegend=False,
        marker={"symbol": "square", "size": 0.9 * cell, "color": "rgba(0, 0, 0, 0)"},
        hovertext=[_hover(probabilities[at], int(true[at]), at) for at in np.ndindex(true.shape)], hoverinfo="text",
    )  # fmt: skip
    borders = cell_lines(len(true), "rgba(120, 120, 120, 0.4)")
    return [go.Image(z=mixed.round().astype(np.uint8).tolist(), hoverinfo="skip"), *borders, marks]


def _hover(probabilities: NDArray[np.float64], true: int, at: tuple[int, ...]) -> str:
    lines = [f"<b>row {at[0]}, column {at[1]}: {_NAMES[true]}</b>"]
    for c in np.argsort(-probabilities, kind="stable"):
        if probabilities[c] >= 0.005:
            lines.append(f"{_NAMES[c]} {probabilities[c]:.2f}")
    return "<br>".join(lines)


def _moves(example: GridExample, step: int) -> Traces:
    """The way so far, the optimal moves and the move taken, on the true map."""
    past, here, cell = example.steps[: step + 1], example.steps[step], _PANEL / example.size
    way = go.Scatter(
        x=[s["column"] for s in past], y=[s["row"] for s in past], mode="lines", name="way so far", hoverinfo="skip",
        line={"color": VERMILION, "width": 3, "dash": "dot"}, opacity=0.7,
    )  # fmt: skip
    taken = [] if here["move"] is None else [int(here["move"])]
    hollow = {"size": 0.52 * cell, "color": "#FFFFFF", "line": {"color": BLUE, "width": 3}}
    filled = {"size": 0.26 * cell, "color": ORANGE, "line": {"color": "#000000", "width": 1}}
    return [way, _arrows(here, list(map(int, here["optimal"])), "optimal move", hollow),
            _arrows(here, taken, "move taken", filled)]  # fmt: skip


def _arrows(here: Mapping[str, Any], moves: list[int], name: str, marker: dict[str, Any]) -> go.Scatter:
    x, y = ([here[name] + 0.62 * _DELTAS[m][i] for m in moves] for i, name in ((1, "column"), (0, "row")))
    return go.Scatter(
        x=x or _NOTHING, y=y or _NOTHING, mode="markers", name=name, hoverinfo="skip", cliponaxis=False,
        marker=marker | {"symbol": [_ARROWS[m] for m in moves] or "triangle-right"},
    )  # fmt: skip


def _findings(probabilities: NDArray[np.float64], true: NDArray[np.int_], legend: bool) -> Traces:
    """Frames around wrong cells; rings around the likeliest cell of the agent and of the goal."""
    cell = _PANEL / len(true)
    rows, columns = np.nonzero(probabilities.argmax(-1) != true)
    traces: Traces = [_outline(columns, rows, "square-open", 0.75 * cell, SKY, "wrong cell", legend)]
    for number, name in ((_AGENT, "likeliest agent"), (_GOAL, "likeliest goal")):
        row, column = np.unravel_index(int(probabilities[..., number].argmax()), true.shape)
        traces.append(_outline([column], [row], "circle-open", 0.8 * cell, _COLOURS[number], name, legend))
    return traces


def _outline(x: Any, y: Any, symbol: str, size: float, colour: str, name: str, legend: bool) -> go.Scatter:
    marker = {"symbol": symbol, "size": size, "color": colour, "line": {"width": 2.5}}
    x, y = ([int(v) for v in values] or _NOTHING for values in (x, y))
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, name=name,
                      legendgroup=name, showlegend=legend, hoverinfo="skip")  # fmt: skip


def _plan(example: GridExample, position: str, step: int) -> Traces:
    """Probabilities of the next moves, with the moves that came."""
    plan = example.plans[position][step].T  # [5, ahead]
    ahead = list(range(1, plan.shape[1] + 1))
    came = [s["move"] for s in example.steps[step:]] + [_ENDED] * len(ahead)
    came = [(n, int(move)) for n, move in zip(ahead, came, strict=False) if move is not None]
    text = [["" if p < 0.095 else f"{p:.1f}".replace("0.", ".") for p in row] for row in plan]
    heat = go.Heatmap(
        z=plan, x=ahead, y=list(range(len(PLAN))), zmin=0, zmax=1, colorscale="Blues", showscale=False, xgap=1, ygap=1,
        text=text, texttemplate="%{text}", textfont={"size": 10},
        hovertemplate="%{x} ahead: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    ring = go.Scatter(
        x=[n for n, _ in came], y=[move for _, move in came], mode="markers", name="move that came",
        legendgroup="came", showlegend=position == next(iter(example.plans)), hoverinfo="skip",
        marker={"symbol": "square-open", "size": 17, "color": VERMILION, "line": {"width": 2}},
    )  # fmt: skip
    return [heat, ring]
