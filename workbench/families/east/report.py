"""What an EAST run says first: the chosen dose beside every control, on prompts on which it was not chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families import Table
from workbench.figures.record import Record
from workbench.statistics import Interval

_METHODS = {
    "unsteered": "unsteered",
    "east": "EAST",
    "shuffled": "shuffled vector",
    "random": "random vector",
    "mean_difference": "mean-difference vector",
    "uncentred": "EAST without centring",
    "unweighted": "EAST without weights",
    "temperature": "temperature",
    "top_p": "top-p",
    "request": "asked to explore",
}
_CAPTION = (
    "difference: in entropy from the unsteered agent, same prompts and seeds; brackets: 95% intervals; dose: length of "
    "the added vector as a share of the residual stream's; valid: answers that parse (exact: probability on the arms); "
    "entropies are of equally many valid answers, and none is given where fewer than half are valid"
)


def report(record: Record) -> Iterator[Table]:
    """A table a rendering."""
    results, chosen = record.load_table("results"), record.read_json("chosen")
    for rendering, choice in chosen.items():
        part = results[(results["set"] == "test") & (results["rendering"] == rendering)]
        conditions = _conditions(part, rendering, choice["multiplier"])
        own = part[(part["method"] == "east") & (part["source"] == rendering)]
        dose = own.loc[own["multiplier"] == choice["multiplier"], "dose"].iloc[0]
        yield Table(f"{rendering}: chosen layer {choice['layer']}, dose {dose:.2f}", conditions, _CAPTION)


def _conditions(part: pd.DataFrame, rendering: str, multiplier: float) -> pd.DataFrame:
    shown = part[(part["layer"] < 0) | (part["multiplier"] == multiplier)]
    order = {method: place for place, method in enumerate(_METHODS)}
    groups = [
        (key, rows.set_index("metric")) for key, rows in shown.groupby(["method", "source", "temperature", "top_p"])
    ]
    groups.sort(key=lambda group: (order.get(group[0][0], len(order)), group[0][1] != rendering))
    found = []
    for key, rows in groups:
        entropy, valid = rows.loc["entropy"], rows.loc["valid"]
        change = "" if key[0] == "unsteered" else Interval.of(entropy, "difference").text(2, "+")
        found.append({
            "condition": _label(key, rendering), "dose": f"{entropy['dose']:.2f}" if entropy["dose"] else "",
            "entropy (nats)": Interval.of(entropy).text(), "difference": change, "valid": Interval.of(valid).text(),
        })  # fmt: skip
    return pd.DataFrame(found)


def _label(key: Any, rendering: str) -> str:
    method, source, temperature, top_p = key
    label = _METHODS.get(method, method)
    if method in ("temperature", "top_p"):
        return f"{label} {temperature if method == 'temperature' else top_p:g}"
    if method == "east" and source != rendering:
        return f"{label}, vector from {source}"
    return label
