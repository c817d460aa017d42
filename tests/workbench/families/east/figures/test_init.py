"""All figures of a run together."""

import shutil

import pandas as pd
import pytest

from workbench.families import figures_of
from workbench.runs import load_run


@pytest.fixture(scope="module")
def figures(made_run):
    return figures_of(load_run(made_run))


def test_a_whole_run_gives_every_figure(figures):
    each = ("entropy_by_dose", "cumulative_arms", "entropy_by_step", "thought_trace", "words")
    expected = {f"{name}-{r}" for name in each for r in ("buttons", "slot_machines")}
    assert set(figures) == expected | {"layer_dose", "transfer", "regret", "vector_norms"}


def test_every_figure_has_a_title_and_named_axes(figures):
    for name, figure in figures.items():
        assert figure.layout.title.text, name
        if name != "transfer":  # its rows and columns say what they are
            titles = [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes())]
            assert len([title for title in titles if title]) >= 2, name


def test_figures_depend_on_the_tables_alone(figures, made_run):
    assert {n: f.to_json() for n, f in figures.items()} == {
        n: f.to_json() for n, f in figures_of(load_run(made_run)).items()
    }


def test_drawing_changes_no_table(east_tables):
    from workbench.families.east.figures import entropy_by_dose, layer_dose_heatmap, transfer_matrix

    before = east_tables["results"].copy()
    entropy_by_dose(before, "buttons")
    layer_dose_heatmap(before, 0.9)
    transfer_matrix(before)
    pd.testing.assert_frame_equal(before, east_tables["results"])


def test_a_broken_table_or_a_missing_column_costs_its_own_figures_only(figures, made_run, tmp_path):
    copy = shutil.copytree(made_run, tmp_path / "east" / "run")
    (copy / "artifacts" / "words.parquet").write_bytes(b"cut off")
    table = copy / "artifacts" / "behaviour.parquet"
    pd.read_parquet(table).drop(columns="low").to_parquet(table)
    (copy / "checksums.jsonl").unlink()  # as in runs of before
    assert set(figures) - set(figures_of(load_run(copy))) == {"words-buttons", "words-slot_machines", "regret"}


def test_a_run_that_has_only_vectors_gives_their_figure(made_run, tmp_path):
    copy = shutil.copytree(made_run, tmp_path / "east" / "run")
    shutil.rmtree(copy / "artifacts")
    for unit in (copy / "rows").iterdir():
        if not unit.name.startswith("vectors"):
            unit.unlink()
    assert list(figures_of(load_run(copy))) == ["vector_norms"]
