"""What an internal-RL run says: the base, what its layers say and can be made to do, when codes switch, what was
learned by reinforcement, which gates failed, and what held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.views.tables import new_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from rich.console import Console

    from workbench.runs import RunRecord

__all__ = ["print_internal_rl"]

_CONTROLS = {"none": "probe", "untrained": "untrained model", "shuffled": "shuffled labels", "majority": "commonest",
             "bayes": "Bayes filter"}  # fmt: skip
_CONDITIONS = ("frozen", "forced", "co-trained", "compile")
_SWITCHES = {"f1": "F1, exact step", "f1_random": "random gate's", "f1_lead": "difference", "switches": "switches"}


def print_internal_rl(record: RunRecord, out: Console) -> None:
    """Print the tables of a finished run that say most; all of them are in its artifacts."""
    for name, table in (
        ("base", _base),
        ("beliefs", _beliefs),
        ("controllers", _controllers),
        ("discovery", _switches),
        ("final", _final),
        ("gates", _gates),
    ):
        if f"{name}.parquet" in record.artifacts:
            out.print(table(record.load_table(name)))
    out.print(
        "brackets: 95% intervals, over episodes, and over seeds and worlds after reinforcement; relative: success"
    )
    out.print("as a share of the expert's in the same worlds; random gate: as often open as the learned one")


def _base(rows: pd.DataFrame) -> Any:
    by, model = rows.set_index("measure"), rows["model"].iloc[0]
    table = new_table(f"base model without control ({model})", "loss, nats a move", "exact Bayes filter's", "gap",
                      "success, pretraining", "success, held-out")  # fmt: skip
    shown = ("nll", "bayes_nll", "gap", "uncontrolled_pretraining", "uncontrolled_held_out")
    table.add_row(*(_level(by, measure, 4 if measure == "gap" else 3) for measure in shown))
    return table


def _beliefs(rows: pd.DataFrame) -> Any:
    """A row a depth of the base itself; the second base, along its training, is in the run's tables."""
    rows = rows[(rows["model"] == "base") & (rows["measure"] == "accuracy")]
    shown = [control for control in _CONTROLS if (rows["control"] == control).any()]
    title = "which subgoal is in force? accuracy of linear probes"
    table = new_table(title, "residual stream after", *(_CONTROLS[control] for control in shown))
    for _, part in rows.groupby("layer"):
        by = part.drop_duplicates("control").set_index("control")
        table.add_row(_depth(part), *(_level(by, control) for control in shown))
    return table


def _controllers(rows: pd.DataFrame) -> Any:
    """Held-out success by depth, with the true subgoal as switch."""
    rows = rows[(rows["task"] == "held-out") & (rows["measure"] == "success")]
    title = "held-out success under low-rank controllers, the true subgoal as switch"
    table = new_table(title, "residual stream after", "supervised", "random ones", "none")
    for _, part in rows.groupby("layer"):
        by = part.set_index("control")
        table.add_row(_depth(part), *(_level(by, control) for control in ("supervised", "random", "none")))
    return table


def _depth(part: pd.DataFrame) -> str:
    layer = int(part["layer"].iloc[0])
    return "embedding" if layer == 0 else f"layer {layer - 1}"


def _switches(rows: pd.DataFrame) -> Any:
    """A row a discovery: do its switches fall on changes of the subgoal?"""
    table = new_table("switches beside true changes of the subgoal", "discovery", "seed", *_SWITCHES.values())
    place = {name: i for i, name in enumerate(_CONDITIONS)}
    rows = rows.sort_values("condition", key=lambda names: names.map(place), kind="stable")
    for (condition, seed), part in rows.groupby(["condition", "seed"], sort=False):
        by = part.set_index("measure")
        table.add_row(str(condition), str(seed), *(_level(by, measure, 2) for measure in _SWITCHES))
    return table


def _final(rows: pd.DataFrame) -> Any:
    tasks = list(dict.fromkeys(rows["task"]))
    columns = [f"{task}: {measure}" for task in tasks for measure in ("success", "relative")]
    table = new_table("after reinforcement", "method", "seeds", *columns)
    for method, part in rows.groupby("method", sort=False):
        cells = [
            _level(part[part["task"] == task].set_index("measure"), measure)
            for task in tasks
            for measure in ("success", "relative")
        ]
        table.add_row(str(method), str(part["seeds"].max()), *cells)
    return table


def _gates(rows: pd.DataFrame) -> Any:
    from workbench.families.internal_rl.figures.verdicts import GATES

    passed = int(rows["passed"].sum())
    columns = ("stage", "gate", "value", "bar", "", "measured on")
    table = new_table(f"gates between the stages: {passed} of {len(rows)} passed", *columns)
    for row in rows.itertuples():
        verdict = "[green]passed[/green]" if row.passed else "[red]failed[/red]"
        asks, side = GATES.get((row.stage, row.measure), (row.measure.replace("_", " "), ""))
        value = _numbers((row.value, row.low, row.high), 4 if abs(row.bar) < 0.01 else 3)
        table.add_row(row.stage, asks, value, f"{side} {row.bar:g}", verdict, str(row.where))
    return table


def _level(by: pd.DataFrame, key: str, digits: int = 3) -> str:
    if key not in by.index:
        return ""
    row = by.loc[key]
    return _numbers((row["estimate"], row["low"], row["high"]), digits)


def _numbers(numbers: Iterable[float], digits: int) -> str:
    """An estimate and its interval; nothing where there is none.

    >>> _numbers((0.5, 0.25, 0.75), 2), _numbers((0.5, float("nan"), float("nan")), 2)
    ('0.50 [0.25, 0.75]', '0.50')
    """
    estimate, low, high = (float(number) for number in numbers)
    if estimate != estimate:
        return ""
    text = f"{estimate:.{digits}f}"
    return text if low != low else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"
