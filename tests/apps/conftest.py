"""A folder with a finished EAST run, whose tables are those of the figures' tests; the app, opened at an address."""

import runpy
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "tests/workbench/families/east/figures/conftest.py"
MAIN = ROOT / "apps" / "explorer" / "main.py"


@pytest.fixture(scope="session")
def write_east_run():
    """``write_east_run(root, name="first")`` makes a finished EAST run and returns its folder."""
    return runpy.run_path(str(FIGURES))["write_run"]


@pytest.fixture
def no_examples(monkeypatch, tmp_path_factory):
    """The app as if no examples came with it."""
    import workbench.views.run_list

    monkeypatch.setattr(workbench.views.run_list, "EXAMPLES", tmp_path_factory.mktemp("none"))


@pytest.fixture
def open_with_examples(monkeypatch):
    """``open_with_examples(root, page="EAST")``: the app on a folder of runs, at an address; unless not ``whole`` the
    page must have been drawn to its end."""

    def run(root, whole=True, **address):
        monkeypatch.setenv("WORKBENCH_RUNS", str(root))
        app = AppTest.from_file(str(MAIN), default_timeout=120)
        for key, value in address.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception[0].message
        broken = [error.value for error in app.error if "could not be drawn" in error.value]
        assert not (whole and broken), broken
        return app

    return run


@pytest.fixture
def open_app(open_with_examples, no_examples):
    """The same, as if no examples came with the app."""
    return open_with_examples
