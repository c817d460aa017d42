"""The gates, their order and which failure is named, on rows that are written by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.spec import PRESETS
from workbench.families.internal_rl.summary import BARS, gates
from workbench.runs import RunFolder

GOOD = {"f1_lead": 0.9, "decode_segment_1": 0.95, "decode_segment_2": 0.8, "compose_held_out_scaled": 0.3}


def rows(labels: dict, measures: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame([labels | {"measure": m, "estimate": v, "low": v, "high": v} for m, v in measures.items()])


@pytest.fixture
def judged(tmp_path: Path):
    def judge(gap: float = 0.01, oracle: float = 0.7, seeds: tuple[dict, ...] = (GOOD,)) -> pd.DataFrame:
        with RunFolder.open(tmp_path, "internal-rl", {"case": str((gap, oracle, seeds))}) as folder:
            folder.write("base", rows({"model": "m"}, {"gap": gap, "uncontrolled_held_out": 0.0}))
            for depth, control, value in ((0, "supervised", 0.1), (1, "supervised", oracle), (2, "random", 0.99)):
                labels = {"site": f"s{depth}", "layer": depth, "control": control, "task": "held-out"}
                folder.write(f"controllers-{depth}", rows(labels, {"success": value, "solvable": 1.0}))
            for seed, measures in enumerate(seeds):
                labels = {"condition": "frozen", "seed": seed, "alpha": 0.1}
                folder.write(f"discovery-frozen-{seed}", rows(labels, measures))
            other = rows({"condition": "forced", "seed": 0, "alpha": 0.1}, dict.fromkeys(GOOD, 0.0))
            folder.write("discovery-forced-0", other)
            return gates(InternalRLRun(PRESETS["smoke"], folder))

    return judge


def test_all_gates_open_in_their_order(judged) -> None:
    table = judged()
    assert list(zip(table["stage"], table["measure"], strict=True)) == list(BARS)
    assert table["passed"].all() and table["where"].tolist()[2:4] == ["s1", "seed 0"]
    assert table.set_index("measure").loc["decode_segment", "value"] == 0.8  # the worst segment


def test_each_gate_can_fail_alone(judged) -> None:
    for name, case in {
        "gap": {"gap": 0.021},
        "held-out success": {"oracle": 0.49},
        "f1_lead": {"seeds": (GOOD | {"f1_lead": 0.3},)},
        "decode_segment": {"seeds": (GOOD | {"decode_segment_2": 0.5},)},
        "compose_held_out_scaled": {"seeds": (GOOD | {"compose_held_out_scaled": float("nan")},)},
    }.items():
        table = judged(**case)
        assert table.loc[~table["passed"], "measure"].tolist() == [name]


def test_discovery_is_judged_on_the_seed_that_comes_nearest(judged) -> None:
    bad = GOOD | {"compose_held_out_scaled": 0.0}
    table = judged(seeds=(bad, GOOD, bad | {"f1_lead": 0.0}))
    assert table["passed"].all() and table["where"].iloc[-1] == "seed 1"


def test_a_run_without_rows_has_no_gates(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, "internal-rl", {}) as folder:
        assert not len(gates(InternalRLRun(PRESETS["smoke"], folder)))
