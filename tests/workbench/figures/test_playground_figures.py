"""Lens, attention, probabilities, scores, components and token strips draw the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError, SpecError
from workbench.figures.attention import attention_heatmaps
from workbench.figures.components import component_scatter
from workbench.figures.logit_lens import LENS_MEASURES, logit_lens_heatmap
from workbench.figures.token_probabilities import next_token_bars, probability_lines, token_score_lines
from workbench.figures.token_strip import token_strip, visible


def lens_table():
    rows = [
        {
            "site": f"blocks.{layer}.hook_resid_post", "position": p, "text": text, "predicted": f"<{layer}{p}",
            "top_texts": [f"<{layer}{p}", "y"], "top_probabilities": [0.1 * layer + 0.2, 0.1],
            "probability": 0.1 * layer + 0.2, "entropy": 1.0 + p, "kl": 0.5 - 0.1 * layer, "next_probability": 0.05,
        }
        for layer in range(3) for p, text in enumerate(["<s>", " a"])
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("measure", LENS_MEASURES)
def test_lens_shows_the_measure_of_each_layer_and_position(measure):
    table = lens_table()
    heat = logit_lens_heatmap(table, measure).data[0]
    expected = table.pivot(index="site", columns="position", values=measure).to_numpy()
    np.testing.assert_allclose(np.array(heat.z, dtype=float), expected)
    assert heat.y == ("0", "1", "2") and heat.text[2][1] == "<21"
    assert "&lt;21  0.400" in heat.customdata[2][1]


def test_lens_refuses_unknown_measures_and_empty_tables():
    with pytest.raises(SpecError, match="did you mean 'entropy'"):
        logit_lens_heatmap(lens_table(), "entropi")
    with pytest.raises(DataError, match="empty"):
        logit_lens_heatmap(lens_table().iloc[:0])


def test_attention_draws_the_chosen_heads_and_hides_the_future():
    pattern = np.random.default_rng(0).random((3, 4, 4))
    figure = attention_heatmaps(pattern, ["a", "b", "c", "d"], heads=[2, 0])
    assert [a.text for a in figure.layout.annotations] == ["head 2", "head 0"]
    shown = np.array(figure.data[0].z)
    lower = np.tril_indices(4)
    np.testing.assert_array_equal(shown[lower], pattern[2][lower])
    assert np.isnan(shown[np.triu_indices(4, 1)]).all()


def test_one_head_has_its_tokens_on_the_axes():
    figure = attention_heatmaps(np.ones((2, 2, 2)), [" a", "\n"], heads=[1])
    assert figure.layout.xaxis.ticktext == ("·a", "⏎") and len(figure.data) == 1


@pytest.mark.parametrize("heads", [[2], []])
def test_attention_refuses_heads_that_are_not_there(heads):
    with pytest.raises(DataError, match="heads 0 to 1"):
        attention_heatmaps(np.ones((2, 2, 2)), ["a", "b"], heads=heads)
    with pytest.raises(DataError, match="over 3 tokens"):
        attention_heatmaps(np.ones((2, 2, 2)), ["a", "b", "c"])


def probabilities(shift=0.0):
    return pd.DataFrame(
        {
            "position": [0, 1, 2],
            "text": ["<s>", " a", ""],
            "logprob": [np.nan, np.log(0.5) - shift, np.nan],
            "rank": [0, 1, 0],
            "top_texts": [[], [" a", "b"], ["c", "b"]],
            "top_probabilities": [[], [0.5, 0.3], [0.6 - shift, 0.2 + shift]],
        }
    )


def test_next_token_bars_stand_beside_each_other():
    tables = {"unsteered": probabilities(), "steered": probabilities(0.1)}
    figure = next_token_bars(tables, {"unsteered": 2, "steered": 2})
    assert [bar.name for bar in figure.data] == ["unsteered", "steered"]
    assert figure.data[0].y == ("c", "b") and figure.data[0].x == (0.6, 0.2)
    np.testing.assert_allclose(figure.data[1].x, [0.5, 0.3])
    with pytest.raises(DataError, match="nothing predicts position 0"):
        next_token_bars(tables, {"unsteered": 0, "steered": 2})


def test_probability_lines_leave_out_what_nothing_predicts():
    figure = probability_lines({"steered": probabilities()})
    assert list(figure.data[0].x) == [1]
    np.testing.assert_allclose(figure.data[0].y, [0.5])


def test_scores_and_components_draw_one_trace_a_condition():
    table = pd.DataFrame({
        "condition": ["unsteered", "unsteered", "steered"], "position": [0, 1, 0], "text": ["a", "b", "a"],
        "score": [0.5, -1.0, 2.0], "first": [1.0, 2.0, 3.0], "second": [0.0, 1.0, 0.0],
    })  # fmt: skip
    lines, points = token_score_lines(table), component_scatter(table, [0.6, 0.2])
    assert [list(t.y) for t in lines.data] == [[0.5, -1.0], [2.0]]
    assert [list(t.x) for t in points.data] == [[1.0, 2.0], [3.0]]
    assert "60%" in points.layout.xaxis.title.text
    with pytest.raises(DataError, match="two shares"):
        component_scatter(table, [0.6])


def test_strip_escapes_text_and_notes_and_scales_its_colours():
    strip = token_strip(["<script>", "b", "c"], [2.0, -1.0, float("nan")], ['"quoted"', "", ""])
    assert "<script>" not in strip and "&lt;script&gt;" in strip and 'title="&quot;quoted&quot;"' in strip
    assert "rgba(230, 159, 0, 0.75)" in strip and "rgba(0, 114, 178, 0.375)" in strip
    assert "rgba(0, 114, 178, 0)" in strip
    with pytest.raises(DataError, match="one for each token"):
        token_strip(["a"], [1.0, 2.0])


def test_line_ends_are_seen_and_kept():
    assert visible("a\n b") == "a⏎·b"
    assert token_strip(["\n"], [0.0]).count("\n") == 1


def test_colours_of_the_lens_are_scaled_by_the_tokens_that_are_no_sinks():
    table = lens_table().assign(attention_sink=lambda t: t["position"] == 0, kl=[90.0, 0.5, 80.0, 0.2, 70.0, 0.1])
    figure = logit_lens_heatmap(table, "kl")
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0.1, 0.5)
    assert figure.layout.xaxis.ticktext == ("<s> \u25c6", "·a") and "attention sink" in figure.layout.title.text
    assert logit_lens_heatmap(table, "probability").data[0].zmax == 1


def test_colours_of_attention_end_where_nearly_all_weights_on_tokens_that_are_no_sinks_lie():
    pattern = np.tril(np.full((2, 3, 3), 0.2))
    pattern[:, :, 0] = 0.6
    pattern[1, 2, 1] = 0.35
    marked, plain = (attention_heatmaps(pattern, ["<s>", "b", "c"], [1], sinks=sinks) for sinks in ([0], []))
    assert marked.layout.coloraxis.cmax == pytest.approx(np.quantile([0.2, 0.35, 0.2], 0.98))
    assert plain.layout.coloraxis.cmax == 1
    assert marked.layout.xaxis.ticktext[0] == "<s> \u25c6" and np.asarray(marked.data[0].z)[2, 0] == 0.6  # all is there
    assert "sink" in marked.layout.title.text and "sink" not in plain.layout.title.text
    assert attention_heatmaps(pattern[:, :1, :1], ["<s>"], sinks=[0]).layout.coloraxis.cmax == 1


def test_lines_of_scores_leave_out_sinks_and_say_where_they_are():
    table = pd.DataFrame(
        {"condition": "a", "position": [0, 1, 2], "text": list("xyz"), "score": [900.0, 1.0, 2.0],
         "attention_sink": [True, False, False]}
    )  # fmt: skip
    figure = token_score_lines(table)
    assert np.nanmax(np.array(figure.data[0].y, dtype=float)) == 2
    assert [shape.x0 for shape in figure.layout.shapes if shape.line.dash == "dot"] == [0]
    assert "Dotted: attention sink, not drawn." in figure.layout.title.text


def test_a_strip_is_scaled_by_the_tokens_that_are_no_sinks_and_outlines_those():
    html = token_strip(["<s>", "a", "b"], [900.0, 1.0, -2.0], sinks=[0])
    spans = html.split("<span")[1:]
    assert "outline" in spans[0] and "attention sink, its colour is cut off: 900" in spans[0]
    assert not any("outline" in span for span in spans[1:])
    assert spans[1:] == token_strip(["a", "b"], [1.0, -2.0]).split("<span")[1:]
