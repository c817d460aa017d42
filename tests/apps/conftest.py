"""A folder with a finished EAST run, whose tables are those of the figures' tests; the app, opened at an address."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from tests.workbench.families.east.figures.east_run import write_run
from workbench.views.choices import path_of

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "apps" / "explorer" / "main.py"


@pytest.fixture(scope="session")
def write_east_run():
    """``write_east_run(root, name="first")`` makes a finished EAST run and returns its folder."""
    return write_run


@pytest.fixture
def no_examples(monkeypatch, tmp_path_factory):
    """The app as if no examples came with it."""
    import workbench.views.run_list

    monkeypatch.setattr(workbench.views.run_list, "EXAMPLES", tmp_path_factory.mktemp("none"))


class App(AppTest):
    """The app in a session of its own."""

    def turn_to(self, page):
        """Turn to a page, as a click on its name does."""
        self._page_hash = calc_hash(path_of(page))
        return self.run()


@pytest.fixture
def open_with_examples(monkeypatch):
    """``open_with_examples(root, page="EAST", view="Figures")``: a page on a folder of runs, which
    must have been drawn to its end if it is to be ``whole``."""

    def run(root, whole=True, page="Runs", examples=None, **address):
        monkeypatch.setenv("WORKBENCH_RUNS", str(root))
        app = App(str(MAIN), default_timeout=120)
        app.query_params.update({f"{path_of(page)}-{key}": value for key, value in address.items()})
        if examples is not None:
            app.query_params["examples"] = examples
        app.turn_to(page)
        assert not app.exception, app.exception[0].message
        broken = [error.value for error in app.error if "could not be drawn" in error.value]
        assert not (whole and broken), broken
        return app

    return run


@pytest.fixture
def open_app(open_with_examples, no_examples):
    """The same, as if no examples came with the app."""
    return open_with_examples
