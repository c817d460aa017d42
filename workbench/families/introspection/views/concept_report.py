"""What a concept-injection run says: every arm at its chosen cell beside its controls, and what held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.views.tables import new_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from workbench.runs import RunRecord

__all__ = ["print_concept_injection"]

_METRICS = {"success": "detects and names", "yes_no": "yes minus no, nats", "says_yes": "yes likelier than no"}
_CONTROLS = {"none": "no injection", "random": "random", "shuffled": "shuffled", "perturbed": "odd input"}


def print_concept_injection(record: RunRecord, out: Console) -> None:
    """Print the tables of a finished run that say most; all of them are in its artifacts."""
    for (protocol, arm), rows in record.load_table("held_out").groupby(["protocol", "arm"], sort=False):
        out.print(_of_arm(f"{protocol}, {arm}".replace("_", "-"), rows))
    out.print("cells (layer, strength) were chosen on every second concept and are shown for the others;")
    out.print("brackets: 95% intervals, Wilson for rates, over concepts for the rest; the grid is in the table results")


def _of_arm(name: str, rows: pd.DataFrame) -> Any:
    """A row a metric, at the arm's cell: the concept's vector and every control that was run."""
    records = rows.to_dict("records")
    shown = {each: label for each, label in _CONTROLS.items() if rows[each].notna().any()}
    title = f"{name} (layer {records[0]['layer']}, strength {records[0]['strength']:g})"
    table = new_table(title, "metric", "concept", *shown.values())
    for row in records:
        metric = _METRICS.get(str(row["metric"]), str(row["metric"]).replace("_", " "))
        table.add_row(metric, _level(row, "estimate"), *(_level(row, each) for each in shown))
    return table


def _level(row: dict[str, Any], name: str) -> str:
    low, high = ("low", "high") if name == "estimate" else (f"{name}_low", f"{name}_high")
    if row[name] != row[name]:  # NaN: not run
        return ""
    return f"{row[name]:.2f} [{row[low]:.2f}, {row[high]:.2f}]"
