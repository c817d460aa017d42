"""An episode in the pinpad, move by move: the way on the grid, a new hue for each code, beside the gate over time with
the true changes of the subgoal, and the numbers of the code in force.

Hues of tiles and of pieces of a way are those of the animations (:mod:`workbench.worlds.pinpad.pictures`); pieces
carry their number as well, since hues come back after eight.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import DataError
from workbench.families.internal_rl.figures.episodes import PinpadEpisode
from workbench.families.internal_rl.figures.looks import task_name
from workbench.figures.animation import animate
from workbench.figures.marks import cell_lines
from workbench.figures.style import DIVERGING, finish, rgb

TILES = ("#f08c8c", "#ffbe5f", "#f6f478", "#a0de96", "#87dce1", "#96b4f5", "#c896f0", "#ffaae1")
HUES = ("#c8141e", "#145ac8", "#007d32", "#eb6e00", "#7d28aa", "#008c96", "#87501e", "#d7008c")
_INK, _WALL = "#141414", "#46464b"
_MARK = "#6e6e6e"  # seen on light and on dark pages
_PANEL = 450  # pixels the board is wide
_ASIDE = 0.13  # of a cell: the way runs to the right of the cells' middles, so a way back is seen beside the way there
_TURN = np.linspace(0, 2 * np.pi, 33)
_RING = 0.32 * np.stack([np.cos(_TURN), np.sin(_TURN)], 1)  # corners (x, y) around a cell's middle
_FRAME = 0.45 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
_NOTHING = [None]  # a trace without any point would lose its place in the legend
_START, _AGENT, _NEXT = "start", "agent", "colour that is next (never shown to the agent)"
_GRID, _GATE, _CODE = (1, 1), (1, 2), (2, 2)

Placed: TypeAlias = tuple[Any, tuple[int, int]]  # a trace and its panel; plotly has no types


def caption(episode: PinpadEpisode, rate: str = "") -> list[str]:
    """What must be said beside an episode: how it ended, how it came to be shown, and how often the method succeeds
    over all episodes (``rate``: :func:`workbench.families.internal_rl.figures.episodes.overall_success`)."""
    lines = [f"{_about(episode)}; {episode.ending}. <b>{episode.how_chosen.capitalize()}.</b>"]
    return [*lines, *([f"{rate[:1].upper()}{rate[1:]}."] if rate else [])]


def episode_step(episode: PinpadEpisode, step: int | None = None, rate: str = "", captioned: bool = True) -> go.Figure:
    """The episode up to and with move ``step`` (from 1; default the last), over its :func:`caption`.

    ``captioned=False`` is for pages that write the caption themselves.
    """
    step = len(episode) if step is None else step
    if not 1 <= step <= len(episode):
        raise DataError(f"move {step} is not in this episode: its {len(episode)} moves count from 1")
    figure = make_subplots(
        2, 2, specs=[[{"rowspan": 2}, {}], [None, {}]], column_widths=[0.46, 0.54], horizontal_spacing=0.09,
        vertical_spacing=0.13, row_heights=[0.42, 0.58], shared_xaxes=False,
        subplot_titles=["", "gate: above ½ a new code is drawn", "numbers of the code in force"],
    )  # fmt: skip
    for trace, (row, col) in [*_still(episode), *_moving(episode, step)]:
        figure.add_trace(trace, row, col)
    lines = caption(episode, rate) if captioned else []
    height = _PANEL + 200 + 20 * len(lines)
    finish(figure, _title(episode, step), "<br>".join(lines), 1130, height)
    _axes(figure, episode)
    return figure.update_layout(
        margin={"t": 80 + 20 * len(lines), "r": 60}, title_y=1 - (26 + 10 * len(lines)) / height
    )


def episode_steps(episode: PinpadEpisode, rate: str = "", captioned: bool = True) -> go.Figure:
    """All moves as one figure with a slider and a play button; it stands at the last move, as a still picture does."""
    figure = episode_step(episode, None, rate, captioned)
    numbers = list(range(len(_still(episode)), len(figure.data)))
    frames = [(_title(episode, k), [trace for trace, _ in _moving(episode, k)]) for k in range(1, len(episode) + 1)]
    return animate(figure, frames, numbers, shown=len(episode) - 1, pace=350)


def _about(episode: PinpadEpisode) -> str:
    task = "-".join(map(str, episode.sequence))
    name = task_name(episode.task)
    return f"{name[:1].upper()}{name[1:]}{f' {task}' if task else ''}, episode {episode.number}"


def _title(episode: PinpadEpisode, step: int) -> str:
    """What happens at a move; each title of an episode differs from the others by its number."""
    at = step - 1
    drawn = "new code" if episode.switched[at] else "code"
    return (
        f"Move {step} of {len(episode)}: {drawn} {int(episode.segment[at])}, colour {int(episode.target[at])} is next"
    )


def _axes(figure: go.Figure, episode: PinpadEpisode) -> None:
    edges = {"showgrid": False, "showticklabels": False, "constrain": "domain", "ticks": "", "mirror": True}
    figure.update_xaxes(range=[-0.5, episode.size - 0.5], row=1, col=1, **edges)
    figure.update_yaxes(range=[episode.size - 0.5, -0.5], scaleanchor="x", constraintoward="top", row=1, col=1, **edges)
    for row, _ in (_GATE, _CODE):
        figure.update_xaxes(range=[0.4, len(episode) + 0.6], showgrid=False, row=row, col=2)
    figure.update_xaxes(title_text="move", row=2, col=2)
    figure.update_yaxes(title_text="gate", range=[-0.02, 1.28], tickvals=[0, 0.5, 1], row=1, col=2)
    numbers = episode.codes.shape[1]
    figure.update_yaxes(range=[numbers - 0.5, -0.5], dtick=1, showgrid=False, title_text="number", row=2, col=2)


def _still(episode: PinpadEpisode) -> list[Placed]:
    """What is the same at every move: the board, the gate, the codes and the true changes."""
    moves, hues = np.arange(1, len(episode) + 1), [HUES[k % len(HUES)] for k in episode.segment.tolist()]
    gate = go.Bar(
        x=moves, y=episode.gate, marker={"color": hues, "line": {"width": 0}}, width=0.86, showlegend=False,
        customdata=episode.segment, hovertemplate="move %{x}: gate %{y:.2f}, code %{customdata}<extra></extra>",
    )  # fmt: skip
    half = go.Scatter(x=[0.4, len(episode) + 0.6], y=[0.5, 0.5], mode="lines", showlegend=False, hoverinfo="skip",
                      line={"color": "#777", "width": 1, "dash": "dot"})  # fmt: skip
    at = episode.changes
    changes = go.Scatter(
        x=at + 1 if len(at) else _NOTHING, y=[1.12] * max(1, len(at)), mode="markers", name="subgoal really changes",
        marker={"symbol": "triangle-down", "size": 12, "color": _MARK}, cliponaxis=False,
        customdata=episode.target[at], hovertemplate="move %{x}: colour %{customdata} is next<extra></extra>",
    )  # fmt: skip
    most = float(np.abs(episode.codes).max()) if episode.codes.size else 1.0
    code = go.Heatmap(
        x=moves, y=list(range(episode.codes.shape[1])), z=episode.codes.T, colorscale=DIVERGING, zmin=-most, zmax=most,
        colorbar={"len": 0.5, "y": 0.0, "yanchor": "bottom", "thickness": 12, "x": 1.01},
        hovertemplate="move %{x}, number %{y}: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    return [
        *((trace, _GRID) for trace in _board(episode)),
        (gate, _GATE),
        (half, _GATE),
        (changes, _GATE),
        (code, _CODE),
    ]


def _board(episode: PinpadEpisode) -> list[Any]:
    """Tiles, walls, lines between cells, the numbers of the colours, and a ring where the agent started."""
    palette = [[250, 250, 250], rgb(_WALL), *(rgb(TILES[k % len(TILES)]) for k in range(len(episode.colours)))]
    kinds = np.zeros(episode.size**2, int)
    kinds[list(episode.walls)] = 1
    kinds[list(episode.colours)] = 2 + np.arange(len(episode.colours))
    pixels = np.array(palette)[kinds].reshape(episode.size, episode.size, 3)
    rows, columns = np.divmod(np.array(episode.colours), episode.size)
    row, column = divmod(int(episode.agents[0]), episode.size)
    return [
        go.Image(z=pixels.tolist(), hoverinfo="skip"),
        *cell_lines(episode.size, "#d7d7d7"),
        go.Scatter(x=columns + 0.32, y=rows - 0.27, mode="text", hoverinfo="skip", showlegend=False,
                   text=[f"<b>{k}</b>" for k in range(len(rows))], textfont={"size": 14, "color": _INK}),
        _outline(row, column, _RING, _START, {"color": _MARK, "width": 2.5}),
        *_legend(),
    ]  # fmt: skip


def _outline(
    row: int, column: int, corners: np.ndarray, name: str, line: dict[str, Any], fill: str | None = None
) -> go.Scatter:
    """A closed line around the middle of a cell, in its coordinates, so that it fits at every size of the figure."""
    inside = {} if fill is None else {"fill": "toself", "fillcolor": fill}
    return go.Scatter(x=column + corners[:, 0], y=row + corners[:, 1], mode="lines", line=line, name=name,
                      legendgroup=name, showlegend=False, hoverinfo="skip", **inside)  # fmt: skip


def _legend() -> list[go.Scatter]:
    """What the outlines are, in the legend, where an outline would be a line."""
    marks = ((_START, "circle-open", _MARK), (_AGENT, "circle", _INK), (_NEXT, "square-open", _MARK))
    return [
        go.Scatter(x=_NOTHING, y=_NOTHING, mode="markers", name=name, legendgroup=name, hoverinfo="skip",
                   marker={"symbol": symbol, "size": 12, "color": colour,
                           "line": {"width": 2.5, "color": "white" if name == _AGENT else colour}})
        for name, symbol, colour in marks
    ]  # fmt: skip


def _moving(episode: PinpadEpisode, step: int) -> list[Placed]:
    """What changes from move to move; every move has the same traces, so that frames can replace them."""
    rim, here = {"color": "white", "width": 2}, divmod(int(episode.agents[step]), episode.size)
    agent = _outline(*here, 0.68 * _RING, _AGENT, rim, fill=_INK)
    target = divmod(episode.colours[int(episode.target[step - 1])], episode.size)
    frame = _outline(*target, _FRAME, _NEXT, {"color": _MARK, "width": 4})
    codes = episode.codes.shape[1]
    cursors = [
        go.Scatter(x=[step, step], y=y, mode="lines", line={"color": _MARK, "width": 2}, hoverinfo="skip",
                   showlegend=False)
        for y in ([0, 1.05], [-0.5, codes - 0.5])
    ]  # fmt: skip
    grid = [frame, *_way(episode, step), _draws(episode, step), agent]
    return [*((trace, _GRID) for trace in grid), (cursors[0], _GATE), (cursors[1], _CODE)]


def _way(episode: PinpadEpisode, step: int) -> list[go.Scatter]:
    """The way so far, a trace a hue."""
    xs: list[list[float | None]] = [[] for _ in HUES]
    ys: list[list[float | None]] = [[] for _ in HUES]
    for at, points in _moves(episode, step):
        hue = int(episode.segment[at]) % len(HUES)
        x, y = xs[hue], ys[hue]
        if x and (y[-2], x[-2]) == tuple(points[0]):  # it goes on where its last piece ended
            points = points[1:]
            x.pop(), y.pop()
        x.extend([*(float(column) for _, column in points), None])
        y.extend([*(float(row) for row, _ in points), None])
    return [
        go.Scatter(x=x or _NOTHING, y=y or _NOTHING, mode="lines", line={"color": hue, "width": 4}, hoverinfo="skip",
                   showlegend=False)
        for x, y, hue in zip(xs, ys, HUES, strict=True)
    ]  # fmt: skip


def _moves(episode: PinpadEpisode, step: int) -> list[tuple[int, list[np.ndarray]]]:
    """(step, points as (row, column)) of the moves so far that led to another cell, a little to the right of it."""
    places = np.stack(np.divmod(episode.agents, episode.size), 1).astype(float)
    went = [k for k in range(step) if (places[k + 1] != places[k]).any()]
    hands = [_ASIDE * np.array([right, -down]) for down, right in (places[k + 1] - places[k] for k in went)]
    found = []
    for i, k in enumerate(went):
        before, after = hands[max(0, i - 1)], hands[min(i + 1, len(went) - 1)]
        found.append((k, [*_corner(places[k], before, hands[i]), *_corner(places[k + 1], hands[i], after)[:1]]))
    return found


def _corner(place: np.ndarray, before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    """Where a way passes a cell, given how far aside it comes and goes: two points when it turns back."""
    if (before == after).all():
        return [place + before]
    return [place + before, place + after] if (before == -after).all() else [place + before + after]


def _draws(episode: PinpadEpisode, step: int) -> go.Scatter:
    """A dot with its number where each code so far was drawn."""
    at = [k for k in range(step) if episode.switched[k]]
    places = np.stack(np.divmod(episode.agents[at], episode.size), 1)
    hues = [HUES[int(episode.segment[k]) % len(HUES)] for k in at]
    shown: dict[str, Any] = {
        "x": places[:, 1] - 0.28,
        "y": places[:, 0] + 0.28,
        "text": [f"{episode.segment[k]}" for k in at],
    }
    return go.Scatter(
        **shown, mode="markers+text", textfont={"size": 9, "color": "white"}, name="a new code is drawn (its number)",
        marker={"size": 15, "color": hues, "line": {"width": 1, "color": "white"}},
        customdata=[k + 1 for k in at], hovertemplate="move %{customdata}: code %{text}<extra></extra>",
    )  # fmt: skip
