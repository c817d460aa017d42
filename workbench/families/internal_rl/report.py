"""What an internal-RL run says: the base, what its layers say and can be made to do, when codes switch, what was
learned by reinforcement, and which gates failed."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from workbench.families import Table
from workbench.families.internal_rl.spec import CONDITIONS
from workbench.families.internal_rl.summary import ASKS
from workbench.figures.record import Record
from workbench.statistics import Interval

_CONTROLS = {"none": "probe", "untrained": "untrained model", "shuffled": "shuffled labels", "majority": "commonest",
             "bayes": "Bayes filter"}  # fmt: skip
_STEERED = {"supervised": "supervised", "random": "random ones", "none": "none"}
_SWITCHES = {"f1": "F1, exact step", "f1_random": "random gate's", "f1_lead": "difference", "switches": "switches"}
_LOSSES = {
    "nll": "loss, nats a move",
    "bayes_nll": "exact Bayes filter's",
    "gap": "gap",
    "uncontrolled_pretraining": "success, pretraining",
    "uncontrolled_held_out": "success, held-out",
}


def report(record: Record) -> Iterator[Table]:
    """The tables that say most, of what the run has; brackets are 95% intervals, over episodes."""
    for name, make in (
        ("base", _base), ("beliefs", _beliefs), ("controllers", _controllers), ("discovery", _switches),
        ("final", final_table), ("gates", gate_table),
    ):  # fmt: skip
        if f"{name}.parquet" in record.artifacts:
            yield make(record.load_table(name))


def _base(rows: pd.DataFrame) -> Table:
    model = str(rows["model"].iloc[0])
    return Table(f"base model without control ({model})", pd.DataFrame([_cells(rows, "measure", _LOSSES)]))


def _beliefs(rows: pd.DataFrame) -> Table:
    """A row a depth of the base itself; the second base, along its training, is in the run's tables."""
    rows = rows[(rows["model"] == "base") & (rows["measure"] == "accuracy")]
    shown = {control: name for control, name in _CONTROLS.items() if (rows["control"] == control).any()}
    return Table("which subgoal is in force? accuracy of linear probes", _by_depth(rows, shown))


def _controllers(rows: pd.DataFrame) -> Table:
    """Held-out success by depth, with the true subgoal as switch."""
    rows = rows[(rows["task"] == "held-out") & (rows["measure"] == "success")]
    title = "held-out success under low-rank controllers, the true subgoal as switch"
    return Table(title, _by_depth(rows, _STEERED))


def _by_depth(rows: pd.DataFrame, controls: dict[str, str]) -> pd.DataFrame:
    depths = ((f"layer {depth - 1}" if depth else "embedding", part) for depth, part in rows.groupby("layer"))
    return pd.DataFrame([{"residual stream after": at} | _cells(part, "control", controls) for at, part in depths])


def _switches(rows: pd.DataFrame) -> Table:
    """A row a discovery: do its switches fall on changes of the subgoal?"""
    place = {name: i for i, name in enumerate(CONDITIONS)}
    rows = rows.sort_values("condition", key=lambda names: names.map(place), kind="stable")
    found = [
        {"discovery": str(condition), "seed": str(seed)} | _cells(part, "measure", _SWITCHES, 2)
        for (condition, seed), part in rows.groupby(["condition", "seed"], sort=False)
    ]
    caption = "random gate: as often open as the learned one"
    return Table("switches beside true changes of the subgoal", pd.DataFrame(found), caption)


def final_table(rows: pd.DataFrame) -> Table:
    """A row a method, two columns a task."""
    found = []
    for method, part in rows.groupby("method", sort=False):
        cells = {"method": str(method), "seeds": str(part["seeds"].max())}
        for task in dict.fromkeys(rows["task"]):
            names = {measure: f"{task}: {measure}" for measure in ("success", "relative", "progress")}
            cells |= _cells(part[part["task"] == task], "measure", names)
        found.append(cells)
    caption = (
        "all methods in the same worlds, intervals over seeds and worlds; relative: success as a share of the expert's;"
        " progress: colours reached"
    )
    return Table("after reinforcement", pd.DataFrame(found), caption)


def gate_table(rows: pd.DataFrame) -> Table:
    """What every gate asks, and whether it was passed."""
    found = []
    for row in rows.rename(columns={"value": "estimate"}).itertuples():
        asks, side = ASKS.get((row.stage, row.measure), (row.measure.replace("_", " "), ""))
        value = Interval.of(row).text(4 if abs(row.bar) < 0.01 else 3)
        found.append({"passed": "yes" if row.passed else "no", "stage": row.stage, "gate": asks, "value": value,
                      "bar": f"{side} {row.bar:g}".strip(), "measured on": str(row.where)})  # fmt: skip
    title = f"gates between the stages: {int(rows['passed'].sum())} of {len(rows)} passed"
    caption = "in their order: what must hold before the next stage can mean anything; judged on the estimate"
    failed = next((f"{gate['stage']}, {gate['gate']}" for gate in found if gate["passed"] == "no"), "")
    caption += f"; the first that failed: {failed}" if failed else ""
    return Table(title, pd.DataFrame(found), caption)


def _cells(rows: pd.DataFrame, by: str, names: dict[str, str], digits: int = 3) -> dict[str, str]:
    """The estimates of one row of a table: under ``names[key]`` that of the row whose column ``by`` is the key."""
    found = rows.drop_duplicates(by).set_index(by)
    return {
        name: Interval.of(found.loc[key]).text(4 if key == "gap" else digits) if key in found.index else ""
        for key, name in names.items()
    }
