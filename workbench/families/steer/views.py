"""The tabs of a steering run's page."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import streamlit as st

from workbench.families import View
from workbench.families.context import Context
from workbench.families.steer.measures import COHERENCE
from workbench.families.steer.spec import SteerSpec
from workbench.families.steer.summary import all_rows
from workbench.runs import RunRecord
from workbench.spec_files import validated
from workbench.views.choices import pick
from workbench.views.text import plain

_ROW = 56  # pixels: two lines
_OTHERS = {"unsteered": "unsteered", "prompt": "sentence in front", "matched": "vector at the sentence's damage"}


def views() -> tuple[View, ...]:
    """The dose-response curves, what an effect costs, the layers, and what the model says in each cell."""
    return (
        View("Doses", ("doses",), "What a dose does and costs, by layer, beside the controls."),
        View("Trade-off", ("tradeoff",), "Effect against damage: compare at equal KL."),
        View("Layers", ("layers",), "Which layers tell held-out pairs apart."),
        View("Replies", draw=replies),
    )


def replies(run: RunRecord) -> None:
    """What the model says to one prompt: unsteered, with a sentence in front, and at every dose of a layer."""
    rows = all_rows(Context(validated(SteerSpec, run.spec, "this run's spec"), run))
    said = rows[(rows["measure"] == COHERENCE) & rows["text"].notna()] if len(rows) else rows
    if said.empty or "prompts.json" not in run.artifacts:
        st.info("This run is not finished: it has no replies to show yet.")
        return
    prompts = run.read_json("prompts")
    first, second = st.columns([1, 3])
    chosen = run.read_json("chosen")
    layers = [str(layer) for layer in sorted(set(said.loc[said["method"] == "vector", "layer"]))]
    start = layers.index(str(chosen["layer"]))
    layer = pick("Layer", layers[start:] + layers[:start], key="layer", at=first)
    numbers = [str(number) for number in sorted(set(said["item"]))]
    item = pick("Prompt", numbers, key="prompt", show=lambda k: plain(_shown(prompts[int(k)])), at=second)
    table = pd.DataFrame(_rows(said[said["item"] == int(item)], int(layer)))
    height = 40 + _ROW * len(table)  # all of them, to be read side by side
    st.dataframe(table, hide_index=True, width="stretch", row_height=_ROW, height=height)
    st.caption("coherence: the unsteered model's mean log-probability of a token of the reply (nats)")


def _rows(said: pd.DataFrame, layer: int) -> Iterator[dict[str, object]]:
    at = said[(said["method"] == "vector") & (said["layer"] == layer)].sort_values("dose")
    others = said[said["method"].isin(list(_OTHERS))]
    for row in pd.concat([others, at]).itertuples():
        label = f"dose {row.dose:+.2g}" if row.method == "vector" else _OTHERS[row.method]
        side = f", {row.side}" if row.side and row.method != "vector" else ""
        yield {"condition": label + side, "reply": row.text, "coherence": f"{row.value:.2f}"}


def _shown(prompt: object) -> str:
    return prompt if isinstance(prompt, str) else str(prompt[-1]["content"])  # type: ignore[index]
