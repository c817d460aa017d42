"""A real server, a real browser, and tabs that fail for whatever a user would call broken.

The server is the one of ``workbench app``, on a free port of 127.0.0.1 and a folder of runs of its own; each worker of
pytest-xdist has one.  The browser is the Chromium of this machine ($CHROMIUM, or found on PATH); Playwright's own is
never downloaded, and without one the tests are skipped.  Every tab lives in a browser context of its own, as another
user's would.

WORKBENCH_SCREENSHOTS=DIR keeps screenshots in DIR; without it there are only those of failed tests, in pytest's folder
of temporary files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.serving import PATIENCE, ROOT, Server, serving
from tests.browser.tab import KEPT, Tab
from tests.workbench.families.east.figures import east_run
from tests.workbench.families.goal_directedness.figures import goal_run as made_goal_run

EXAMPLES = ROOT / "workbench" / "views" / "examples"
NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--no-first-run",
)  # fmt: skip
TABS = pytest.StashKey[list[Tab]]()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; skips the tests where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[browser]'")
    asked = os.environ.get("CHROMIUM")
    found = shutil.which(asked) if asked else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        where = f"$CHROMIUM, {asked}, is no program" if asked else f"none of {', '.join(NAMES)} is on PATH"
        pytest.skip(f"no Chromium: {where} (Debian: apt-get install chromium)")
    return found


@pytest.fixture(autouse=True)
def own_event_loop() -> None:
    """Here the loop is Playwright's."""


# Scope package, not session: while Playwright runs, its event loop keeps other tests of this process from having one.
@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * PATIENCE)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the screenshots go."""
    folder = Path(KEPT).resolve() if KEPT else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def start_app(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Any]:
    """``with start_app(folder) as server``: the app on a folder of runs."""
    return lambda folder: serving(folder, tmp_path_factory.mktemp("app") / "log.txt")


@pytest.fixture(scope="package")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: the shipped examples, small runs where there are none, and one that is broken."""
    root = tmp_path_factory.mktemp("shown") / "runs"
    if EXAMPLES.is_dir():
        shutil.copytree(EXAMPLES, root)
    if not (root / "east").is_dir():
        east_run.write_run(root, "small")
    if not (root / "goal-directedness").is_dir():
        made_goal_run.write_run(root)
    (east_run.write_run(root, "broken") / "spec.json").write_text('{"model": ')
    return root


@pytest.fixture(scope="package")
def goal_run(runs: Path) -> str:
    """Name of a finished run of goal-directedness."""
    return f"goal-directedness/{min(each.name for each in (runs / 'goal-directedness').iterdir())}"


@pytest.fixture(scope="package")
def server(runs: Path, start_app: Callable[[Path], Any]) -> Iterator[Server]:
    """The app on ``runs``."""
    with start_app(runs) as started:
        yield started


@pytest.fixture
def open_tab(browser: Any, request: pytest.FixtureRequest, shots: Path) -> Iterator[Callable[..., Tab]]:
    """``open_tab(server, width=1280, dark=False)``: a tab in a context of its own, watched for faults."""
    tabs: list[Tab] = []
    request.node.stash[TABS] = tabs

    def start(server: Server, width: int = 1280, height: int = 900, dark: bool = False) -> Tab:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(1000 * PATIENCE)
        tabs.append(Tab(context.new_page(), server, shots).watch())
        return tabs[-1]

    yield start
    for tab in tabs:
        tab.page.context.close()
    faults = [fault for tab in tabs for fault in tab.faults] + [trace for tab in tabs if (trace := tab.server.traces())]
    assert not faults, "\n".join(faults)


@pytest.fixture
def tab(open_tab: Callable[..., Tab], server: Server) -> Tab:
    """A tab on the app."""
    return open_tab(server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failed test leaves pictures of its tabs."""
    report = yield
    if call.when == "call" and report.failed:
        for number, tab in enumerate(item.stash.get(TABS, [])):
            with contextlib.suppress(Exception):
                picture = tab.shoot(f"failed {item.name} {number}", failed=True)
                report.sections.append(("screenshot", f"{tab.page.url}\n{picture}"))
    return report
