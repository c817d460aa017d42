"""A concept-injection run in the explorer: every arm beside its controls, grids, shifts of logits, and the replies."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from workbench.families.family import View
from workbench.families.introspection.concept_injection.figures import METRICS, VECTORS
from workbench.families.introspection.concept_injection.report import report, with_controls
from workbench.families.introspection.concept_injection.scale import scale_of
from workbench.figures.record import Tables
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.views.choices import pick

_BESIDE = "Every measure at the chosen layer and dose; brackets: 95% intervals."
_LOGITS = (
    "Shifts of log p(yes) - log p(no) from no injection. A model that only leans to yes shifts as far on unrelated "
    "questions whose answer is no."
)
_INTENTION = "Nothing is injected here: the concept's vector is compared with what the model computes while it writes."
_VECTORS = (
    "norm: length of the concept's vector; residual_norm: typical length of the residual stream there (dose 1); "
    "others: mean cosine with the other concepts' vectors. Near 1 the list has one direction and no concepts."
)
_GRADES = ("success", "affirms", "names", "coherent", "logprob", "transcription", "yes_no", "judge_success")
_KEEP = {"all": "", "affirms": "affirms", "names the concept": "names", "detects and names": "success"}


def views() -> list[View]:
    """All tabs but the first."""
    return [
        View("Beside controls", ("protocols",), _BESIDE, report),
        View("Grids", ("grid_",), draw=_cells),
        View("Yes minus no", ("logits_",), _LOGITS),
        View("Intentional control", ("intention",), _INTENTION),
        View("Replies", draw=_replies),
        View("Vectors", caption=_VECTORS, draw=_vectors),
    ]


def _cells(run: RunRecord) -> None:
    """The numbers behind the grids."""
    if (table := Tables(run).table("results")) is None:
        return
    arms = [f"{p}/{a}" for p, a in dict.fromkeys(zip(table["protocol"], table["arm"], strict=True))]
    with st.expander("Numbers, of any arm and measure"):
        left, right = st.columns(2)
        chosen = pick("Arm", arms, key="arm", show=lambda name: words(name.replace("/", ", ")), at=left)
        protocol, _, arm = chosen.partition("/")
        part = table[(table["protocol"] == protocol) & (table["arm"] == arm)]
        metric = pick("Measure", list(dict.fromkeys(part["metric"])), key="metric", show=_metric, at=right)
        part = part[(part["metric"] == metric) & (part["vector"] == "concept")]
        cells = part[["layer", scale_of(part), "n"]].reset_index(drop=True).join(with_controls(part))
        st.dataframe(cells, hide_index=True, key="cells")


def _metric(name: str) -> str:
    return METRICS.get(name, words(name))


def _replies(run: RunRecord) -> None:
    """What the model wrote in one cell, beside what it wrote with the same seed and no injection."""
    scopes: Any = Tables(run).json("scopes") or []
    asked = {f"{each['protocol']}/{each['arm']}": str(each["text"]) for each in scopes}
    kinds = {name.partition("/")[0] for name in asked}
    cells = [step for step in run.steps() if step.rpartition("-")[0] in kinds]
    protocols = list(dict.fromkeys(step.rpartition("-")[0] for step in cells))
    if not protocols:
        st.info("This run kept no replies.")
        return
    one, two, three, four, five = st.columns(5)
    protocol = pick("Kind", protocols, key="kind", show=words, at=one)
    layers = [step.rpartition("-")[2] for step in cells if step.rpartition("-")[0] == protocol]
    layer = pick("Layer", layers, key="layer", show=lambda name: "no injection" if name == "none" else name,
                 index=min(1, len(layers) - 1), at=two)  # fmt: skip
    rows = run.read(f"{protocol}-{layer}")
    written = rows[rows["text"] != ""] if (rows["text"] != "").any() else rows
    arm = pick("Asked", list(dict.fromkeys(written["arm"])), key="asked", show=words, at=three)
    rows = written[written["arm"] == arm]
    vector = pick(
        "Vector", list(dict.fromkeys(rows["vector"])), key="vector", show=lambda name: VECTORS[name].name, at=four
    )
    rows = rows[rows["vector"] == vector]
    scale = scale_of(rows)
    strength = pick(scale.capitalize(), [f"{s:g}" for s in sorted(rows[scale].unique())], key="multiplier", at=five)
    rows = rows[rows[scale] == float(strength)]
    where = asked.get(f"{protocol}/{arm}")
    if where:
        st.caption(
            "Asked of the first concept; a vector is added over this text, and the reply where its scope goes on."
        )
        st.code(where.strip(), language=None, wrap_lines=True)
    _listed(rows, run.read(f"{protocol}-none") if f"{protocol}-none" in run.steps() else None)


def _listed(rows: pd.DataFrame, without: pd.DataFrame | None) -> None:
    """The replies with their grades."""
    keep = pick("Replies that", [name for name, grade in _KEEP.items() if not grade or grade in rows], key="keep")
    total = len(rows)
    if _KEEP[keep]:
        rows = rows[rows[_KEEP[keep]] == 1]
    st.caption(f"{len(rows)} of {total:d} replies")
    grades = [name for name in _GRADES if name in rows and rows[name].notna().any()]
    shown = rows[["concept", "trial", "text", *grades]].rename(columns={"text": "reply"})
    if without is not None and (rows["vector"] != "none").any():
        plain = without[(without["vector"] == "none") & without["arm"].isin(rows["arm"])]
        plain = plain[["concept", "trial", "text"]].rename(columns={"text": "without injection"})
        shown = shown.merge(plain, on=["concept", "trial"], how="left")
    st.dataframe(shown, hide_index=True, key="replies", height=420)


def _vectors(run: RunRecord) -> None:
    """How large the vectors are beside the residual stream, and how much they are one and the same direction."""
    if "vectors.parquet" not in run.artifacts:
        st.info("This run has no table of vectors.")
        return
    table = run.load_table("vectors")
    layer = pick("Layer", [str(each) for each in sorted(table["layer"].unique())], key="vectors_layer")
    st.dataframe(table[table["layer"] == int(layer)], hide_index=True, key="vectors")
