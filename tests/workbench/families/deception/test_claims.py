"""Claims and tables on planted rows: held where they were made so, and not held where they were not."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.workbench.families.deception.conftest import planted
from workbench.families.claims import judge
from workbench.families.deception.claims import claims
from workbench.families.deception.detection import INSTRUCTED, OWN_WORDS, PROBE, UNTRAINED, WORDS
from workbench.families.deception.summary import detection, frames, instrument, steering


def scores(probe: float, untrained: float = 0.0, words: float = 0.0, n: int = 60) -> pd.DataFrame:
    """Scores of readers that tell lies apart by so many standard deviations."""
    rng = np.random.default_rng(0)
    lie = np.arange(n) % 2 == 1
    parts = []
    for reader, layer, gap in ((PROBE, 4, probe), (UNTRAINED, 4, untrained), (WORDS, -1, words), (OWN_WORDS, -1, 0.5)):
        for name in (INSTRUCTED, "scenarios"):
            parts.append(pd.DataFrame({"set": name, "reader": reader, "layer": layer, "row": range(n), "fold": 0,
                                       "group": [f"g{i // 2}" for i in range(n)], "deceptive": lie,
                                       "score": 50 * (rng.normal(size=n) + gap * lie)}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def verdicts(rows: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    tables = {
        "instrument": pd.DataFrame([instrument(rows)]), "frames": frames(rows), "steering": steering(rows),
        "detection": detection(told, 200),
    }  # fmt: skip
    gather = lambda kind: rows if kind == "choices" else rows.iloc[:0]  # noqa: E731
    run = SimpleNamespace(gather=gather, folder=SimpleNamespace(load_table=tables.__getitem__))
    return judge(claims(), run)


def test_all_is_held_where_everything_was_made_so():
    rows = planted(reward=0.3, pressure=0.5, vector=0.8, random=0.1, prompt=0.2, own=3.0)
    table = verdicts(rows, scores(probe=3.0))
    assert table["held"].all(), table[~table["held"]]


def test_nothing_is_held_where_nothing_was_made():
    table = verdicts(planted(orders=4.0, reward=-0.1, pressure=-0.1, vector=-0.1, prompt=-0.1), scores(probe=0.0))
    wrong = table[table["held"] & ~table["claim"].str.contains("serve oneself")]
    assert not len(wrong), wrong
    assert table["evidence"].iloc[0].startswith("not measurable by this instrument")


def test_a_random_direction_that_goes_as_far_is_seen():
    table = verdicts(planted(vector=0.3, random=0.5), scores(probe=3.0)).set_index("claim")
    assert not table.loc["further than every random direction of equal damage", "held"].any()
    assert table.loc["the vector moves the choice both ways", "held"].all()


def test_changes_are_of_the_same_scenarios_and_dimensions_apart():
    table = frames(planted(reward=0.3, pressure=0.5)).set_index(["dimension", "frame"])
    assert table.loc[("all", "pressure"), "change"] == pytest.approx(0.5, abs=0.05)
    assert table.loc[("self", "reward"), "change"] == pytest.approx(0.3, abs=0.05)
    assert table.loc[("other", "plain"), "scenarios"] == 10


def test_detection_is_auroc_and_recall_with_paired_differences():
    told = scores(probe=1.5, untrained=0.5)
    table = detection(told, 400).set_index(["set", "reader", "metric"])
    part = told[(told["reader"] == PROBE) & (told["set"] == "scenarios")]
    auroc = roc_auc_score(part["deceptive"], part["score"])
    assert table.loc[("scenarios", PROBE, "auroc"), "estimate"] == pytest.approx(auroc)
    probe, other = (table.loc[("scenarios", reader, "auroc"), "estimate"] for reader in (PROBE, UNTRAINED))
    row = table.loc[("scenarios", PROBE, "auroc")]
    assert row["over_untrained"] == pytest.approx(probe - other) and row["over_untrained_low"] < probe - other
    honest = np.sort(part.loc[~part["deceptive"], "score"])
    found = (part.loc[part["deceptive"], "score"] > honest[-2]).mean()  # 5% of 30: one may be wrong
    assert table.loc[("scenarios", PROBE, "recall@0.05"), "estimate"] == pytest.approx(found)
