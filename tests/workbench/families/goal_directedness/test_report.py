"""The report of a run that an earlier version wrote, and ships: the tables' numbers, as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.families.claims import read_claims
from workbench.families.goal_directedness.figures import figures
from workbench.families.goal_directedness.report import report
from workbench.runs import RunFolder, load_run
from workbench.views.run_list import EXAMPLES


@pytest.fixture(scope="module")
def shipped():
    return load_run(EXAMPLES / "goal-directedness" / "small")


def test_the_shipped_run_is_reported_and_its_claims_are_read(shipped) -> None:
    behaviour, probes = report(shipped)
    table = shipped.load_table("behaviour_margins")
    row = table[(table["player"] == "direct") & (table["size"] == 7) & (table["metric"] == "spl")].iloc[0]
    shown = behaviour.frame.set_index(["size", "player"]).loc[("7", "direct"), "spl"]
    assert shown == f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    assert probes.title == f"Probes at layer {shipped.read_json('chosen')['layer']}"
    assert not probes.frame.duplicated(["reading", "control"]).any()
    assert len(read_claims(shipped)) == len(shipped.load_table("orderings"))


def test_the_shipped_run_has_every_figure(shipped) -> None:
    assert {"behaviour_by_density", "map_cells", "plan_prefix", "causal_erasure", "example-1"} <= set(figures(shipped))


def test_a_run_without_tables_is_reported_by_nothing(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, "goal-directedness", {"seed": 0}) as folder:
        assert list(report(folder)) == []
