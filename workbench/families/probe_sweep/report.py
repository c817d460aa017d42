"""What a probe sweep says: the best site of each probe beside its controls there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families.family import Table
from workbench.families.probe_sweep.figures import main_metric
from workbench.figures.style import words
from workbench.runs import RunRecord
from workbench.statistics import Interval

_MOST, _FEW = 60, 5
_ON = "on "
_TEST_CAPTION = "best site: chosen in the source; no row of the test was fitted to. Brackets and vs as above."
_KEY = ["model", "target", "position", "probe", "params", "seed"]
_CAPTION = (
    "best site: chosen by the score that is shown, so that is a little high; brackets: 95% intervals;\n"
    "vs: probe minus control on the same rows. All sites and scores are in the run's rows."
)


def report(record: RunRecord) -> Iterator[Table]:
    """For each target and probe the site with the best score; how many cells are finished; the first that failed."""
    rows = record.rows()
    status = rows["status"] if len(rows) else pd.Series(dtype=str)
    for _, part in rows[status == "ok"].groupby("task", sort=False) if len(rows) else ():
        yield _best(part)
        tests = part.loc[part["label"].str.startswith(_ON), "label"]
        for test in dict.fromkeys(tests):
            yield _best(part, test)
    failed, done = int((status == "failed").sum()), len(record.steps())
    counts = {"finished": rows["cell"].nunique() if len(rows) else 0, "failed": failed}
    yield Table("cells", pd.DataFrame([counts | {"steps left": max(0, (record.status.total or done) - done)}]))
    if failed:
        yield Table("failed cells", rows.loc[status == "failed", ["cell", "error"]].head(_FEW))


def _best(part: pd.DataFrame, test: str = "") -> Table:
    """The sites that are best in the source itself, and what the probe scores there or on a test."""
    metric = main_metric(part)
    several = part["seed"].nunique() > 1
    part = part[part["metric"] == metric]
    probe = part[(part["control"] == "none") & (part["label"] == "")]
    best = probe.loc[probe.groupby(_KEY, sort=False)["estimate"].idxmax()]
    part = part[part["label"] == test]
    if test:
        best = part[(part["control"] == "none") & part["cell"].isin(best["cell"])]
    controls = [name for name in dict.fromkeys(part["control"]) if name != "none"]
    rows = [
        _row(row, part[part["cell"] == row["cell"]].set_index("control"), controls, several)
        for row in best.head(_MOST).to_dict("records")
    ]
    names = [
        "model",
        "target",
        "position",
        "probe",
        "best site",
        words(metric),
        *(f"vs {words(name)}" for name in controls),
    ]
    more = f"\nthe first {_MOST} of {len(best)}" if len(best) > _MOST else ""
    if test:
        title = f"{words(metric)} {test}, fitted to all rows of the source"
        return Table(title, pd.DataFrame(rows, columns=names), _TEST_CAPTION + more)
    return Table(f"{words(metric)} at the best site", pd.DataFrame(rows, columns=names), _CAPTION + more)


def _row(best: Any, scores: pd.DataFrame, controls: list[str], several: bool) -> list[str]:
    params = "" if best["params"] == "{}" else " " + best["params"].strip("{}").replace('"', "").replace(": ", " ")
    probe = f"{best['probe']}{params}" + (f", seed {best['seed']}" if several else "")
    changes = [
        Interval.of(scores.loc[name], "difference").text(2, "+") if name in scores.index else "" for name in controls
    ]
    site = f"{best['layer']}.{best['component']}"
    return [best["model"], best["target"], best["position"], probe, site, Interval.of(best).text(), *changes]
