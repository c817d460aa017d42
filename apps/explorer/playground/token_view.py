"""What was said, token by token: how sure the model was, and what steering changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from apps.explorer.playground.sides import Side, Sides
from workbench.models import LanguageModel
from workbench.views.charts import show
from workbench.views.choices import pick_one, slide, switch
from workbench.views.jobs import Job, computed
from workbench.views.model_cache import LoadedModel
from workbench.views.text import plain

_TOP = 10
_SURPRISE, _CHANGE = "surprise", "change by steering"
_HELP = {
    _SURPRISE: "Orange: tokens that the model did not expect (\u2212log probability, full colour at 5 nats).",
    _CHANGE: "Orange: tokens that steering makes likelier; blue: less likely (log ratio, full colour at 3 nats).",
}


def token_view(loaded: LoadedModel, sides: Sides) -> None:
    """Both completions coloured, the likeliest next tokens beside each other, and the table of it all."""
    found = computed("tokens", sides.stamp, "Reading probabilities", lambda job: _tables(loaded, sides, job))
    if found is None:
        return
    steered = len(sides.sides) > 1
    colour = pick_one("Colour", (_CHANGE, _SURPRISE), "colour", _CHANGE) if steered else _SURPRISE
    whole = switch("Show the prompt too", "whole")
    for column, side in zip(st.columns(len(sides.sides)), sides.sides, strict=True):
        with column:
            st.subheader(plain(side.name))
            st.html(_strip(found[side.name], colour, whole))
    st.caption(_HELP[colour] + " Hover a token for its numbers.")
    _next(found, sides)
    with st.expander("Numbers of every token"):
        for name, table in found.items():
            st.dataframe(table.drop(columns=["token"]), hide_index=True, key=f"numbers-{name}")


def _tables(loaded: LoadedModel, sides: Sides, job: Job) -> dict[str, pd.DataFrame]:
    """A table for each side, with the log-probability of its tokens under the other side's interventions."""
    from workbench.models.token_probabilities import token_probabilities

    with loaded.held_by(job) as model:
        found = {}
        for side in sides.sides:
            job.report(message=side.name)
            table = token_probabilities(model, side.prompt, side.completion, side.interventions, _TOP)
            for other in sides.sides:
                table[f"logprob {other.name}"] = (
                    table["logprob"] if other is side else _logprobs(model, side, other.interventions)
                )
            found[side.name] = table
        return found


def _logprobs(model: LanguageModel, side: Side, interventions: list[Any]) -> pd.Series[float]:
    from workbench.models.token_probabilities import token_probabilities

    return token_probabilities(model, side.prompt, side.completion, interventions, 1)["logprob"]


def _strip(table: pd.DataFrame, colour: str, whole: bool) -> str:
    from workbench.figures.token_strip import token_strip

    rows = table[table["part"].isin(["prompt", "completion"] if whole else ["completion"])]
    if rows.empty:
        return "<i>The model ended at once.</i>"
    if colour == _CHANGE:
        values, limit = (rows["logprob steered"] - rows["logprob unsteered"]).tolist(), 3.0
    else:
        values, limit = (-rows["logprob"]).tolist(), 5.0
    return token_strip(rows["text"].tolist(), values, [_note(row) for _, row in rows.iterrows()], limit)


def _note(row: pd.Series[Any]) -> str:
    if np.isnan(row["logprob"]):
        return "the first token: nothing predicts it"
    shares = [
        f"{name.removeprefix('logprob ')} p = {np.exp(row[name]):.3f}"
        for name in row.index
        if name.startswith("logprob ")
    ]
    others = [f"{text!r} {p:.2f}" for text, p in zip(row["top_texts"][:4], row["top_probabilities"][:4], strict=True)]
    return f"{row['text']!r}: {', '.join(shares)}; rank {row['rank']}; likeliest: {', '.join(others)}"


def _next(found: dict[str, pd.DataFrame], sides: Sides) -> None:
    from workbench.figures.token_probabilities import next_token_bars, probability_lines

    longest = min(len(side.completion) for side in sides.sides)
    left, right = st.columns([2, 3])
    with left:
        offset = slide("Next token after ... tokens of the completion", 0, longest, "offset", 0, 1) if longest else 0
        positions = {side.name: len(side.prompt) + offset for side in sides.sides}
        show(next_token_bars(found, positions), key="next-tokens")
        before = {found[side.name]["text"].iloc[positions[side.name] - 1] for side in sides.sides}
        st.caption(f"after {plain(' and '.join(map(repr, sorted(before))))}")
    with right:
        spoken = {name: table[table["part"] == "completion"] for name, table in found.items()}
        spoken = {name: table for name, table in spoken.items() if len(table)}
        if spoken:
            st.caption("Probability of each token of the completion, under the condition that it was said in")
            show(probability_lines(spoken), key="probabilities")
