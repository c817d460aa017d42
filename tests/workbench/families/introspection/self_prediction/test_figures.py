"""Figures of self-prediction: they show the tables' numbers and intervals, and miss nothing but what is not there."""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError, RunError, WorkbenchError
from workbench.families.introspection.self_prediction.figures import (
    PREDICTORS,
    SPLITS,
    calibration,
    figures,
    self_against_cross,
    shift,
    similarity,
)

LEVELS = {"mode": 0.3, "self_before": 0.2, "self": 0.55, "cross_before": 0.15, "cross": 0.4, "cross_itself": 0.5,
          "self_after": 0.56}  # fmt: skip
CELLS = {
    "held_out": [("animals", "first_word"), ("risk", "which_option")],
    "train": [("colours", "first_word"), ("colours", "starts_with_vowel"), ("numbers", "even_or_odd")],
}


def level(value: float) -> dict[str, float]:
    return {"estimate": value, "low": value - 0.05, "high": value + 0.04, "n": 100}


def accuracy(seconds: int = 1) -> pd.DataFrame:
    others = [f"second-{k}" for k in range(1, seconds + 1)]
    rows = []
    for target, split, predictor in product(["first", *others], SPLITS, LEVELS):
        learners = (others if target == "first" else ["first"]) if predictor.startswith("cross") else [""]
        for learner, (task, name) in product(learners, [("", ""), *CELLS[split]]):
            value = LEVELS[predictor] + 0.1 * (split == "train") - 0.05 * (target != "first")
            value -= 0.1 * (learner == "second-2")
            names = {"target": target, "learner": learner, "predictor": predictor, "split": split, "task": task}
            for metric in ("accuracy", "balanced_accuracy"):
                rows.append(names | {"property": name, "metric": metric} | level(value))
    return pd.DataFrame(rows)


def tables() -> dict[str, pd.DataFrame]:
    shares = np.linspace(0.1, 1, 8)
    bins = [
        {"predictor": p, "learner": "second-1" * p.startswith("cross"), "split": s, "bin": k, "hypothetical": x}
        | level(x * slope + 0.3 * (1 - slope))
        for (p, slope), s in product({"self_before": 0.2, "self": 0.9, "cross": 0.4}.items(), SPLITS)
        for k, x in enumerate(shares)
    ]
    moved = [
        {"subset": subset, "split": split, "predictor": predictor, "follows": follows}
        | level(0.3 + 0.2 * (follows == "new"))
        for subset, split, predictor, follows in product(
            ("changed", "equalised"), ("", *SPLITS), ("before", "after"), ("old", "new")
        )
    ]
    readers = {"probe": 0.5, "shuffled": 0.3, "untrained": 0.35, "second": 0.4} | LEVELS
    read = [
        {"fit": fit, "reader": reader, "layer": 3, "split": split, "task": "", "property": "", "metric": "accuracy"}
        | level(readers[reader])
        for fit, reader, split in product(("training", "folds"), [r for r in readers if r in PREDICTORS], SPLITS)
    ]
    layers = [
        {"layer": layer, "fit": fit, "role": role, "split": split, "metric": "accuracy"} | level(0.3 + 0.05 * layer)
        for layer, fit, role, split in product(range(6), ("training", "folds"), ("test", "train"), SPLITS)
    ]
    alike = [
        {"candidate": c, "model": m, "split": split, "rank": 1, "chosen": True} | level(0.6)
        for (c, m), split in product({"candidate-1": "hub/babbler-b", "candidate-2": "copy"}.items(), ("", *SPLITS))
    ]
    found = {"calibration": bins, "shift": moved, "probes": read, "probe_layers": layers, "similarity": alike}
    return {name: pd.DataFrame(rows) for name, rows in found.items()} | {"accuracy": accuracy()}


class Record:
    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found

    @property
    def artifacts(self) -> list[str]:
        return [f"{name}.parquet" for name in self.found]

    def load_table(self, name: str) -> pd.DataFrame:
        if self.found[name] is None:
            raise RunError("broken")
        return self.found[name]


