"""Run folders made for the tests."""

import pandas as pd
import pytest

from workbench.runs import RunFolder

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
        for unit in run.plan(["b", "a"]):
            run.write(unit, frame.assign(unit=unit))
        run.save_tensors(
            "vector", {"u": frame["episode"].to_numpy(dtype="float32")}, {"site": "blocks.1.hook_resid_post"}
        )
        run.save_table("summary", frame)
        run.write_json("words", {"more": ["uncertain"]})
        run.figure_path("entropy.html").write_text("<html></html>")
    return run.path
