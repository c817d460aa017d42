"""``workbench run introspection ...``: two words name an experiment, and a finished run is reported and drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.cli.main import main
from workbench.families import get_family
from workbench.runs import RunFolder


def _error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_the_group_alone_names_its_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    line = _error(capsys, "run", "introspection")
    assert "'workbench run introspection' needs one of: self-prediction, concept-injection" in line


def test_a_wrong_second_word_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'self-prediction'" in _error(capsys, "run", "introspection", "self-predicton")


def test_options_before_the_experiment_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "workbench run introspection self-prediction --preset cpu" in _error(
        capsys, "run", "introspection", "--preset", "cpu"
    )


def test_help_of_run_names_the_two_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "introspection", "--help"]) == 0
    said = capsys.readouterr().out
    assert "usage: workbench run introspection" in said and "• self-prediction" in said


def test_both_ways_of_naming_it_run_the_same_spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = []

    def run(family, spec, root, name, progress, log, last):  # type: ignore[no-untyped-def]
        ran.append(spec)
        with RunFolder.open(root, family.name, spec, name, {}) as folder:
            return folder.path

    monkeypatch.setattr("apps.cli.run.run", run)
    options = ["--preset", "smoke", "--seed", "3", "--runs", str(tmp_path)]
    assert main(["run", "introspection", "self-prediction", *options]) == 0
    assert main(["run", "self-prediction", *options]) == 0
    assert ran == [get_family("self-prediction").presets["smoke"].model_copy(update={"seed": 3})] * 2


def test_the_report_prints_the_tables(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import runpy

    import pandas as pd
    from rich.console import Console

    from workbench.families.showing import print_report
    from workbench.runs import load_run

    source = Path(__file__).parents[1] / "workbench/families/introspection/self_prediction/test_figures.py"
    tables = runpy.run_path(str(source))["tables"]()
    error = {"predictor": ["self", "cross"], "learner": ["", "second-1"], "split": "train", "metric": "mad"}
    tables["calibration_error"] = pd.DataFrame(error | {"estimate": [0.03, 0.24], "low": 0.01, "high": 0.3, "n": 9})
    line = {
        "ordering": "self above cross",
        "held": True,
        "evidence": "+0.15",
        "estimate": 0.15,
        "low": 0.1,
        "high": 0.2,
    }
    tables["orderings"] = pd.DataFrame([line])
    with RunFolder.open(tmp_path, "self-prediction", {"seed": 0}, "one", {}) as folder:
        for name, table in tables.items():
            folder.save_table(name, table)
    print_report(load_run(folder.path), Console(width=140))
    said = capsys.readouterr().out
    assert (
        "0.550 [0.500, 0.590]" in said and "0.240 [0.010, 0.300]" in said
    )  # self on held-out tasks; cross-trained error
    assert "equalised" in said and "probe on M2" in said and "1 of 1 held" in said
