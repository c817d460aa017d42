import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.families.east.figures.vectors import thought_trace, vector_norms, words_table


def test_thought_trace_draws_the_median_of_early_and_of_late_steps(east_units):
    rows = east_units["thoughts-buttons"]
    early, late = [t for t in thought_trace(rows).data if t.name == "unsteered"]
    for line, inside in ((early, rows["step"] < 4), (late, rows["step"] >= 8)):
        part = rows[inside & (rows["method"] == "unsteered")]
        assert list(line.y) == part.groupby("share")["certainty"].median().tolist()


def test_thought_trace_says_which_steps_and_how_many_prompts(east_units):
    titles = [note.text for note in thought_trace(east_units["thoughts-buttons"]).layout.annotations]
    assert titles == ["early steps, 0 to 3 (4 prompts)", "late steps, 8 to 11 (4 prompts)"]


def test_thought_trace_of_prompts_from_one_step_still_draws(east_units):
    rows = east_units["thoughts-buttons"].query("step == 11")
    assert thought_trace(rows).layout.annotations[0].text == "no early steps"


def test_words_are_drawn_both_ways_and_rare_ones_left_out(east_tables):
    more, fewer = words_table(east_tables["words"].query("rendering == 'buttons'")).data
    assert list(more.y) == ["unsure", "perhaps"] and list(fewer.y) == ["clearly"]
    assert np.allclose(more.x + more.base, [3.0, 4.0]) and list(more.text) == ["30 | 10", "40 | 10"]


def test_words_show_the_most_extreme_ones_first():
    table = pd.DataFrame({"word": list("abcd"), "steered": 9, "unsteered": 9, "ratio": [8.0, 4.0, 0.5, 0.1]})
    more, fewer = words_table(table, top=1).data
    assert list(more.y) == ["a"] and list(fewer.y) == ["d"]


def test_words_that_are_all_rare_are_an_error(east_tables):
    with pytest.raises(DataError, match="at least 500 times"):
        words_table(east_tables["words"], minimum=500)


def test_norms_show_the_vector_beside_the_residual_stream(east_units):
    figure = vector_norms(east_units["vectors-buttons"])
    stream = next(t for t in figure.data if t.name.startswith("residual"))
    norm, cosine = [t for t in figure.data if t.name == "EAST"]
    assert list(stream.y) == [10, 20, 30, 40] and list(norm.y) == [0.5, 1.5, 2.5, 3.5]
    assert np.allclose(cosine.y, [0.5, 0.6, 0.7, 0.8])
