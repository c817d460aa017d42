"""What a probe sweep says: the best site of each probe beside its controls there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.views.tables import new_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from workbench.runs import RunRecord

__all__ = ["print_sweep"]

_MOST = 60
_KEY = ["model", "target", "position", "probe", "params", "seed"]


def print_sweep(record: RunRecord, out: Console) -> None:
    """Print, for each target and probe, the site with the best score, and how many cells are finished."""
    rows = record.rows()
    if not len(rows):
        out.print("no cell is finished yet")
        return
    failed = rows[rows["status"] == "failed"]
    good = rows[rows["status"] == "ok"]
    for _, part in good.groupby("task", sort=False) if len(good) else ():
        out.print(_best(part))
    if len(good):
        out.print("best site: chosen by the score that is shown, so that is a little high; brackets: 95% intervals;")
        out.print("vs: probe minus control on the same rows. All sites and scores are in the run's rows.")
    total = record.status.total
    out.print(f"{rows['cell'].nunique()} cells finished, {len(failed)} failed" + _of(total, len(record.steps())))
    for row in failed.head(5).itertuples():
        out.print(f"failed: {row.cell}: {row.error}", markup=False, soft_wrap=True)


def _of(total: int | None, done: int) -> str:
    return f", {total - done} of {total} steps are left" if total and total > done else ""


def _best(part: pd.DataFrame) -> Any:
    from workbench.families.probe_sweep.figures import main_metric

    metric = main_metric(part)
    part = part[(part["metric"] == metric) & (part["label"] == "")]
    controls = [name for name in dict.fromkeys(part["control"]) if name != "none"]
    probe = part[part["control"] == "none"]
    best = probe.loc[probe.groupby(_KEY, sort=False)["estimate"].idxmax()]
    shown = metric.replace("_", " ")
    names = ("model", "target", "position", "probe", "best site", shown)
    table = new_table(f"{shown} at the best site", *names, *(f"vs {name.replace('_', ' ')}" for name in controls))
    for row in best.head(_MOST).to_dict("records"):
        rows = part[part["cell"] == row["cell"]].set_index("control")
        site = f"{row['layer']}.{row['component']}"
        params = "" if row["params"] == "{}" else " " + row["params"].strip("{}").replace('"', "").replace(": ", " ")
        seeds = f", seed {row['seed']}" if part["seed"].nunique() > 1 else ""
        changes = [_change(rows.loc[name]) if name in rows.index else "" for name in controls]
        name = f"{row['probe']}{params}{seeds}"
        table.add_row(row["model"], row["target"], row["position"], name, site, _level(row), *changes)
    if len(best) > _MOST:
        table.caption = f"the first {_MOST} of {len(best)}"
    return table


def _level(row: Any) -> str:
    return f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _change(row: Any) -> str:
    return f"{row['difference']:+.2f} [{row['difference_low']:+.2f}, {row['difference_high']:+.2f}]"
