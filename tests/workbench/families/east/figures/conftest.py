"""The tables and the run of ``east_run.py``, made once."""

import pytest

from tests.workbench.families.east.figures import east_run as made


@pytest.fixture(scope="session")
def east_tables():
    return made.tables()


@pytest.fixture(scope="session")
def east_units():
    return made.units()


@pytest.fixture(scope="session")
def east_chosen():
    return dict.fromkeys(made.RENDERINGS, made.CHOSEN)


@pytest.fixture(scope="session")
def made_run(tmp_path_factory):
    return made.write_run(tmp_path_factory.mktemp("runs"))
