"""Views into the model: logit lens, attention patterns, scores of a direction or a probe, principal components."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from apps.explorer.playground.sides import Side, Sides
from workbench.labels import SINK
from workbench.models import LanguageModel
from workbench.sites import Site
from workbench.views.charts import show
from workbench.views.choices import pick, pick_one, slide, switch, window
from workbench.views.jobs import Job, computed
from workbench.views.model_cache import LoadedModel
from workbench.views.text import plain

_MEASURES = {
    "probability": "probability of the top token", "next_probability": "probability of the token that follows",
    "entropy": "entropy", "kl": "distance from the model's output (KL)",
}  # fmt: skip
_LENS = "In each cell the token that the model would say next if it ended at this layer; hover for more."
_ATTENTION = (
    "Rows are the tokens that look, columns those that are looked at. Tokens outside the stretch are not shown."
)
_SINKS = (
    "positions that take up attention which is not needed elsewhere; many times as long as all others, they say nothing"
    " about the text"
)


def lens_view(loaded: LoadedModel, sides: Sides) -> None:
    """Layer by token: what the model would say if it stopped there."""
    from workbench.figures.logit_lens import logit_lens_heatmap
    from workbench.figures.token_strip import sink_note

    measure = pick("Colour", list(_MEASURES), "measure", show=_MEASURES.__getitem__)
    found = computed("lens", sides.stamp, "Reading every layer", lambda job: _lens(loaded, sides, job))
    if found is None:
        return
    marked: set[int] = set()
    for side, first, last in _stretches(sides, width=14):
        st.subheader(plain(side.name))
        table = found[side.name]
        shown = table[table["position"].between(first, last)]
        marked |= set(shown.loc[shown[SINK], "position"])
        show(logit_lens_heatmap(shown, measure), key=f"lens-{side.name}")
    st.caption(f"{_LENS} {plain(sink_note(marked))}")


def _lens(loaded: LoadedModel, sides: Sides, job: Job) -> dict[str, pd.DataFrame]:
    from workbench.activations.logit_lens import logit_lens

    found = {}
    with loaded.held_by(job) as model:
        for number, side in enumerate(sides.sides):
            job.report(done=number, total=len(sides.sides), message=side.name)
            found[side.name] = logit_lens(model, side.prompt, side.completion, side.interventions)
    return found


def attention_view(loaded: LoadedModel, sides: Sides) -> None:
    """Which earlier tokens each head looks at, read through the transformer_lens back end."""
    from workbench.figures.attention import attention_heatmaps
    from workbench.figures.token_strip import sink_note

    model = loaded.model
    left, right = st.columns(2)
    layer = slide("Layer", 0, model.n_layers - 1, "attention-layer", model.n_layers // 2, 1, at=left)
    heads = ["all", *map(str, range(int(model.config.num_attention_heads)))]
    head = pick("Head", heads, "head", at=right)
    found = computed(
        "attention", (sides.stamp, layer), "Reading attention", lambda job: _patterns(loaded, sides, layer, job)
    )
    if found is None:
        return
    shown: set[int] = set()
    for side, first, last in _stretches(sides, width=24):
        st.subheader(plain(side.name))
        weights, texts, sinks = found[side.name]
        part = slice(first, last + 1)
        marked = [place - first for place in sinks if first <= place <= last]
        shown |= set(marked)
        chosen = None if head == "all" else [int(head)]
        figure = attention_heatmaps(weights[:, part, part], texts[part], chosen, sinks=marked)
        show(figure, key=f"attention-{side.name}")
    st.caption(f"{_ATTENTION} {plain(sink_note(shown))}")


def _patterns(loaded: LoadedModel, sides: Sides, layer: int, job: Job) -> dict[str, Any]:
    from workbench.models.continuations import as_generated
    from workbench.models.sinks import sinks_in
    from workbench.models.token_probabilities import token_texts

    site, found = Site(layer, "attn.pattern"), {}
    with loaded.held_by(job):
        job.report(message="(preparing TransformerLens)")
        model = loaded.behind("transformer_lens")
        for side in sides.sides:
            job.report(message=side.name)
            given = as_generated(side.interventions, len(side.prompt))
            tokens = side.prompt + side.completion
            weights = model.forward([tokens], [site], given).activations[site][0]
            sinks = sinks_in(loaded.model, [tokens], given)[0]
            found[side.name] = (weights.float().cpu().numpy(), token_texts(model, tokens), sinks)
    return found


def component_view(loaded: LoadedModel, sides: Sides) -> None:
    """The tokens of both sides on the first two principal components of a layer."""
    from workbench.figures.components import component_scatter

    left, right = st.columns(2)
    layer = slide("Layer", 0, loaded.model.n_layers - 1, "pca-layer", loaded.model.n_layers // 2, 1, at=left)
    part = pick_one("Tokens", ("all", "completion"), "pca-tokens", "all", at=right)

    def read(job: Job) -> tuple[Any, pd.DataFrame]:
        with loaded.held_by(job) as model:
            return captured(model, sides, Site(layer))

    given = computed("pca-rows", (sides.stamp, layer), "Reading tokens", read)
    if given is None:
        return
    rows, table = given
    asked = (table["part"] == part) | (part == "all")
    kept = asked & ~choose_sinks(table[asked])
    found = computed(
        "pca", (sides.stamp, layer, tuple(kept)), "Finding components", lambda job: _components(rows, table, kept)
    )
    if found is not None:
        points, explained = found
        show(component_scatter(points, explained, lines=part == "completion"), key="pca")


def _components(rows: Any, table: pd.DataFrame, kept: pd.Series[bool]) -> tuple[pd.DataFrame, list[float]]:
    """The kept tokens on their first two principal components, and what these explain."""
    from workbench.activations.components import principal_components

    found = principal_components(rows[kept.to_numpy().copy()])
    points = table[kept].assign(first=found.scores[:, 0].numpy(), second=found.scores[:, 1].numpy())
    return points, found.explained.tolist()


def choose_sinks(table: pd.DataFrame, how: str = "") -> pd.Series[bool]:
    """Which tokens are attention sinks that are to be left out; a line says which (and ``how``), a switch takes them
    in."""
    sinks = table[SINK]
    if not sinks.any() or switch("Attention sinks too", "keep-sinks", help=_SINKS):
        return sinks & False
    texts = ", ".join(repr(text) for text in dict.fromkeys(table.loc[sinks, "text"]))
    st.caption(plain(f"Left out: {sinks.sum()} of {len(table)} tokens that are attention sinks ({texts}){how}."))
    return sinks


def captured(model: LanguageModel, sides: Sides, site: Site) -> tuple[Any, pd.DataFrame]:
    """Activations [rows, d] of every token of every side, and what the rows are: their side, place, text and part, and
    whether they are attention sinks."""
    import torch

    from workbench.activations import capture
    from workbench.models.continuations import as_generated
    from workbench.models.token_probabilities import token_texts

    rows, tables = [], []
    for side in sides.sides:
        tokens = side.prompt + side.completion
        given = as_generated(side.interventions, len(side.prompt))
        found = capture(model, [tokens], site, "all", interventions=given)
        rows.append(found[site].float())
        sinks = found.labels[SINK].to_numpy() if SINK in found.labels else False
        parts = ["prompt"] * len(side.prompt) + ["completion"] * len(side.completion)
        texts = token_texts(model, tokens)
        tables.append(
            pd.DataFrame(
                {"condition": side.name, "position": range(len(tokens)), "text": texts, "part": parts, SINK: sinks}
            )
        )
    return torch.cat(rows), pd.concat(tables, ignore_index=True)


def _stretches(sides: Sides, width: int) -> list[tuple[Side, int, int]]:
    """The stretch of tokens to be shown of each side [first, last], chosen on one slider for both."""
    longest = max(len(side.prompt) + len(side.completion) for side in sides.sides)
    first, last = window("Tokens", longest, f"window-{width}", width)
    found = []
    for side in sides.sides:
        count = len(side.prompt) + len(side.completion)
        found.append((side, min(first, count - 1), min(last, count - 1)))
    return found
