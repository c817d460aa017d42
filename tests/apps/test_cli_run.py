"""``workbench run`` and ``demo``: where a spec's values come from, the plan, resuming, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import Field

from apps.cli.main import main
from workbench.families import Family, Spec, Step, Table, families
from workbench.families.showing import print_report
from workbench.models import shipped_models
from workbench.runs import RunFolder, list_runs, load_run


class ToySpec(Spec):
    """An experiment that writes numbers."""

    doses: tuple[float, ...] = Field((1.0, 2.0), description="what is added")
    settings: tuple[tuple[float, float], ...] = ((1.0, 2.0),)
    layers: tuple[int, ...] | None = None
    share: float = Field(0.5, gt=0, lt=1)
    max_new_tokens: int = 10


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> list[ToySpec]:
    """Brings the family ``toy``; returns the specs that are run."""
    ran: list[ToySpec] = []

    def steps(spec: ToySpec) -> list[Step]:
        return [
            Step(f"dose={dose}", "adds", lambda context, dose=dose: pd.DataFrame({"dose": [dose]}), 4)
            for dose in spec.doses
        ]

    presets = {"cpu": ToySpec(), "smoke": ToySpec(seed=7, doses=(3.0,))}
    report = lambda record: [Table("a toy's table", record.rows().astype(str), "doses [red]")]  # noqa: E731
    family = Family("toy", "A toy", ToySpec, presets, steps, lambda context: ran.append(context.spec), report=report)
    monkeypatch.setitem(families(), "toy", family)
    return ran


def _error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ") and not any("Traceback" in line for line in lines)
    return lines[-1]


def test_options_override_the_file_which_overrides_the_preset(toy: list[ToySpec], tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("doses: [5, 6]\nshare: 0.25\n")
    argv = ["run", "toy", "--preset", "smoke", "--spec", str(file), "--share", "0.75", "--runs", str(tmp_path)]
    assert main(argv) == 0
    assert toy == [ToySpec(seed=7, doses=(5.0, 6.0), share=0.75)]


def test_a_preset_alone_and_nothing_at_all_give_their_specs(toy: list[ToySpec], tmp_path: Path) -> None:
    main(["run", "toy", "--preset=smoke", "--runs", str(tmp_path)])
    main(["run", "toy", "--runs", str(tmp_path)])
    assert toy == [ToySpec(seed=7, doses=(3.0,)), ToySpec()]


def test_a_file_alone_is_a_whole_spec_and_a_runs_own_file_runs_it_again(toy: list[ToySpec], tmp_path: Path) -> None:
    main(["run", "toy", "--preset", "smoke", "--share", "0.1", "--runs", str(tmp_path)])
    (path,) = list_runs(tmp_path)["path"]
    assert main(["run", "toy", "--spec", f"{path}/spec.json", "--runs", str(tmp_path)]) == 0
    assert toy[0] == toy[1] and len(list_runs(tmp_path)) == 1


def test_options_read_negative_numbers_pairs_and_none(toy: list[ToySpec], tmp_path: Path) -> None:
    options = ["--doses", "-2", "1.5", "--settings", "95", "105", "100", "100", "--layers", "1", "2"]
    main(["run", "toy", *options, "--runs", str(tmp_path)])
    main(["run", "toy", "--layers", "None", "--runs", str(tmp_path)])
    assert toy[0] == ToySpec(doses=(-2.0, 1.5), settings=((95.0, 105.0), (100.0, 100.0)), layers=(1, 2))
    assert toy[1].layers is None


def test_help_shows_the_values_of_the_preset(toy: list[ToySpec], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "toy", "--preset", "smoke", "--help"]) == 0
    text = capsys.readouterr().out
    assert "what is added (default: 3.0)" in text and "(default: 7)" in text and "--dry-run" in text and toy == []


def test_dry_run_prints_steps_completions_and_tokens_and_writes_nothing(
    toy: list[ToySpec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert main(["run", "toy", "--doses", "1", "2", "3", "--runs", str(runs), "--dry-run"]) == 0
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["dose=2.0", "adds", "4", "40"] in words and ["total", "12", "120"] in words
    assert toy == [] and not runs.exists()


@pytest.mark.parametrize("name", ["a/b", "", "..", "-x"])
def test_dry_run_refuses_the_names_that_a_run_refuses(
    toy: list[ToySpec], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    argv = ["run", "toy", "--runs", str(tmp_path), f"--name={name}"]
    said = []
    for more in ([], ["--dry-run"]):
        assert main([*argv, *more]) == 2
        said.append(capsys.readouterr().err.splitlines()[-1])
    assert said[0] == said[1] and repr(name) in said[0]
    assert toy == []


def test_dry_run_marks_what_is_done(toy: list[ToySpec], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["run", "toy", "--runs", str(tmp_path)]
    main(argv)
    capsys.readouterr()
    main([*argv, "--dry-run"])
    assert ["dose=2.0", "adds", "4", "40", "yes"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_same_command_again_does_no_step_twice(
    toy: list[ToySpec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["run", "toy", "--runs", str(tmp_path), "--name", "mine"]
    assert main(argv) == 0 and "[1/2] adds" in capsys.readouterr().err
    assert main(argv) == 0 and "adds" not in capsys.readouterr().err
    assert load_run(tmp_path / "toy" / "mine").status.state == "finished"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--preset", "smok"], "did you mean 'smoke'"),
        (["--share", "2"], "share is 2.0: input should be less than 1"),
        (["--dosess", "2"], "did you mean '--doses'?"),
        (["--settings", "1", "2", "3"], "--settings [FLOAT FLOAT [FLOAT FLOAT ...]]"),
        (["--spec", "nowhere.yaml"], "cannot read the spec nowhere.yaml: No such file"),
        (["--name", "../up"], "cannot be a file name"),
    ],
)
def test_a_bad_option_is_one_line(
    argv: list[str], said: str, toy: list[ToySpec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in _error(capsys, "run", "toy", *argv, "--runs", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("spec.yaml", "seed: 1\ndoses: [1, 2\nshare: 0.1\n", "line 3: not YAML"),
        ("spec.yaml", "seed: 1\n\tshare: 0.1\n", "line 2: not YAML"),
        ("spec.json", '{"seed": 1,\n "share" 2}', "line 2: not JSON"),
        ("spec.yaml", "- 1\n- 2\n", "must hold fields and values"),
        ("spec.yaml", "", "must hold fields and values"),
        ("spec.yaml", "dose: 1\n", "unknown field 'dose'; did you mean 'doses'?"),
        ("spec.yaml", "doses: [1, many]\n", "doses.1 is 'many'"),
        ("spec.yaml", "!!python/object/apply:os.getcwd []\n", "line 1: not YAML"),
    ],
)
def test_a_broken_spec_file_is_one_line_that_names_the_place(
    name: str, text: str, said: str, toy: list[ToySpec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(text)
    line = _error(capsys, "run", "toy", "--spec", str(tmp_path / name))
    assert said in line and name in line and toy == []


def test_a_finished_run_prints_its_familys_tables_as_they_are(
    toy: list[ToySpec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "toy", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "a toy's table" in out and "doses [red]" in out and ["2.0"] in [line.split() for line in out.splitlines()]


def test_runs_that_is_a_file_is_refused_before_anything_is_loaded(
    toy: list[ToySpec], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").write_text("")
    assert "is a file, not a folder of runs" in _error(capsys, "run", "toy", "--runs", str(tmp_path / "runs"))
    assert toy == []


@pytest.fixture
def config_folder(tmp_path: Path) -> Path:
    """What a plan needs of a model: its configuration."""
    from transformers import LlamaConfig

    LlamaConfig(num_hidden_layers=3).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_plan_of_east_has_a_grid_unit_for_each_layer_and_rendering(
    config_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["run", "east", "--preset", "demo", "--model", str(config_folder), "--dry-run"]
    for step, units in (("1", 6), ("2", 4)):  # 3 layers, two renderings
        assert main([*argv, "--layer-step", step]) == 0
        out = capsys.readouterr().out
        assert sum(line.strip().startswith("grid-") for line in out.splitlines()) == units


def test_a_layer_that_the_model_does_not_have_is_one_line(
    config_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["run", "east", "--preset", "demo", "--model", str(config_folder), "--layers", "9", "--dry-run"]
    assert "layer 9 does not exist" in _error(capsys, *argv) and "0 to 2" in str(_error(capsys, *argv))


def _result(method: str, metric: str, **values: Any) -> dict[str, Any]:
    row = {"set": "test", "rendering": "buttons", "source": "", "method": method, "layer": -1, "multiplier": 0.0}
    row |= {"temperature": 1.0, "top_p": 1.0, "metric": metric, "prompts": 9, "dose": 0.0}
    row |= {"estimate": 0.25, "low": 0.125, "high": 0.5, "difference": 0.0, "difference_low": 0.0}
    return row | {"difference_high": 0.0} | values


def test_the_report_of_east_shows_the_chosen_condition_controls_and_claims(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    steered = {"layer": 2, "source": "buttons"}
    changed = {"difference": 0.5, "difference_low": 0.25, "difference_high": 0.75, "dose": 0.3}
    rows = [_result("unsteered", metric) for metric in ("entropy", "valid")]
    rows += [_result("east", metric, **steered, **changed, multiplier=4.0) for metric in ("entropy", "valid")]
    rows += [_result("east", metric, **steered, multiplier=8.0, estimate=0.99) for metric in ("entropy", "valid")]
    rows += [_result("shuffled", metric, **steered, multiplier=4.0) for metric in ("entropy", "valid")]
    verdicts = [("entropy rises", True, "+0.50 [+0.25, +0.75]"), ("validity falls", False, "flat [red]")]
    orderings = [{"rendering": "buttons", "ordering": o, "held": h, "evidence": e} for o, h, e in verdicts]
    with RunFolder.open(tmp_path, "east", {}, "mine", {}) as folder:
        folder.save_table("results", pd.DataFrame(rows))
        folder.save_table("orderings", pd.DataFrame(orderings))
        folder.write_json("chosen", {"buttons": {"layer": 2, "multiplier": 4.0}})
    print_report(load_run(folder.path), Console(width=140))
    out = capsys.readouterr().out
    east = next(line.split() for line in out.splitlines() if line.strip().startswith("EAST"))
    assert "buttons: chosen layer 2, dose 0.30" in out and "shuffled vector" in out and "0.99" not in out
    assert east[:2] == ["EAST", "0.30"] and "+0.50 [+0.25, +0.75]" in " ".join(east)
    assert "1 of 2 held" in out and "flat [red]" in out and str(folder.path) in out


def test_a_missing_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["run", "east", "--preset", "smoke", "--model", str(tmp_path / "nothing"), "--runs", str(tmp_path / "runs")]
    assert "cannot load" in _error(capsys, *argv) and not (tmp_path / "runs").exists()


@pytest.mark.skipif("bandit-agent" not in shipped_models(), reason="this checkout ships no bandit-agent")
@pytest.mark.slow
def test_east_runs_on_the_shipped_model_prints_its_tables_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("workbench.figures.saving._pictures", lambda figures, say: {})  # no browser here
    small = ["--renderings", "buttons", "--layers", "1", "--prompts", "4"]
    small += ["--eval-completions", "2", "--settings", "95", "105", "--runs", str(tmp_path)]
    assert main(["run", "east", "--preset", "smoke", *small]) == 0
    out = capsys.readouterr().out
    assert "buttons: chosen layer 1" in out and "claims of the paper" in out
    run = load_run(list_runs(tmp_path)["path"][0])
    assert run.status.state == "finished" and any(path.suffix == ".html" for path in run.figures)
    assert json.loads((run.path / "spec.json").read_text())["layers"] == [1]
