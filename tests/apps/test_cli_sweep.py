"""``workbench sweep``: the plan, the run, its report and figures, and mistakes in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from apps.cli.main import main
from workbench.activations import ActivationSet
from workbench.runs import list_runs, load_results
from workbench.sites import Site

pytestmark = pytest.mark.slow

SWEEP = """
source: {kind: activations, path: saved}
targets: [colour, size]
probes:
  mass-mean:
  ridge-regression: {folds: [2, 3]}
seeds: [0]
folds: 3
shuffles: 1
resamples: 20
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sweep file beside saved activations of two layers, in which layer 1 holds the colour."""
    rng = np.random.default_rng(0)
    colour, size = rng.integers(0, 2, 40), rng.normal(size=40)
    x = rng.normal(size=(2, 40, 4))
    x[1, :, 0] += 30 * colour
    labels = {"colour": np.where(colour, "red", "blue"), "size": size}
    tensors = {Site(layer): torch.tensor(x[layer], dtype=torch.float32) for layer in (0, 1)}
    ActivationSet(tensors, labels, np.arange(40) // 2, "f" * 16, model="made-up").save(tmp_path / "saved")
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path / "sweep.yaml"


def _sweep(file: Path, *options: str) -> int:
    return main(["sweep", str(file), "--runs", str(file.parent / "runs"), "--jobs", "1", *options])


def _counts(out: str) -> list[str]:
    """Cells finished, cells failed, steps left, as the report has them."""
    lines = out.splitlines()
    (head,) = (number for number, line in enumerate(lines) if line.split() == ["finished", "failed", "steps", "left"])
    return next(line.split() for line in lines[head + 1 :] if line.strip(" ─"))


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser: the HTML of figures only."""
    monkeypatch.setattr("workbench.figures.saving._pictures", lambda figures, say: {})


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_dry_run_lists_every_cell_and_runs_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _sweep(file, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "1 captures, 6 cells" in out
    lines = [line.split() for line in out.splitlines() if "made-up" in line]
    assert ["made-up", "last", "1.resid_post", "colour", "mass-mean", "0"] in lines
    assert ["made-up", "last", "0.resid_post", "size", "ridge-regression", "folds", "3", "0"] in lines
    assert len(lines) == 6
    assert "3 folds, controls majority, shuffled" in out
    assert not (file.parent / "runs").exists()


def test_dry_run_refuses_a_name_that_is_no_file_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _sweep(file, "--dry-run", "--name", "a/b") == 2
    assert "run name 'a/b' cannot be a file name" in capsys.readouterr().err


def test_sweep_prints_the_best_site_and_draws(
    file: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _sweep(file, "--name", "first") == 0
    said = capsys.readouterr()
    assert "6 of 6 cells" in said.err and _counts(said.out) == ["6", "0", "0"]
    (line,) = (line for line in said.out.splitlines() if "mass-mean" in line)
    assert "1.resid_post  1.00 [1.00, 1.00]" in line and "+0.50" in line
    path = file.parent / "runs" / "sweep" / "first"
    assert {p.stem for p in (path / "figures").glob("*.html")} == {
        f"{kind}-made-up-{target}" for kind in ("layers", "heatmap") for target in ("colour", "size")
    }
    assert main(["runs", "show", "first", "--runs", str(file.parent / "runs")]) == 0
    assert "1.resid_post" in capsys.readouterr().out


def test_the_same_file_resumes_and_dry_run_shows_what_is_done(
    file: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    _sweep(file)
    (path,) = list_runs(file.parent / "runs")["path"]
    shard = next((Path(path) / "rows").glob("made-up*"))
    shard.unlink()
    capsys.readouterr()
    _sweep(file, "--dry-run")
    assert sum(line.rstrip().endswith("yes") for line in capsys.readouterr().out.splitlines()) == 5
    assert _sweep(file) == 0
    assert "6 of 6 cells" in capsys.readouterr().err and shard.exists()


def test_report_shows_an_unfinished_sweep_and_runs_nothing(
    file: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    _sweep(file, "--name", "first")
    path = file.parent / "runs" / "sweep" / "first"
    next((path / "rows").glob("made-up*mass*")).unlink()
    (path / "artifacts" / "results.parquet").unlink()
    capsys.readouterr()
    assert _sweep(file, "--name", "first", "--report") == 0
    assert _counts(capsys.readouterr().out) == ["5", "0", "1"]
    assert len(list((path / "rows").glob("made-up*"))) == 5


def test_failed_cells_are_named_and_make_exit_code_1(
    file: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(SWEEP.replace("targets: [colour", "targets: [{column: colour, task: regression}"))
    assert _sweep(file, "--name", "first") == 1
    said = capsys.readouterr()
    assert "4 of 8 cells failed, such as made-up_0-resid_post" in said.err and "tries them again" in said.err
    assert "holds no numbers to regress on" in said.out
    assert "best site" in said.out, "what worked is reported"
    rows = load_results(file.parent / "runs" / "sweep" / "first")
    assert rows[rows["status"] == "failed"]["cell"].nunique() == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("targets:", "tragets:", "no field 'tragets'; did you mean 'targets'"),
        ("folds: 3", "folds: many", "folds is 'many'"),
        ("[colour, size]", "[color, size]", "targets: there is no label 'color'; did you mean 'colour'"),
        ("mass-mean:", "mas-mean:", "probes: unknown probe 'mas-mean'; did you mean 'mass-mean'"),
        ("folds: [2, 3]", "fold: [2, 3]", "probes: probe 'ridge-regression' has no parameter 'fold'"),
        ("path: saved", "path: save", "no activations are saved in"),
        ("seeds: [0]", "seeds: [0]\nsites: [2]", "sites: blocks.2.hook_resid_post was not captured"),
        ("seeds: [0]", "seeds: [0]\nmodels: [bandit-agent]", "leave models out"),
        ("seeds: [0]", "seeds: [0]\ncontrols: [untrained]", "needs a model to capture"),
        ("seeds: [0]", "seeds: [0", "line 8: not YAML"),
        ("seeds: [0]", "seeds: [0]\nfolds: 4", "line 9: 'folds' is given twice"),
        ("seeds: [0]", "seeds: [0, 0]", "seeds is [0, 0]: 0 stands twice"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_before_anything_runs(
    file: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(SWEEP.replace(old, new))
    assert _sweep(file) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and said in lines[0]
    assert not (file.parent / "runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "slrum"], "unknown engine 'slrum'; did you mean 'slurm'"),
        (["--slurm", "partition"], "write KEY=VALUE"),
        (["--slurm", "partition=long"], "use engine 'slurm'"),
        (["--jobs", "0"], "jobs must be an integer of at least 1, not 0"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(
    file: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _sweep(file, *options) == 2
    assert said in capsys.readouterr().err
    assert not (file.parent / "runs").exists()
