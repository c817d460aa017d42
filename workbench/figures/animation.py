"""A figure that moves: a slider over its frames, and buttons that play and stop them."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from workbench.figures.marks import Traces

_BELOW = 75  # pixels for the slider and the buttons


def animate(
    figure: go.Figure, frames: Sequence[tuple[str, Traces]], numbers: Sequence[int], shown: int, pace: int
) -> go.Figure:
    """Let a finished figure move; returns it, higher by its slider.

    Args:
        figure: stands at frame ``shown``, whose title is part of its own.
        frames: for each its title and the traces that replace those of ``numbers``, as many in each.
        numbers: which traces of the figure are replaced.
        shown: the frame at which the figure stands, counted from 0.
        pace: milliseconds a frame.
    """
    text, title = figure.layout.title.text, frames[shown][0]
    figure.frames = [
        go.Frame(name=str(k), traces=numbers, data=traces, layout={"title": {"text": text.replace(title, own, 1)}})
        for k, (own, traces) in enumerate(frames, 1)
    ]
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    moving = {"fromcurrent": shown == 0, "frame": {"duration": pace, "redraw": True}, "transition": {"duration": 0}}
    stops = [{"label": frame.name, "method": "animate", "args": [[frame.name], at_once]} for frame in figure.frames]
    buttons = [
        {"label": "play", "method": "animate", "args": [None, moving]},
        {"label": "stop", "method": "animate", "args": [[None], at_once]},
    ]
    place = {"y": 0, "yanchor": "top", "xanchor": "left"}
    slider = {"steps": stops, "active": shown, "currentvalue": {"visible": False}, "x": 0.14, "len": 0.86}
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "showactive": False, "x": 0}
    height = figure.layout.height + _BELOW
    above = (1 - figure.layout.title.y) * figure.layout.height  # keeps the title where it was
    return figure.update_layout(
        sliders=[slider | place | {"pad": {"t": 64}}], updatemenus=[menu | place | {"pad": {"t": 60}}], height=height,
        margin_b=figure.layout.margin.b + _BELOW, title_y=1 - above / height,
    )  # fmt: skip