def _drawn(record: Record) -> set[str]:
    """The figures that can be drawn."""
    drawn = set()
    for name, draw in figures(record).items():
        with suppress(WorkbenchError):
            drawn.add(draw() and name)
    return drawn


def bars_of(figure: Any) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    """(panel, name, x) -> height, and how far the interval goes up and down."""
    return {
        (trace.yaxis or "y", trace.name, x): (trace.y[i], trace.error_y.array[i], trace.error_y.arrayminus[i])
        for trace in figure.data
        if trace.type == "bar"
        for i, x in enumerate(trace.x)
    }


def test_a_run_with_every_table_has_every_figure() -> None:
    names = {"self_against_cross", "by_task", "similarity", "calibration", "shift", "probes", "probe_layers"}
    assert _drawn(Record(tables())) == names


@pytest.mark.parametrize("name", ["calibration", "accuracy", "probes"])
def test_a_broken_table_costs_its_own_figures_only(name: str) -> None:
    whole, broken = _drawn(Record(tables())), _drawn(Record(tables() | {name: None}))
    lost = {"calibration": {"calibration"}, "accuracy": {"self_against_cross", "by_task"}, "probes": {"probes"}}[name]
    assert whole - broken == lost
    assert figures(Record({})) == {}


def test_bars_and_intervals_are_the_tables() -> None:
    bars = bars_of(self_against_cross(accuracy()))
    assert bars["y", "self-trained", "predicting M1"] == pytest.approx((0.55, 0.04, 0.05))
    assert bars["y2", "cross-trained", "predicting M2"] == pytest.approx((0.45, 0.04, 0.05))
    assert len({name for _, name, _ in bars}) == 5  # what judges itself by another truth is not drawn here


def test_several_second_models_have_bars_of_their_own() -> None:
    bars = bars_of(self_against_cross(accuracy(seconds=2)))
    found = {(name, x): height for (panel, name, x), (height, *_) in bars.items() if panel == "y"}
    assert found["cross-trained, M3", "predicting M1"] == pytest.approx(0.3)
    assert found["cross-trained", "predicting M1"] == pytest.approx(0.4)
    assert found["cross-trained", "predicting M3"] == pytest.approx(0.35)


def test_calibration_draws_the_bins_beside_the_diagonal() -> None:
    table = tables()["calibration"]
    figure = calibration(table)
    line = next(trace for trace in figure.data if trace.name == "self-trained")
    rows = table[(table["predictor"] == "self") & (table["split"] == "held_out")]
    assert list(line.x) == list(rows["hypothetical"]) and list(line.y) == list(rows["estimate"])
    assert any(trace.name == "calibrated" and list(trace.x) == list(trace.y) for trace in figure.data)


def test_shift_says_how_many_items_each_panel_has() -> None:
    titles = [note.text for note in shift(tables()["shift"]).layout.annotations]
    assert titles == ["all changed items (n = 100)", "answers equally often old and new (n = 100)"]


def test_an_empty_shift_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="nothing to draw"):
        shift(tables()["shift"].iloc[:0])


def test_models_in_folders_are_named_by_their_own_name() -> None:
    assert set(similarity(tables()["similarity"]).data[0].x) == {"babbler-b", "copy"}


def test_every_reader_has_its_line_in_every_panel() -> None:
    figure = figures(Record(tables()))["probes"]()
    lines = {axis: figure.layout[axis].ticktext for axis in ("yaxis", "yaxis2", "yaxis3", "yaxis4")}
    assert all(len(names) == 9 and names[0] == "probe on M1" for names in lines.values())
    assert {lines["yaxis"][trace.y[0]] for trace in figure.data} == set(lines["yaxis"])
    assert all(trace.name == lines["yaxis"][trace.y[0]] for trace in figure.data)
    assert figure.layout.yaxis.range == (8.6, -0.6)
