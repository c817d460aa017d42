"""Settings for every test: nothing asks the network, one torch thread a process, the same examples in every CI run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Set before any test imports torch or transformers, which read these once.
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    WANDB_MODE="disabled",
    TOKENIZERS_PARALLELISM="false",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test cuts the power, so none needs to wait for the disk.
os.fsync = lambda descriptor: None

# No deadline: a first call pays for imports.  CI draws the same examples each time; elsewhere new ones are tried.
settings.register_profile("local", deadline=None, max_examples=30)
settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Fixtures that run an experiment to its end, or play all that its probes read.
WHOLE_RUNS = {
    "east_run",
    "steer_run",
    "personality_run",
    "deception_run",
    "goal_run",
    "goal_data",
    "internal_run",
    "injection_run",
    "self_prediction_run",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a whole run are slow."""
    for item in items:
        if WHOLE_RUNS & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def own_event_loop() -> Iterator[None]:
    """A test may run an event loop although Playwright's, of browser tests before it in this process, stands still."""
    standing = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(standing)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of large real files that are not in the repository; skips the test where it is absent."""
    folder = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (WORKBENCH_SHARED names another folder)")
    return folder


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder in float32; skips the test where it cannot be fetched."""
    from workbench.errors import WorkbenchError
    from workbench.models.fetching import fetch

    try:
        return fetch("smollm2-135m")
    except WorkbenchError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def smollm2(smollm2_folder: Path):  # type: ignore[no-untyped-def]  # as below
    """SmolLM2-135M-Instruct in float32, loaded once a process; tests do not change it."""
    from workbench.models import load_model

    return load_model("smollm2-135m", device="cpu")


@pytest.fixture(scope="session")
def bandit_model():  # type: ignore[no-untyped-def]  # importing LanguageModel here would load torch for every test
    """The shipped bandit agent, loaded once a process; tests do not change it."""
    from workbench.models import load_model

    return load_model("bandit-agent", device="cpu")
