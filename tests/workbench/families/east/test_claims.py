"""EAST's claims on results in which each of them is planted, and on results in which it is not."""

from __future__ import annotations

import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.families.claims import judge
from workbench.families.east.claims import claims
from workbench.families.east.results import results_table
from workbench.families.east.spec import PRESETS
from workbench.families.east.steps import EastRun
from workbench.runs import RunFolder

RENDERINGS, LAYERS, DOSES = ("buttons", "slot_machines"), (2, 5), (0.1, 0.2, 0.4, 0.8)
SPEC = PRESETS["smoke"].model_copy(
    update={"layers": LAYERS, "doses": (0.0, *DOSES), "renderings": RENDERINGS, "exact": True}
)
HELD = {
    "entropy": lambda layer, dose: 0.1 + dose * (1.0 if layer == 2 else 0.5),
    "valid": lambda dose: 0.6 if dose > 0.4 else 1.0,
    "shuffled": 0.1,
    "transfer": 0.4,
    "temperature": 0.15,
}
# What is changed so that a claim, and it alone or among others, does not hold.
BROKEN = {
    "entropy rises with the dose": {"entropy": lambda layer, dose: 0.1},
    "then validity falls": {"valid": lambda dose: 1.0},
    "the shuffled vector is flat": {"shuffled": 0.5},
    "an interior layer is best": {"entropy": lambda layer, dose: 0.1 + 0.5 * dose * (layer - 2)},
    "vectors transfer between renderings": {"transfer": 0.1},
    "temperature is flat by comparison": {"temperature": 0.6},
}


def _rows(kind, rendering, method, entropy, valid=1.0, **where):
    at = {
        "layer": -1,
        "dose": 0.0,
        "multiplier": 0.0,
        "source": "",
        "temperature": 1.0,
        "top_p": 1.0,
        "draw": 0,
        "texts": "[]",
    } | where
    return [
        {"set": kind, "rendering": rendering, "method": method, "prompt": prompt, "episode": prompt // 2, **at,
         "entropy": entropy + 0.01 * (prompt % 3), "valid": valid - 0.001 * (prompt % 3),
         "outside_mass": 1 - valid + 0.001 * (prompt % 3)}
        for prompt in range(24)
    ]  # fmt: skip


def _run(folder, plant):
    """A run folder with the steps and the table that claims are judged by."""
    for r, other in (RENDERINGS, RENDERINGS[::-1]):
        for layer in LAYERS:
            rows = _rows("select", r, "unsteered", 0.1) if layer == LAYERS[0] else []
            for dose in DOSES:
                at = {"layer": layer, "dose": dose, "multiplier": 10 * dose, "source": r}
                rows += _rows("select", r, "east", plant["entropy"](layer, dose), plant["valid"](dose), **at)
            folder.write(f"grid-{r}-{layer}", pd.DataFrame(rows))
        rows = _rows("test", r, "unsteered", 0.1)
        rows += _rows("test", r, "temperature", plant["temperature"], temperature=1.5)
        for layer in LAYERS:
            for dose in DOSES:
                at = {"layer": layer, "dose": dose, "multiplier": 10 * dose}
                rows += _rows("test", r, "east", plant["entropy"](layer, dose), plant["valid"](dose), source=r, **at)
                rows += _rows("test", r, "shuffled", plant["shuffled"], source=r, **at)
                rows += _rows("test", r, "east", plant["transfer"], source=other, **at)
        folder.write(f"test-{r}", pd.DataFrame(rows))
    run = EastRun(SPEC, folder)
    folder.save_table("results", results_table(run.rows))
    return run


def _verdicts(tmp_path, **changes):
    with RunFolder.open(tmp_path, "east", SPEC) as folder:
        table = judge(claims(), _run(folder, HELD | changes))
    assert list(table["on"]) == [*RENDERINGS] * len(claims())
    return table.groupby("claim", sort=False)["held"].agg(["all", "any"])


def test_every_claim_has_a_planted_failure():
    assert [claim.name for claim in claims()] == list(BROKEN)


def test_every_claim_holds_where_it_is_planted(tmp_path):
    assert _verdicts(tmp_path)["all"].all()


@pytest.mark.parametrize("name", BROKEN)
def test_a_claim_does_not_hold_where_the_results_say_otherwise(name, tmp_path):
    assert not _verdicts(tmp_path, **BROKEN[name]).loc[name, "any"]


def test_below_half_valid_there_is_no_entropy_and_no_ordering(tmp_path):
    """Answers that fall apart leave few, and few answers look certain: that is not a result."""
    falls = {"valid": lambda dose: 0.4 if dose > 0.1 else 1.0, "temperature": 0.1}
    with RunFolder.open(tmp_path, "east", SPEC) as folder:
        run = _run(folder, HELD | falls)
        results = run.folder.load_table("results")
        table = judge(claims(), run).set_index(["claim", "on"])
    entropy = results[
        (results["metric"] == "entropy") & (results["method"] == "east") & (results["source"] == "buttons")
    ]
    entropy = entropy[entropy["rendering"] == "buttons"]
    assert entropy[entropy["dose"] > 0.1]["estimate"].isna().all()
    assert entropy[entropy["dose"] == 0.1]["estimate"].notna().all()
    assert run.chosen("buttons").dose == 0.1
    assert table.loc[("then validity falls", "buttons"), "held"]


def test_no_dose_that_leaves_half_valid_is_one_clear_error(tmp_path):
    with RunFolder.open(tmp_path, "east", SPEC) as folder, pytest.raises(DataError, match="take smaller doses"):
        _run(folder, HELD | {"valid": lambda dose: 0.4}).chosen("buttons")
