"""One smoke-sized EAST run, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def east_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.experiments import east

    return east.run(east.PRESETS["smoke"], tmp_path_factory.mktemp("runs"))
