"""A folder with a finished EAST run; its tables are those of the tests of the figures."""

import runpy
from pathlib import Path

import pytest

FIGURES = Path(__file__).parents[1] / "workbench" / "figures" / "conftest.py"


@pytest.fixture(scope="session")
def write_east_run():
    """``write_east_run(root, name="first")`` makes a finished EAST run and returns its folder."""
    return runpy.run_path(str(FIGURES))["write_run"]
