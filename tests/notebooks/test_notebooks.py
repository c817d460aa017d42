"""Every notebook runs from top to bottom in a fresh kernel, at small size, and is paired with its ``.ipynb``.

A notebook runs in a temporary folder, and a hook in its kernel refuses to write into the repository.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from apps.cli.main import main
from tests.notebooks.pairing import NOTEBOOKS, paired
from tests.notebooks.pairing import main as pair
from workbench.families import families
from workbench.runs import list_runs

pytestmark = pytest.mark.slow

ROOT = NOTEBOOKS.parent
PATHS = sorted(NOTEBOOKS.glob("[0-9]*.py"))
HANGS_AFTER = 600  # seconds a cell may take on a machine that does much else

GUARD = """
import os, sys

def refuse_to_write_into_the_repository(event, arguments, root={root!r}):
    if event == "open":
        path, mode, flags = arguments
        writes = any(c in mode for c in "wax+") if mode else bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    else:
        path, writes = (arguments or [None])[0], event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
    if writes and isinstance(path, (str, bytes, os.PathLike)):
        if os.path.abspath(os.fsdecode(path)).startswith(root + os.sep):
            raise PermissionError("a notebook writes into the repository: " + os.fsdecode(path))

sys.addaudithook(refuse_to_write_into_the_repository)
"""
LAST = """
try:
    open({path!r}, "w")
except PermissionError as error:
    print("refused:", error)
"""


@dataclass
class Executed:
    """A notebook after its run, and the folder of runs that it used."""

    notebook: Any
    runs: Path

    def __post_init__(self) -> None:
        self.outputs = [o for cell in self.notebook.cells[:-1] for o in cell.get("outputs", [])]

    def text(self, stream: str) -> str:
        """All that was written to a stream."""
        return "".join(o["text"] for o in self.outputs if o["output_type"] == "stream" and o["name"] == stream)

    @property
    def figures(self) -> list[Any]:
        """What Jupyter is given for every figure."""
        bundles = [o["data"] for o in self.outputs if o["output_type"] in ("display_data", "execute_result")]
        return [bundle for bundle in bundles if "application/vnd.plotly.v1+json" in bundle]


def execute(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Executed:
    """Run a notebook at small size in a kernel of its own."""
    from nbclient import NotebookClient

    startup = folder / "ipython" / "profile_default" / "startup"
    (folder / "notebooks").mkdir()
    startup.mkdir(parents=True)
    (startup / "guard.py").write_text(GUARD.format(root=str(ROOT)))
    own = {"IPYTHONDIR": folder / "ipython", "JUPYTER_RUNTIME_DIR": folder / "jupyter", "WORKBENCH_SMALL": 1}
    own |= {"WORKBENCH_RUNS": folder / "runs", "PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": 1}
    for name, value in own.items():
        monkeypatch.setenv(name, str(value))
    notebook = jupytext.read(path)
    notebook.cells.append(nbformat.v4.new_code_cell(LAST.format(path=str(ROOT / "written-by-a-notebook"))))
    where = {"metadata": {"path": str(folder / "notebooks")}}
    NotebookClient(notebook, timeout=HANGS_AFTER, startup_timeout=HANGS_AFTER, resources=where).execute()
    return Executed(notebook, folder / "runs")


def check(ran: Executed) -> None:
    """What holds of every notebook."""
    assert ran.text("stderr") == "", "warnings and progress bars do not belong into a notebook"
    assert len(ran.figures) > 0, "a notebook shows at least one figure"
    assert all("Plotly.newPlot" in bundle["text/html"] for bundle in ran.figures), "exported HTML needs them as well"
    refused = "".join(o["text"] for o in ran.notebook.cells[-1]["outputs"])
    assert refused.startswith("refused: a notebook writes into the repository")


def test_there_is_a_notebook_for_each_family_and_each_way_to_extend() -> None:
    names = ["00_first_steps", "01_east", "02_goal_directedness", "03_internal_rl", "04_introspection"]
    own = ["05_your_own_model", "06_your_own_experiment", "07_steering"]
    assert [path.stem for path in PATHS] == [*names, *own]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_ipynb_says_what_the_py_says_and_holds_no_outputs(path: Path) -> None:
    kept = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert kept == paired(path), f"{path.stem}: run make notebooks"
    cells = nbformat.reads(kept, as_version=4).cells
    assert all(not c.outputs and c.execution_count is None for c in cells if c.cell_type == "code")


def test_an_edited_py_is_seen_and_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.notebooks.pairing.NOTEBOOKS", tmp_path)
    source = tmp_path / "00_first_steps.py"
    source.write_bytes(PATHS[0].read_bytes())
    assert pair() == 0 and pair(["--check"]) == 0
    source.write_text(source.read_text() + "\n# %%\n1 + 1\n")
    assert pair(["--check"]) == 1
    assert pair() == 0 and pair(["--check"]) == 0
    assert source.with_suffix(".ipynb").read_text().endswith("\n")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_notebook_uses_public_names_only(path: Path) -> None:
    private = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [*(getattr(node, "module", None) or "").split("."), *(a.name for a in node.names)]
        private += [name for name in names if name.startswith("_") and not name.endswith("__")]
    assert private == []


@pytest.mark.parametrize("path", [path for path in PATHS if path.stem != "01_east"], ids=lambda path: path.stem)
def test_the_notebook_runs_and_the_command_line_knows_its_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = execute(path, tmp_path, monkeypatch)
    check(ran)
    runs = list_runs(ran.runs)
    assert set(runs["status"]) <= {"finished"}
    for family, folder, units in zip(runs["experiment"], runs["path"], runs["total"], strict=True):
        if family in families() and families()[family].presets:
            words = families()[family].words.split()
            spec = ["--spec", str(Path(folder) / "spec.json"), "--runs", str(ran.runs), "--dry-run"]
            assert main(["run", *words, *spec]) == 0
            planned = capsys.readouterr().out
            assert Path(folder).name in planned and planned.count(" yes") == units


def test_the_notebook_opens_the_run_that_the_command_line_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.figures.saving._pictures", lambda figures, say: {})
    options = ["--preset", "smoke", "--renderings", "buttons", "--runs", str(tmp_path / "runs"), "--no-progress"]
    assert main(["run", "east", *options]) == 0
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("rows/*.parquet")}
    (path,) = (path for path in PATHS if path.stem == "01_east")
    ran = execute(path, tmp_path, monkeypatch)
    check(ran)
    assert len(before) == 8 and "[1/8]" not in ran.text("stdout")
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("rows/*.parquet")} == before


def test_start_reads_the_switch_and_finds_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.notebook import start

    for name in ("WORKBENCH_SMALL", "WORKBENCH_RUNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert start() == (False, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    assert start() == (False, tmp_path / "runs")
    monkeypatch.setenv("WORKBENCH_SMALL", "1")
    monkeypatch.setenv("WORKBENCH_RUNS", "~/elsewhere")
    assert start() == (True, Path(os.path.expanduser("~/elsewhere")))
    monkeypatch.setenv("WORKBENCH_SMALL", "0")
    assert not start()[0]
