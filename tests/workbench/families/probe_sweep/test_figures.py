"""Figures of a sweep draw the numbers of its rows, one series a probe, and mark what does not beat its controls."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.families.probe_sweep.figures import figures, layer_curves, layer_position_heatmap, main_metric

SCORES = {("last", 0): 0.5, ("last", 1): 0.9, ("mean", 0): 0.6, ("mean", 1): 0.7}
METRICS = ("accuracy", "balanced_accuracy")


def rows(probes=(("lda", "{}"), ("ridge", '{"alpha": 10.0}')), seeds=(0,), target="colour"):
    """A sweep in which ridge is .05 better than LDA, and each other seed .01 better than the one before."""
    table = []
    for ((position, layer), score), (number, (probe, params)), seed in product(
        SCORES.items(), enumerate(probes), seeds
    ):
        value = score + 0.05 * number + 0.01 * seed
        for control, metric in product(("none", "majority", "shuffled"), METRICS):
            level = {"none": value, "majority": 0.4, "shuffled": 0.58}[control] - 0.001 * (metric == "accuracy")
            table.append({
                "cell": f"{position}{layer}{probe}{seed}", "model": "some/model", "layer": layer, "position": position,
                "component": "resid_post", "target": target, "task": "classification", "probe": probe,
                "params": params, "seed": seed, "control": control, "metric": metric, "label": "", "estimate": level,
                "low": level - 0.1, "high": level + 0.1, "difference_low": value - level, "status": "ok",
            })  # fmt: skip
    return pd.DataFrame(table)


class Rows:
    def __init__(self, table):
        self.table = table

    def rows(self):
        return self.table


def lines(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_main_metric_is_balanced_accuracy_where_there_is_one():
    assert main_metric(rows()) == "balanced_accuracy"
    table = rows()
    assert main_metric(table[table["metric"] == "accuracy"]) == "accuracy"
    assert main_metric(table.assign(task="regression", metric="mae")) == "mae"


def test_curves_are_the_rows_of_each_probe_and_position():
    figure = layer_curves(rows(), "some/model", "colour")
    last, mean = lines(figure, "ridge alpha 10")
    assert list(last.x) == [0, 1] and np.allclose(last.y, [0.55, 0.95]) and np.allclose(mean.y, [0.65, 0.75])
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 4 and np.allclose(sorted(bands[0].y), [0.4, 0.6, 0.8, 1.0])


def test_controls_are_drawn_for_every_probe_and_the_majority_once_a_panel():
    figure = layer_curves(rows(), "some/model", "colour")
    assert len(lines(figure, "control: shuffled")) == 4 and len(lines(figure, "control: majority")) == 2
    assert sum(bool(trace.showlegend) for trace in lines(figure, "control: shuffled")) == 1


def test_other_seeds_are_points_and_change_no_line():
    one, two = (layer_curves(rows(seeds=seeds), "some/model", "colour") for seeds in ((0,), (0, 1)))
    assert [list(t.y) for t in lines(one, "lda")] == [list(t.y) for t in lines(two, "lda")]
    (points, _) = lines(two, "lda, other seeds")
    assert points.mode == "markers" and np.allclose(points.y, [0.51, 0.91])


def test_heatmap_holds_the_scores_and_brackets_what_a_control_reaches():
    figure = layer_position_heatmap(rows(), "some/model", "colour")
    lda = figure.data[0]
    assert list(lda.x) == ["last", "mean"] and list(lda.y) == ["0", "1"]
    assert np.allclose(lda.z, [[0.5, 0.6], [0.9, 0.7]])
    assert lda.text[0][0] == "(0.50)" and lda.text[1][0] == "0.90" and lda.text[0][1] == "0.60"
    assert figure.layout.coloraxis.cmin == pytest.approx(0.4) and figure.layout.coloraxis.cmax == pytest.approx(0.95)


def test_every_target_has_its_figures_and_names_are_file_names():
    table = pd.concat([rows(), rows(target="a/b")], ignore_index=True)
    assert list(figures(Rows(table))) == [
        "layers-some-model-colour", "heatmap-some-model-colour", "layers-some-model-a-b", "heatmap-some-model-a-b",
    ]  # fmt: skip


def test_more_series_than_colours_are_one_figure_a_probe():
    many = [("ridge", f'{{"alpha": {alpha}}}') for alpha in range(6)] + [("lda", "{}")]
    names = list(figures(Rows(rows(probes=many))))
    assert names == [f"{kind}-some-model-colour-{p}" for p in ("ridge", "lda") for kind in ("layers", "heatmap")]


def test_failed_cells_and_empty_runs_draw_nothing():
    failed = pd.DataFrame({"cell": ["x"], "model": ["some/model"], "target": ["size"], "status": ["failed"]})
    both = pd.concat([rows(), failed], ignore_index=True)
    assert list(figures(Rows(both))) == ["layers-some-model-colour", "heatmap-some-model-colour"]
    assert figures(Rows(failed)) == {} and figures(Rows(pd.DataFrame())) == {}
    with pytest.raises(DataError, match="layer_curves of size in some/model"):
        layer_curves(both, "some/model", "size")


def test_scores_of_single_classes_are_not_drawn():
    table = rows()
    extra = table[table["control"] == "none"].assign(label="red", estimate=0.0)
    both = pd.concat([table, extra], ignore_index=True)
    assert list(lines(layer_curves(both, "some/model", "colour"), "lda")[0].y) == [0.5, 0.9]
