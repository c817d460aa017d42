"""A family that another package brings: installed, it works in every way without a change to an existing file."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from apps.cli.main import main
from tests.killing import kill_run, row_files
from workbench.families import families
from workbench.runs import load_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "workbench" / "families" / "toy_package"
MAX_LINES = 60
WORKBENCH = [sys.executable, "-m", "apps.cli"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in, with its entry point."""
    copy, site = (tmp_path_factory.mktemp(name) for name in ("package", "site"))
    shutil.copytree(PACKAGE, copy, dirs_exist_ok=True)  # building leaves files beside the source
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(copy)], check=True)
    return site


@pytest.fixture(scope="module")
def found(installed: Path) -> Iterator[None]:
    """This process and those that it starts meanwhile find the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(installed), prepend=os.pathsep)
        patch.syspath_prepend(installed)
        patch.setattr("workbench.figures.saving._pictures", lambda figures, say: {})  # no browser here
        families.cache_clear()
        yield
    families.cache_clear()
    sys.modules.pop("toy_family", None)


def workbench(*words: object) -> str:
    """What a command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([*map(str, words)]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def ran(found: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of it, and what the command printed."""
    runs = tmp_path_factory.mktemp("runs")
    return runs, workbench("run", "toy", "--name", "first", "--runs", runs)


def test_the_whole_family_is_one_file_of_at_most_60_lines() -> None:
    assert len((PACKAGE / "toy_family.py").read_text().splitlines()) <= MAX_LINES


def test_the_docs_show_the_file_as_it_is() -> None:
    text = (ROOT / "docs" / "families.md").read_text()
    source = squeezed((PACKAGE / "toy_family.py").read_text() + (PACKAGE / "pyproject.toml").read_text())
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", text, re.S)
    lines = [line.partition("  # ")[0] for block in blocks for line in block.splitlines()]
    assert len(lines) > 40
    assert not [line for line in lines if not all(squeezed(part) in source for part in line.split("..."))]


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_help_lists_it_and_its_options(found: None) -> None:
    assert "Toy: how the residual stream grows" in workbench("run", "--help")
    options = workbench("run", "toy", "--help")
    assert "--texts" in options and "Button 1 paid 90 points." in options and "--backend" in options


def test_dry_run_prints_its_steps_and_writes_nothing(found: None, tmp_path: Path) -> None:
    out = workbench("run", "toy", "--dry-run", "--runs", tmp_path / "runs")
    assert "toy: 6 steps" in out and "read layer 5" in out and not (tmp_path / "runs").exists()
    assert "completions" not in out and "tokens" not in out  # it draws none


def test_a_run_prints_its_report_and_claims_and_draws_its_figures(ran: tuple[Path, str]) -> None:
    runs, out = ran
    assert "Norm of the residual stream" in out and "15.12 [13.71, 16.69]" in out
    assert "1 of 1 held" in out and "the norm grows with depth" in out
    assert (runs / "toy" / "first" / "figures" / "norms.html").exists()


def test_runs_are_listed_and_shown(ran: tuple[Path, str]) -> None:
    runs, _ = ran
    listed = [line.split()[:4] for line in workbench("runs", "list", "--runs", runs).splitlines()]
    assert ["toy", "first", "finished", "6/6"] in listed
    shown = workbench("runs", "show", runs / "toy" / "first")
    assert "toy/first: finished, 6 of 6 steps" in shown and "norm, last layer less first" in shown


def test_killed_in_the_middle_it_goes_on_to_the_same_tables(found: None, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"texts: {[f'Button 1 paid {i} points.' for i in range(200)]}\n")
    command = ["run", "toy", "--spec", spec, "--name", "first", "--runs"]
    killed, whole = (tmp_path / name / "toy" / "first" for name in ("killed", "whole"))
    kill_run(killed, 2, [*WORKBENCH, *map(str, command), str(tmp_path / "killed")])
    done = {path.name: path.stat().st_mtime_ns for path in row_files(killed)}
    workbench(*command, tmp_path / "killed")
    workbench(*command, tmp_path / "whole")
    assert done.items() <= {path.name: path.stat().st_mtime_ns for path in row_files(killed)}.items()
    for table in ("norms", "claims"):
        ours, theirs = (load_run(path).load_table(table) for path in (killed, whole))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_the_explorer_has_a_page_with_its_figure_and_claims(ran: tuple[Path, str], open_app) -> None:
    runs, _ = ran
    app = open_app(runs, page="Toy")
    assert "the norm grows with depth" in app.dataframe[0].value["claim"].tolist()
    app = open_app(runs, page="Toy", view="Figures")
    assert app.get("plotly_chart")
