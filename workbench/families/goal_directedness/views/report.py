"""What a goal-directedness run says: behaviour, what probes read before and after the reasoning, and what held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.views.tables import new_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from workbench.runs import RunRecord

__all__ = ["print_goal_directedness"]

_BEHAVIOUR = ("success", "accuracy", "spl", "entropy", "jsd", "ece")


def print_goal_directedness(record: RunRecord, out: Console) -> None:
    """Print the tables of a finished run that say most; all of them are in its artifacts."""
    out.print(_behaviour(record.load_table("behaviour_margins")))
    if "maps.parquet" in record.artifacts:
        layer = int(record.read_json("chosen")["layer"])
        out.print(_probes(record, layer))
    out.print("brackets: 95% intervals over layouts; post: after the reasoning; every control is in the run's tables")


def _behaviour(margins: pd.DataFrame) -> Any:
    """All mazes of each size, a row a player; sizes in turn."""
    table = new_table("mazes of all densities", "size", "player", *_BEHAVIOUR)
    part = margins[margins["size"].notna() & margins["density"].isna()]
    for (size, player), rows in part.groupby(["size", "player"], sort=True):
        cells = rows.set_index("metric")
        table.add_row(f"{size:g}", str(player), *(_level(cells, metric) for metric in _BEHAVIOUR))
    return table


def _probes(record: RunRecord, layer: int) -> Any:
    """The readings at the chosen layer, before and after the reasoning, beside what reads them without the model."""
    table = new_table(f"probes at layer {layer}", "reading", "control", "pre", "post")
    maps, plans, actions = (record.load_table(name) for name in ("maps", "plans", "decoded_actions"))
    maps = maps[(maps["metric"] == "accuracy") & (maps["cell"] == "") & (maps["layer"] == layer)]
    for (probe, control), rows in maps.groupby(["probe", "control"], sort=True):
        table.add_row(f"map accuracy, {probe}", _control(control), *_positions(rows))
    plans = plans[(plans["prefix"] == 1) & (plans["padding"] == "with")]
    for (decoder, control), rows in plans.groupby(["decoder", "control"], sort=True):
        name = f"next move, {decoder} decoder layers" if decoder else "next move, linear"
        table.add_row(name, _control(control), *_positions(rows))
    for (kind, metric), rows in actions[actions["metric"] != "solvable"].groupby(["map", "metric"], sort=True):
        table.add_row(f"actions: {metric}", f"on the {kind} map", *_positions(rows))
    return table


def _control(name: str) -> str:
    return "" if name == "none" else name


def _positions(rows: pd.DataFrame) -> list[str]:
    by = rows.drop_duplicates("position").set_index("position")
    return [_level(by, position) for position in ("pre", "post")]


def _level(rows: pd.DataFrame, key: str) -> str:
    if key not in rows.index:
        return ""
    row = rows.loc[key]
    return f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
