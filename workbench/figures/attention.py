"""Attention patterns: for each head, how much each token looks at each earlier one."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from workbench.errors import DataError
from workbench.figures.style import finish
from workbench.figures.token_strip import SINK_MARK, sink_note, visible

_SHOWN = 0.98  # share of the weights on tokens that are no sinks that the colours tell apart


def attention_heatmaps(
    pattern: Float[ArrayLike, "head query key"],
    texts: Sequence[str],
    heads: Sequence[int] | None = None,
    title: str = "Attention",
    columns: int = 4,
    sinks: Collection[int] = (),
) -> go.Figure:
    """One map a head (all, or those in ``heads``): rows are queries, columns keys, colours weights from 0 to 1.

    ``sinks``: the tokens, by their place, that are attention sinks.  Most attention goes to them, so colours end where
    98% of the weights on other tokens lie below.

    Raises :class:`DataError` for a pattern that does not fit the tokens and for heads that are not there.
    """
    weights = np.asarray(pattern, dtype=np.float64)
    if weights.ndim != 3 or weights.shape[1:] != (len(texts), len(texts)):
        raise DataError(f"a pattern over {len(texts)} tokens is [head, query, key], not {list(weights.shape)}")
    chosen = list(range(len(weights))) if heads is None else list(heads)
    if not chosen or not set(chosen) <= set(range(len(weights))):
        raise DataError(f"heads {chosen}: there are heads 0 to {len(weights) - 1}")
    across = min(columns, len(chosen))
    down, alone = math.ceil(len(chosen) / across), len(chosen) == 1
    figure = make_subplots(
        down, across, subplot_titles=None if alone else [f"head {head}" for head in chosen],
        horizontal_spacing=0.12 / across, vertical_spacing=0.16 / down,
    )  # fmt: skip
    for i, head in enumerate(chosen):
        figure.add_trace(_heat(weights[head], texts), i // across + 1, i % across + 1)
    top = _highest(weights[chosen], sinks)
    figure.update_layout(coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": top, "colorbar": {"thickness": 14}})
    shown = [visible(text)[:12] + f" {SINK_MARK}" * (i in sinks) for i, text in enumerate(texts)] if alone else []
    axis = {"tickvals": list(range(len(shown))), "ticktext": shown, "showticklabels": alone}
    figure.update_xaxes(constrain="domain", tickangle=-60, showgrid=False, **axis)
    figure.update_yaxes(autorange="reversed", showgrid=False, **axis)
    if alone:
        figure.update_xaxes(title_text="looks at")
        figure.update_yaxes(title_text="token")
    side = max(460, min(900, 24 * len(texts) + 180)) if alone else 0
    size = {"width": side + 90, "height": side} if alone else {"width": 900, "height": 130 + 230 * down}
    return finish(figure, title, f"Rows look at columns; hover for tokens and weights.{sink_note(sinks)}", **size)


def _highest(weights: Float[np.ndarray, "head query key"], sinks: Collection[int]) -> float:
    """Where the colours end: 1 without sinks."""
    if not sinks:
        return 1.0
    others = [key for key in range(weights.shape[2]) if key not in sinks]
    looking = np.tril(np.ones(weights.shape[1:], dtype=bool))[:, others]
    seen = weights[:, :, others][:, looking]  # [head pair]
    return float(np.quantile(seen, _SHOWN)) or 1.0 if seen.size else 1.0


def _heat(weights: Float[np.ndarray, "query key"], texts: Sequence[str]) -> go.Heatmap:
    names = [visible(text).replace("<", "&lt;") for text in texts]
    notes = [
        [f"{query} (at {i}) looks at {key} (at {j})" for j, key in enumerate(names)] for i, query in enumerate(names)
    ]
    hidden = np.triu(np.ones_like(weights, dtype=bool), 1)  # a causal model sees nothing there
    return go.Heatmap(
        z=np.where(hidden, np.nan, weights), customdata=notes, coloraxis="coloraxis", hoverongaps=False,
        hovertemplate="%{customdata}<br>%{z:.3f}<extra></extra>",
    )  # fmt: skip
