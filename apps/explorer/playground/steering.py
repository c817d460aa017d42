"""The sliders: which vectors are added, where, how strongly and at which tokens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pandas as pd
import streamlit as st

from apps.explorer.playground.drawer import digest, read_vector, vector_names
from steering import Add, SteeringVector
from workbench.models import LanguageModel
from workbench.views.choices import pick, pick_some, slide
from workbench.views.model_cache import LoadedModel
from workbench.views.text import errors_shown

SCOPES = {
    "prompt[-1:]+generation": "last prompt token and on",
    "prompt+generation": "everywhere",
    "generation": "new tokens",
    "prompt": "the prompt",
    "prompt[-1:]": "last prompt token",
}
# What the sliders count in, and how far they may go.
_RANGES = {"dose": ("1", "3"), "multiplier": ("1", "10", "100")}
_START = {"dose": 0.3, "multiplier": 0.1}  # as a share of the largest
_MEANS = {
    "dose": "the length of what is added, as a share of the residual stream's typical norm at that layer",
    "multiplier": "times the vector, whose length is {:.3g}",
}


@dataclass(frozen=True)
class Push:
    """One vector and what its sliders say.  Equal pushes do the same; the vector itself is compared by its digest."""

    name: str
    layer: int
    unit: str
    strength: float
    scope: str
    digest: str
    vector: SteeringVector = field(compare=False, repr=False)


def choose_pushes(loaded: LoadedModel, runs: pd.DataFrame) -> tuple[Push, ...]:
    """The vectors that are on, in the order chosen; those of strength 0 do nothing and are left out."""
    names = vector_names(runs, loaded.model)
    left, middle, right = st.columns([4, 1, 1])
    chosen = pick_some(
        "Steering vectors", list(names), "vectors", placeholder="none: choose one, or make one below",
        help="saved ones, those of runs (experiment/run/name), and those made here", at=left)  # fmt: skip
    unit, largest = "dose", "1"
    if chosen:
        unit = pick("Sliders in", list(_RANGES), "unit", help="a multiplier is raw: times the vector", at=middle)
        largest = pick("up to \u00b1", _RANGES[unit], f"range-{unit}", index=int(unit != "dose"), at=right)
    pushes = []
    for name in chosen:
        with errors_shown():
            pushes.append(_push(name, read_vector(name, names, loaded.model), loaded.model, unit, int(largest)))
    return tuple(push for push in pushes if push.strength != 0)


def _push(name: str, vector: SteeringVector, model: LanguageModel, unit: str, largest: int) -> Push:
    with st.container(border=True):
        first, second, third = st.columns([3, 4, 3])
        site = vector.site
        layer = slide(
            f"Layer of {name}", 0, model.n_layers - 1, f"layer-{name}", site.layer, 1,
            help=f"made at layer {site.layer}, {site.component}; length {vector.norm:.3g}", at=first)  # fmt: skip
        limit, step = float(largest), largest / 100
        strength = slide(
            f"{unit.capitalize()} of {name}", -limit, limit, f"{unit}-{name}", _START[unit] * limit, step,
            help=f"{_MEANS[unit].format(vector.norm)}; 0 switches it off", at=second)  # fmt: skip
        scope = pick("Tokens", list(SCOPES), f"scope-{name}", show=lambda scope: SCOPES[scope], at=third)
    return Push(name, layer, unit, strength, scope, digest(vector), vector)


def interventions_of(pushes: tuple[Push, ...]) -> list[Add]:
    """What the sliders say, as interventions."""

    def add(push: Push) -> Add:
        site = replace(push.vector.site, layer=push.layer)
        return Add(push.vector, **{push.unit: push.strength}, site=site, scope=push.scope)

    return list(map(add, pushes))
