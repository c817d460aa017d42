"""EAST's claims on results in which each of them is planted, and on results in which it is not."""

from __future__ import annotations

import pandas as pd
import pytest

from workbench.families.claims import judge
from workbench.families.east.claims import claims
from workbench.families.east.spec import PRESETS
from workbench.families.east.steps import EastRun, results_table
from workbench.runs import RunFolder

RENDERINGS, LAYERS, MULTIPLIERS = ("buttons", "slot_machines"), (2, 5), (1.0, 2.0, 4.0, 8.0)
SPEC = PRESETS["smoke"].model_copy(
    update={"layers": LAYERS, "multipliers": (0.0, *MULTIPLIERS), "renderings": RENDERINGS}
)
HELD = {
    "entropy": lambda layer, multiplier: 0.1 + 0.1 * multiplier * (1.0 if layer == 2 else 0.5),
    "valid": lambda multiplier: 0.5 if multiplier > 4 else 1.0,
    "shuffled": 0.1,
    "transfer": 0.4,
    "temperature": 0.15,
}
# What is changed so that a claim, and it alone or among others, does not hold.
BROKEN = {
    "entropy rises with the multiplier": {"entropy": lambda layer, multiplier: 0.1},
    "then validity falls": {"valid": lambda multiplier: 1.0},
    "the shuffled vector is flat": {"shuffled": 0.5},
    "an interior layer is best": {"entropy": lambda layer, multiplier: 0.1 + 0.05 * multiplier * (layer - 2)},
    "vectors transfer between renderings": {"transfer": 0.1},
    "temperature is flat by comparison": {"temperature": 0.6},
}


def _rows(kind, rendering, method, entropy, valid=1.0, **where):
    at = {
        "layer": -1,
        "multiplier": 0.0,
        "source": "",
        "temperature": 1.0,
        "top_p": 1.0,
        "draw": 0,
        "texts": "[]",
    } | where
    return [
        {"set": kind, "rendering": rendering, "method": method, "prompt": prompt, "episode": prompt // 2, **at,
         "entropy": entropy + 0.01 * (prompt % 3), "valid": valid - 0.001 * (prompt % 3)}
        for prompt in range(24)
    ]  # fmt: skip


def _run(folder, plant):
    """A run folder with the steps and the table that claims are judged by."""
    for r, other in (RENDERINGS, RENDERINGS[::-1]):
        norms = [{"rendering": r, "estimate": "east", "layer": k, "norm": 1.0, "residual_norm": 10.0} for k in LAYERS]
        folder.write(f"vectors-{r}", pd.DataFrame(norms))
        for layer in LAYERS:
            rows = _rows("select", r, "unsteered", 0.1) if layer == LAYERS[0] else []
            for m in MULTIPLIERS:
                at = {"layer": layer, "multiplier": m, "source": r}
                rows += _rows("select", r, "east", plant["entropy"](layer, m), plant["valid"](m), **at)
            folder.write(f"grid-{r}-{layer}", pd.DataFrame(rows))
        rows = _rows("test", r, "unsteered", 0.1)
        rows += _rows("test", r, "temperature", plant["temperature"], temperature=1.5)
        for layer in LAYERS:
            for m in MULTIPLIERS:
                at = {"layer": layer, "multiplier": m}
                rows += _rows("test", r, "east", plant["entropy"](layer, m), plant["valid"](m), source=r, **at)
                rows += _rows("test", r, "shuffled", plant["shuffled"], source=r, **at)
                rows += _rows("test", r, "east", plant["transfer"], source=other, **at)
        folder.write(f"test-{r}", pd.DataFrame(rows))
    run = EastRun(SPEC, folder)
    folder.save_table("results", results_table(run.rows, run.gather("vectors")))
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
