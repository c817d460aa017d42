"""A concept-injection run: what held, every arm beside its controls, grids, shifts of logits, and the replies."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from workbench.families.introspection.concept_injection.figures import METRICS, VECTORS
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.views.choices import pick, tabs
from workbench.views.family import figures, orderings, safely

__all__ = ["injection_view", "with_controls"]

_ORDERINGS = (
    "Orderings of the paper (arXiv 2601.01828) and its replications, on this model. Layer and strength were chosen "
)
_ORDERINGS += (
    "on every second concept; this is about the others. Held: the 95% interval of the difference lies above 0."
)
_BESIDE = ("none", "random", "shuffled", "perturbed")
_GRADES = ("success", "affirms", "names", "coherent", "transcription", "yes_no", "judge_success")
_KEEP = {"all": "", "affirms": "affirms", "names the concept": "names", "detects and names": "success"}


def injection_view(run: RunRecord) -> None:
    """All tabs of a finished run."""
    st.caption(f"{run.spec.get('model', 'model unknown')}, {run.spec.get('concepts', '?')} concepts")
    tabs(
        safely({
            "What held": lambda: orderings(run, _ORDERINGS),
            "Beside controls": lambda: _beside(run),
            "Grids": lambda: _grids(run),
            "Yes minus no": lambda: _with_note(run, "logits_figure", ("logits_",), _LOGITS),
            "Intentional control": lambda: _with_note(run, "intention_figure", ("intention",), _INTENTION),
            "Replies": lambda: _replies(run),
            "Vectors": lambda: _vectors(run),
        }),
        "view",
    )  # fmt: skip


_LOGITS = (
    "Shifts of log p(yes) - log p(no) from no injection. A model that only leans to yes shifts as far on unrelated "
)
_LOGITS += "questions whose answer is no."
_INTENTION = "Nothing is injected here: the concept's vector is compared with what the model computes while it writes."


def _with_note(run: RunRecord, key: str, kinds: tuple[str, ...], note: str) -> None:
    st.caption(note)
    figures(run, key, kinds)


def _beside(run: RunRecord) -> None:
    """Every arm at its cell, on the concepts that had no part in choosing it."""
    figures(run, "protocols_figure", ("protocols",))
    if "held_out.parquet" in run.artifacts:
        st.caption("Every measure at the chosen layer and strength; brackets: 95% intervals.")
        st.dataframe(with_controls(run.load_table("held_out")), hide_index=True, key="held_out")


def _grids(run: RunRecord) -> None:
    """A grid of layers and strengths with its controls, and the numbers behind it."""
    name = figures(run, "grid_figure", ("grid_",))
    if name is None or "results.parquet" not in run.artifacts:
        return
    table = run.load_table("results")
    arms = [f"{p}/{a}" for p, a in dict.fromkeys(zip(table["protocol"], table["arm"], strict=True))]
    with st.expander("Numbers, of any arm and measure"):
        left, right = st.columns(2)
        with left:
            protocol, _, arm = pick("Arm", arms, key="arm", show=lambda name: words(name.replace("/", ", "))).partition(
                "/"
            )
        part = table[(table["protocol"] == protocol) & (table["arm"] == arm)]
        with right:
            metric = pick("Measure", list(dict.fromkeys(part["metric"])), key="metric", show=_metric)
        part = part[(part["metric"] == metric) & (part["vector"] == "concept")]
        st.dataframe(with_controls(part), hide_index=True, key="cells")


def with_controls(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``results`` or ``held_out`` as text: the concept's vector, then each control, with their intervals."""
    rows = []
    for row in table.to_dict("records"):
        found = {"arm": f"{words(row['protocol'])}, {words(row['arm'])}", "measure": _metric(row["metric"])}
        found |= {"layer": str(row["layer"]), "strength": f"{row['strength']:g}"}
        found[VECTORS["concept"].name] = _level(row["estimate"], row["low"], row["high"])
        for kind in _BESIDE:
            found[VECTORS[kind].name] = _level(row[kind], row[f"{kind}_low"], row[f"{kind}_high"])
        found["over no injection"] = _level(row["over_none"], row["over_none_low"], row["over_none_high"], "+")
        rows.append(found | {"replies": int(row["n"])})
    return pd.DataFrame(rows)


def _level(estimate: float, low: float, high: float, sign: str = "") -> str:
    return "" if pd.isna(estimate) else f"{estimate:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def _metric(name: str) -> str:
    return METRICS.get(name, words(name))


def _replies(run: RunRecord) -> None:
    """What the model wrote in one cell, beside what it wrote with the same seed and no injection."""
    asked = {f"{each['protocol']}/{each['arm']}": str(each["text"]) for each in _scopes(run)}
    cells = [unit for unit in run.steps() if unit.rpartition("-")[0] in {name.partition("/")[0] for name in asked}]
    protocols = list(dict.fromkeys(unit.rpartition("-")[0] for unit in cells))
    if not protocols:
        st.info("This run kept no replies.")
        return
    one, two, three, four, five = st.columns(5)
    with one:
        protocol = pick("Kind", protocols, key="kind", show=words)
    layers = [unit.rpartition("-")[2] for unit in cells if unit.rpartition("-")[0] == protocol]
    with two:
        layer = pick("Layer", layers, key="layer", show=lambda name: "no injection" if name == "none" else name,
                     index=min(1, len(layers) - 1))  # fmt: skip
    rows = run.read(f"{protocol}-{layer}")
    written = rows[rows["text"] != ""] if (rows["text"] != "").any() else rows
    with three:
        arm = pick("Asked", list(dict.fromkeys(written["arm"])), key="asked", show=words)
    rows = written[written["arm"] == arm]
    with four:
        vector = pick("Vector", list(dict.fromkeys(rows["vector"])), key="vector", show=lambda name: VECTORS[name].name)
    rows = rows[rows["vector"] == vector]
    with five:
        strength = pick("Strength", [f"{s:g}" for s in sorted(rows["strength"].unique())], key="strength")
    rows = rows[rows["strength"] == float(strength)]
    where = asked.get(f"{protocol}/{arm}")
    if where:
        st.caption(
            "Asked of the first concept; a vector is added over this text, and the reply where its scope goes on."
        )
        st.code(where.strip(), language=None, wrap_lines=True)
    _listed(rows, run.read(f"{protocol}-none") if f"{protocol}-none" in run.steps() else None)


def _scopes(run: RunRecord) -> list[dict[str, Any]]:
    found: Any = run.read_json("scopes") if "scopes.json" in run.artifacts else []
    return list(found)


def _listed(rows: pd.DataFrame, without: pd.DataFrame | None) -> None:
    """The replies with their grades."""
    keep = pick("Replies that", [name for name, grade in _KEEP.items() if not grade or grade in rows], key="keep")
    total = len(rows)
    if _KEEP[keep]:
        rows = rows[rows[_KEEP[keep]] == 1]
    st.caption(f"{len(rows)} of {total} replies")
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
    st.caption(
        "norm: length of the concept's vector; residual_norm: mean length of the residual stream there; others: mean "
        "cosine with the other concepts' vectors. Near 1 the list has one direction and no concepts."
    )
    table = run.load_table("vectors")
    layer = pick("Layer", [str(each) for each in sorted(table["layer"].unique())], key="vectors_layer")
    st.dataframe(table[table["layer"] == int(layer)], hide_index=True, key="vectors")
