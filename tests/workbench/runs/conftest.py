"""Run folders made for the tests."""

import pandas as pd
import pytest

from workbench.runs import RunFolder, run_cells

SPEC = {"layers": [1, 2], "model": {"name": "tiny", "dtype": "float32"}, "seed": 0}


@pytest.fixture
def spec():
    return dict(SPEC)


@pytest.fixture
def frame():
    """A table with the kinds of columns that results have."""
    return pd.DataFrame(
        {
            "episode": [0, 1],
            "entropy": [0.1 + 0.2, float("nan")],
            "arm": ["Button 1", None],
            "valid": [True, False],
            "setting": pd.Categorical(["95-105", "100-100"]),
        }
    )


@pytest.fixture
def finished_run(tmp_path, spec, frame):
    """Path of a finished run with rows, all kinds of artifacts, a figure and a log."""
    with RunFolder.open(tmp_path / "runs", "east", spec, name="first") as run:
        for step in run.plan(["b", "a"]):
            run.write(step, frame.assign(step=step))
        run.save_tensors(
            "vector", {"u": frame["episode"].to_numpy(dtype="float32")}, {"site": "blocks.1.hook_resid_post"}
        )
        run.save_table("summary", frame)
        run.write_json("words", {"more": ["uncertain"]})
        (run.path / "figures" / "entropy.html").write_text("<html></html>")
    return run.path


TOY_CELLS = '''
import os, signal, time
from pathlib import Path
import numpy as np, pandas as pd
from workbench.errors import DataError
from workbench.runs import Cell, RunFolder, run_cells
from workbench.seeding import derive_seed


def count(context, name):
    """One line a call, in a file that all processes append to."""
    with open(Path(context) / "calls.txt", "a") as file:
        file.write(name + chr(10))


def worker(cell, context):
    count(context, cell.name)
    time.sleep(float(os.environ.get("TOY_WAIT", "0")))
    mend = Path(context) / "mended"
    if cell.values.get("bad") and not mend.exists():
        raise DataError(f"{cell.name} is bad")
    if cell.values.get("deadly") and not mend.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    rng = np.random.default_rng(derive_seed(0, cell.name))
    return pd.DataFrame({"metric": ["a", "b"], "score": rng.normal(size=2)})


def threads(cell, context):
    return pd.DataFrame({"threads": [os.environ["OMP_NUM_THREADS"]], "pid": [os.getpid()]})


def cells(n, **values):
    return [Cell(f"cell-{i}", {"i": i, **values}) for i in range(n)]


def sweep(root, n, jobs):
    from workbench.runs.engines import LocalEngine

    with RunFolder.open(root, "sweep", {"n": n}, "toy", {}) as folder:
        run_cells(folder, cells(n), worker, root, LocalEngine(jobs))
'''


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A module with workers for sweeps, which other processes can import as well."""
    import importlib
    import os
    import sys

    from joblib.externals.loky import get_reusable_executor

    # Processes that other tests left waiting do not know the folder.
    get_reusable_executor().shutdown(wait=True)
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy_cells.py").write_text(TOY_CELLS)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([before] if before else [])])
    sys.path.insert(0, str(folder))
    yield importlib.import_module("toy_cells")
    sys.path.remove(str(folder))
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture
def run_toy(toy, tmp_path):
    """``run_toy(cells, engine)`` runs them in one run folder and returns it (closed) with the errors."""

    def run(cells, engine, worker=toy.worker, **options):
        with RunFolder.open(tmp_path, "sweep", {"n": len(cells)}, "toy", {}) as folder:
            errors = run_cells(folder, cells, worker, tmp_path, engine, **options)
        return folder, errors

    return run


@pytest.fixture
def calls(tmp_path):
    """The cells that workers were called with, one entry a call."""
    return lambda: (tmp_path / "calls.txt").read_text().split() if (tmp_path / "calls.txt").exists() else []
