"""Figures of a concept-injection run: they show the tables' numbers, controls included, and fail one by one."""

from contextlib import suppress
from itertools import product

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.families.introspection.concept_injection import figures as drawn

LAYERS, STRENGTHS = (0, 2, 4), (1.0, 4.0)
ARMS = {
    ("detection", "standard"): ("success", "affirms", "yes_no"),
    ("naming", "standard"): ("names",),
    ("kv_cache", "standard"): ("yes_no", "says_yes"),
}
BESIDE = ("none", "random", "shuffled", "perturbed")


def row(protocol, arm, vector, layer, multiplier, metric, estimate):
    kind = "mean" if metric in ("yes_no", "cosine") else "rate"
    found = {"protocol": protocol, "arm": arm, "vector": vector, "layer": layer, "multiplier": multiplier}
    found |= {"metric": metric, "kind": kind, "n": 50, "estimate": estimate, "low": estimate - 0.1}
    found["high"] = estimate + 0.1
    for control in BESIDE:
        value = 0.05 if control != "perturbed" or protocol == "detection" else np.nan
        found |= {control: value, f"{control}_low": value - 0.05, f"{control}_high": value + 0.1}
        change = estimate - value
        found |= {f"over_{control}": change, f"over_{control}_low": change - 0.1, f"over_{control}_high": change + 0.1}
    return found


def level(vector, layer, multiplier):
    return 0.05 + (0.1 * layer * multiplier / 4 if vector == "concept" else 0.0)


@pytest.fixture(scope="module")
def results():
    rows = []
    for (protocol, arm), metrics in ARMS.items():
        for metric in metrics:
            rows.append(row(protocol, arm, "none", -1, 0.0, metric, 0.05))
            if protocol == "detection":
                rows.append(row(protocol, arm, "perturbed", -1, 0.0, metric, 0.07))
            for vector, layer, multiplier in product(("concept", "random", "shuffled"), LAYERS, STRENGTHS):
                rows.append(row(protocol, arm, vector, layer, multiplier, metric, level(vector, layer, multiplier)))
    for arm, vector, layer in product(("think", "avoid"), ("concept", "none", "random", "shuffled"), LAYERS):
        rows.append(row("control", arm, vector, layer, 0.0, "cosine", 0.01 * layer + 0.1 * (arm == "think")))
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def tested(results):
    cell = (results["layer"] == 4) & (results["multiplier"] == 4.0) & (results["vector"] == "concept")
    return results[cell].reset_index(drop=True)


class Tables:
    def __init__(self, **tables):
        self.tables = tables

    @property
    def artifacts(self):
        return [f"{name}.parquet" for name in self.tables]

    def load_table(self, name):
        return self.tables[name]


def _drawn(record):
    """The figures that can be drawn."""
    found = {}
    for name, draw in drawn.figures(record).items():
        with suppress(DataError):
            found[name] = draw()
    return found


def test_a_run_gives_a_figure_for_every_arm_that_was_run(results, tested):
    figures = _drawn(Tables(results=results, held_out=tested))
    assert set(figures) == {
        "protocols", "grid_detection", "grid_claims", "grid_naming", "logits_detection", "logits_kv_cache", "intention",
    }  # fmt: skip
    for name, figure in figures.items():
        assert figure.layout.title.text and len(figure.data), name
    assert drawn.figures(Tables()) == {}
    assert set(_drawn(Tables(held_out=tested))) == {"protocols"}


def test_a_grid_shows_every_cell_with_the_false_positives_and_control_vectors_beside_it(results):
    figure = drawn.injection_grid(results, "detection", "standard", "success")
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["no injection", "concept's vector", "random vector", "shuffled vector", "odd input"]
    shown = {
        title: dict(zip(product(t.y, t.x), np.ravel(t.z), strict=True))
        for title, t in zip(titles, figure.data, strict=True)
    }
    for layer, multiplier in product(LAYERS, STRENGTHS):
        cell = (str(layer), f"{multiplier:g}")
        assert shown["concept's vector"][cell] == pytest.approx(level("concept", layer, multiplier))
        assert shown["random vector"][cell] == shown["shuffled vector"][cell] == 0.05
    assert set(shown["no injection"].values()) == {0.05} and set(shown["odd input"].values()) == {0.07}
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)


def test_logit_curves_are_the_paired_shifts_of_the_table(results):
    figure = drawn.strength_curves(results, "kv_cache", "standard")
    assert [note.text for note in figure.layout.annotations] == [f"layer {layer}" for layer in LAYERS]
    lines = [trace for trace in figure.data if trace.name == "concept's vector"]
    assert [list(line.x) for line in lines] == [list(STRENGTHS)] * len(LAYERS)
    assert lines[-1].y[-1] == pytest.approx(level("concept", 4, 4.0) - 0.05)
    assert {trace.name for trace in figure.data if trace.name} == {
        "concept's vector",
        "random vector",
        "shuffled vector",
    }


def test_the_overview_has_a_bar_for_every_control_with_its_interval(tested):
    figure = drawn.by_protocol(tested)
    assert len(figure.data) == 5 and len(figure.data[0].x) == 3
    bars = {bar.name: bar for bar in figure.data}
    none = bars["no injection"]
    assert list(none.y) == [0.05] * 3 and list(none.error_y.array) == pytest.approx([0.1] * 3)
    assert np.isnan(bars["odd input, no injection"].y[1])


def test_intention_compares_think_avoid_and_no_mention(results):
    figure = drawn.intention(results)
    named = {trace.name: trace for trace in figure.data if trace.name}
    assert list(named["told to think of it"].y) == pytest.approx([0.1, 0.12, 0.14])
    assert list(named["told not to"].y) == pytest.approx([0.0, 0.02, 0.04])
    assert "no mention" in named


def test_a_missing_column_or_arm_is_named(results):
    with pytest.raises(DataError, match="injection_grid needs the column 'none_low'"):
        drawn.injection_grid(results.drop(columns="none_low"), "detection", "standard", "success")
    with pytest.raises(DataError, match="nothing to draw"):
        drawn.injection_grid(results, "detection", "neutral", "success")
