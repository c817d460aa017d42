"""Two runs side by side: where their specs differ, a table of both, a figure of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from workbench.families.page import draw, figure_names
from workbench.figures.style import words
from workbench.runs import RunRecord, load_run
from workbench.views.charts import show_figure
from workbench.views.choices import pick, switch, tabs
from workbench.views.run_list import name_of
from workbench.views.run_tables import read_table, show_table, table_names
from workbench.views.text import errors_shown, plain

_ABSENT = "\u2014"


def compare_runs(runs: pd.DataFrame) -> None:
    """Choose two runs and compare them."""
    paths = {name_of(run): str(run["path"]) for _, run in runs.iterrows() if run["status"] != "broken"}
    if len(paths) < 2:
        st.info("Comparing takes two runs that can be read.")
        return
    left, right = st.columns(2)
    first = pick("Run A", list(paths), key="a", at=left)
    others = [name for name in paths if name != first]
    family = [name for name in others if name.split("/")[0] == first.split("/")[0]]
    second = pick("Run B", family + [name for name in others if name not in family], key="b", at=right)
    both = {"A": load_run(paths[first]), "B": load_run(paths[second])}
    tabs({
        "Specs": lambda: _specs(both["A"], both["B"]), "Tables of both": lambda: _tables(both),
        "Figures of both": lambda: _figures(both),
    }, "compare")  # fmt: skip


def _specs(a: RunRecord, b: RunRecord) -> None:
    """Fields in a row, the runs as columns."""
    everything = switch("Equal fields too", "equal")
    sides = [{"status": run.status.state, **flat(run.spec), **_made(run)} for run in (a, b)]
    rows = [
        {"field": key, "A": sides[0].get(key, _ABSENT), "B": sides[1].get(key, _ABSENT)}
        for key in dict.fromkeys([*sides[0], *sides[1]])
    ]
    shown = [row for row in rows if everything or row["A"] != row["B"]]
    if not shown:
        st.info("The two runs have the same spec, code and model.")
        return
    st.dataframe(pd.DataFrame(shown), hide_index=True, key="spec-differences")


def flat(spec: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Fields with dotted names, values as JSON.

    >>> flat({"model": "m", "source": {"kind": "texts"}})
    {'model': '"m"', 'source.kind': '"texts"'}
    """
    found: dict[str, str] = {}
    for key, value in spec.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.dumps(value)
    return found


def _made(run: RunRecord) -> dict[str, str]:
    """What else can differ: the code and the weights."""
    git, model = (run.provenance.get(name) or {} for name in ("git", "model"))
    found = {"(commit)": str(git.get("commit", ""))[:12], "(model fingerprint)": str(model.get("fingerprint", ""))[:12]}
    return {key: value for key, value in found.items() if value}


def _tables(both: dict[str, RunRecord]) -> None:
    names = [name for name in table_names(both["A"]) if name in table_names(both["B"])]
    if not names:
        st.info("The two runs have no table of the same name.")
        return
    name = pick("Table", names, key="tables")
    _beside(both, lambda side, run: show_table(read_table(run, name), f"{run.name}-{name.split(' ')[-1]}", side))


def _figures(both: dict[str, RunRecord]) -> None:
    names = [name for name in figure_names(both["A"]) if name in figure_names(both["B"])]
    if not names:
        st.info("The two runs have no figure of the same name.")
        return
    name = pick("Figure", names, key="figures", show=words)
    _beside(both, lambda side, run: show_figure(draw(run, name), f"compare-{side}-{name}"))


def _beside(both: dict[str, RunRecord], show: Callable[[str, RunRecord], None]) -> None:
    for column, (side, run) in zip(st.columns(2), both.items(), strict=True):
        with column:
            st.markdown(f"**{plain(side)}**: {plain(run.experiment)}/{plain(run.name)}")
            with errors_shown():
                show(side, run)
