"""What a goal-directedness run says first: behaviour, and what probes read before and after the reasoning."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from workbench.families import Table
from workbench.families.goal_directedness.figures.looks import MAPS, POSITIONS, probe_name
from workbench.figures.record import Record, Tables
from workbench.figures.style import look_in, words
from workbench.statistics import Interval

_BEHAVIOUR = ("success", "accuracy", "spl", "valid", "outside_mass", "entropy", "jsd", "ece")
_CAPTION = "95% intervals resample whole layouts"
_LEFT_OUT = "valid: share of readable answers; outside mass: of an exact agent's probability, what is no answer"


def report(record: Record) -> Iterator[Table]:
    """Behaviour by size, and the readings at the chosen layer."""
    tables = Tables(record)
    margins, chosen = tables.table("behaviour_margins"), tables.json("chosen")
    if margins is not None:
        yield Table("Mazes of all densities", _behaviour(margins), f"{_CAPTION}; {_LEFT_OUT}")
    if chosen is not None:
        note = "on held-out mazes; controls stand below what they control"
        yield Table(f"Probes at layer {chosen['layer']}", readings(tables, chosen["layer"]), f"{_CAPTION}; {note}")


def _behaviour(margins: pd.DataFrame) -> pd.DataFrame:
    """All mazes of each size, a row a player; sizes in turn."""
    part = margins[margins["size"].notna() & margins["density"].isna()]
    rows = []
    for (size, player), found in part.groupby(["size", "player"], sort=True):
        by = found.set_index("metric")
        rows.append({"size": f"{size:g}", "player": str(player)} | {m: _text(by, m) for m in _BEHAVIOUR})
    return pd.DataFrame(rows)


def readings(tables: Tables, layer: int) -> pd.DataFrame:
    """One row a reading and control, with the estimates and intervals before and after the reasoning."""
    rows: list[dict[str, str]] = []
    if (maps := tables.table("maps")) is not None:
        maps = maps[(maps["cell"] == "") & (maps["train"] == "all") & (maps["layer"] == layer)]
        maps = maps[maps["metric"].isin(["accuracy", "balanced_accuracy"])]
        for (metric, probe, control), part in maps.groupby(["metric", "probe", "control"], sort=True):
            rows.append(_reading(f"map {words(metric)}, {probe_name(probe)}", control, part))
    if (plans := tables.table("plans")) is not None:
        plans = plans[(plans["prefix"] == 1) & (plans["padding"] == "with") & (plans["layer"] == layer)]
        for (decoder, control), part in plans.groupby(["decoder", "control"], sort=True):
            kind = f"decoder with {decoder} layer{'s' * (decoder > 1)}" if decoder else "linear"
            rows.append(_reading(f"next move, {kind}", control, part))
    if (actions := tables.table("decoded_actions")) is not None:
        for (metric, kind), part in actions.groupby(["metric", "map"], sort=True):
            rows.append(_reading(f"moves against a map: {words(metric)}", look_in(MAPS, kind).name, part))
    names = list(dict.fromkeys(row["reading"] for row in rows))
    rows.sort(key=lambda row: (names.index(row["reading"]), row["control"] != ""))  # controls below their probe
    return pd.DataFrame(rows)


def _reading(name: str, control: str, part: pd.DataFrame) -> dict[str, str]:
    by = part.drop_duplicates("position").set_index("position")
    row = {"reading": name, "control": "" if control == "none" else words(control)}
    return row | {look.name: _text(by, position) for position, look in POSITIONS.items()}


def _text(rows: pd.DataFrame, key: str) -> str:
    return Interval.of(rows.loc[key]).text() if key in rows.index else ""
