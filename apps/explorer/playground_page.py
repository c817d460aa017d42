"""The playground: a model at hand, to be written to, played with, steered and looked into."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from apps.explorer.playground.models import choose_model
from workbench.views.choices import pick_one
from workbench.views.text import errors_shown

_VIEWS = ("Tokens", "Logit lens", "Attention", "Scores", "Components", "Make a vector")


@errors_shown()
def playground_page(runs: pd.DataFrame) -> None:
    """Model, vectors, input and views, top to bottom.  ``runs`` is what ``list_runs`` returns; it may be empty."""
    st.header("Playground")
    loaded = choose_model()
    if loaded is None:
        return
    # Loaded late: these import torch, which the first page must not wait for.
    from apps.explorer.playground.inputs import choose_sides
    from apps.explorer.playground.inside_views import attention_view, component_view, lens_view
    from apps.explorer.playground.make_view import make_view
    from apps.explorer.playground.score_view import score_view
    from apps.explorer.playground.steering import choose_pushes
    from apps.explorer.playground.token_view import token_view

    pushes = choose_pushes(loaded, runs)
    sides = None
    with errors_shown():
        sides = choose_sides(loaded, pushes)
    view = pick_one("View", _VIEWS, "view", _VIEWS[0])
    if view == "Make a vector":
        make_view(loaded, runs)
        return
    if sides is None:
        return
    views: dict[str, Callable[..., None]] = {
        "Tokens": token_view, "Logit lens": lens_view, "Attention": attention_view,
        "Scores": partial(score_view, runs=runs), "Components": component_view,
    }  # fmt: skip
    views[view](loaded, sides)
