"""What a finished run says, printed from its tables alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from workbench.families import families
from workbench.families.claims import read_claims
from workbench.families.internal_rl.views.report import print_internal_rl
from workbench.families.introspection.views.concept_report import print_concept_injection
from workbench.families.introspection.views.self_prediction_report import print_self_prediction
from workbench.families.probe_sweep.views.report import print_sweep
from workbench.views.tables import new_table, orderings_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from workbench.runs import RunRecord

__all__ = ["REPORTS", "print_report"]

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


def print_report(record: RunRecord, out: Console) -> None:
    """Print a run's results, as its experiment shows them, and where the files are."""
    table, report = REPORTS.get(record.experiment, ("", None))
    if record.experiment in families():
        _print_tables(record, out)
    elif report and f"{table}.parquet" in record.artifacts:
        report(record, out)
    out.print(f"tables and vectors: {record.path / 'artifacts'}", markup=False, soft_wrap=True)


def _print_tables(record: RunRecord, out: Console) -> None:
    """The tables that the family says, and its claims."""
    for table in families()[record.experiment].report(record):
        shown = new_table(table.title, *map(str, table.frame.columns))
        for row in table.frame.astype(str).itertuples(index=False):
            shown.add_row(*(escape(cell) for cell in row))
        out.print(shown)
        if table.caption:
            out.print(table.caption, markup=False)
            out.print()
    claims = read_claims(record)
    if claims is not None:
        several = {"on": "rendering"} if (claims["on"] != "").any() else {}
        out.print(orderings_table(claims.rename(columns={"claim": "ordering"} | several)))


def _east(record: RunRecord, out: Console) -> None:
    results, chosen = record.load_table("results"), record.read_json("chosen")
    for rendering, choice in chosen.items():
        part = results[(results["set"] == "test") & (results["rendering"] == rendering)]
        out.print(_conditions(part, rendering, choice, narrow=out.width < 105))
    out.print("difference: in entropy from the unsteered agent, same prompts and seeds; brackets: 95% intervals;")
    out.print("dose: length of the added vector as a share of the residual stream's; valid: completions that parse")
    out.print()
    out.print(orderings_table(record.load_table("orderings")))


def _conditions(part: pd.DataFrame, rendering: str, choice: dict[str, Any], narrow: bool) -> Any:
    """The chosen multiplier and every control and baseline on the test prompts."""
    layer, multiplier = choice["layer"], choice["multiplier"]
    title = f"{rendering}: chosen layer {layer}, multiplier {multiplier:g}"
    table = new_table(title, "condition", "dose", "entropy (nats)", "difference", "valid", numbers="dose")
    shown = part[(part["layer"] < 0) | (part["multiplier"] == multiplier)]
    order = {method: place for place, method in enumerate(_METHODS)}
    groups = [
        (key, rows.set_index("metric")) for key, rows in shown.groupby(["method", "source", "temperature", "top_p"])
    ]
    groups.sort(key=lambda group: (order.get(group[0][0], len(order)), group[0][1] != rendering))
    for key, rows in groups:
        entropy, valid = rows.loc["entropy"], rows.loc["valid"]
        dose = f"{entropy['dose']:.2f}" if entropy["dose"] else ""
        change = "" if key[0] == "unsteered" else _change(entropy)
        parses = f"{valid['estimate']:.2f}" if narrow else _level(valid)
        table.add_row(_label(key, rendering, multiplier), dose, _level(entropy), change, parses)
    return table


def _label(key: Any, rendering: str, multiplier: float) -> str:
    method, source, temperature, top_p = key
    label = _METHODS.get(method, method)
    if method == "temperature":
        return f"{label} {temperature:g}"
    if method == "top_p":
        return f"{label} {top_p:g}"
    if method == "east":
        return f"{label} x{multiplier:g}" + ("" if source == rendering else f", vector from {source}")
    return label


def _level(row: pd.Series[Any]) -> str:
    return f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _change(row: pd.Series[Any]) -> str:
    return f"{row['difference']:+.2f} [{row['difference_low']:+.2f}, {row['difference_high']:+.2f}]"


# experiment -> the table it needs, and how its results are printed; another family is one line here.
REPORTS: dict[str, tuple[str, Callable[[RunRecord, Console], None]]] = {
    "concept-injection": ("held_out", print_concept_injection),
    "east": ("results", _east),
    "internal-rl": ("orderings", print_internal_rl),
    "self-prediction": ("orderings", print_self_prediction),
    "sweep": ("results", print_sweep),
}
