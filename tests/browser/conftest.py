"""A real server, a real browser, and tabs that fail for whatever a user would call broken.

The server is the one of ``workbench app``, on a free port of 127.0.0.1 and a folder of runs of its own.  The browser is
the Chromium of this machine ($CHROMIUM, or found on PATH); Playwright's own is never downloaded, and without one the
tests are skipped.  Every tab lives in a browser context of its own, as another user's would.  A script exception, a
message on the browser's console, an answer that is an error and a request to another machine fail the test that saw it.

WORKBENCH_SCREENSHOTS=DIR keeps the screenshots in DIR; without it they are in pytest's folder of temporary files.
"""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "apps" / "explorer" / "examples"
TABLES = ROOT / "tests" / "workbench" / "figures"
NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--no-first-run",
)  # fmt: skip
PATIENCE = 120.0  # seconds: two workers share the machine with the models
STILL = """quiet => {
    const app = document.querySelector('[data-testid=stApp]'), now = performance.now();
    const busy = !app || app.dataset.testScriptState !== 'notRunning'
        || document.querySelector('[class*=st-key-cancel-], [data-testid=stSkeleton], [data-testid=stSpinner]');
    if (busy || window.stillSince === undefined) window.stillSince = now;
    return !busy && now - window.stillSince > quiet;
}"""
OVERFLOW = """() => Math.max(...[document.documentElement, ...document.querySelectorAll('[data-testid=stMain]')]
    .map(each => each.scrollWidth - each.clientWidth))"""
TABS = pytest.StashKey[list["Tab"]]()


@dataclass
class Server:
    """``workbench app`` on a folder of runs."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    read: int = 0

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def traces(self) -> str:
        """What the server has written since the last call, if there is a traceback in it."""
        text = self.log.read_text(errors="replace")[self.read :]
        self.read += len(text)
        return text if "Traceback" in text else ""


@dataclass
class Tab:
    """A browser tab on the app, and what went wrong in it (``faults``)."""

    page: Any
    server: Server
    shots: Path
    faults: list[str] = field(default_factory=list)

    def watch(self) -> Tab:
        """Note faults from now on."""
        page = self.page
        page.on("pageerror", lambda error: self.faults.append(f"error in the page: {error}"))
        page.on("console", lambda said: said.type == "error" and self.faults.append(f"console: {said.text}"))
        page.on("response", lambda got: got.status >= 400 and self.faults.append(f"{got.status} for {got.url}"))
        page.on("request", self._asked)
        return self

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.server.url).netloc:
            self.faults.append(f"request to {request.url}")

    def go(self, page: str = "", **query: str) -> Tab:
        """Open a page at an address."""
        return self.visit(f"{self.server.url}/?{urlencode(({'page': page} if page else {}) | query)}")

    def visit(self, url: str) -> Tab:
        """Open an address as it is."""
        self.page.goto(url)
        return self.settle()

    def settle(self, quiet: float = 0.15) -> Tab:
        """Wait until the script and its background work have ended, and stayed so for ``quiet`` seconds."""
        self.page.evaluate("window.stillSince = undefined")
        self.page.wait_for_function(STILL, arg=1000 * quiet, timeout=1000 * PATIENCE, polling=50)
        trouble = self.page.get_by_test_id("stException").all_inner_texts()
        assert not trouble, trouble[0][:2000]
        return self

    def turn_to(self, page: str) -> Tab:
        """Click a page in the sidebar."""
        self.page.get_by_test_id("stSidebar").get_by_role("radiogroup", name="Page").get_by_text(
            page, exact=True
        ).click()
        return self.settle()

    def open_all(self) -> Iterator[str]:
        """Open each tab of the page in turn, those inside of others too; one empty name where there is none."""
        seen: set[str] = set()
        all_tabs = self.page.get_by_test_id("stMain").get_by_role("tab")
        while unseen := [name for name in all_tabs.all_inner_texts() if name not in seen]:
            all_tabs.get_by_text(unseen[-1], exact=True).first.click()
            seen.add(unseen[-1])
            self.settle()
            yield unseen[-1]
        if not seen:
            yield ""

    def choose(self, label: str, option: str) -> Tab:
        """Pick an option of a list by what it is called on the page."""
        self.page.get_by_role("combobox", name=label, exact=True).click()
        self.page.get_by_role("option", name=option, exact=True).click()
        return self.settle()

    def press(self, button: str) -> Tab:
        """Click a button, or one of a few options."""
        main = self.page.get_by_test_id("stMain")
        main.get_by_role("button", name=button).or_(main.get_by_role("radio", name=button)).first.click()
        return self.settle()

    def fill(self, label: str, text: str) -> Tab:
        """Type into a field and leave it."""
        box = self.page.get_by_label(label, exact=True)
        box.fill(text)
        box.blur()
        return self.settle()

    def slide(self, label: str, key: str, times: int = 1) -> Tab:
        """Press a key on a slider: ArrowRight, ArrowLeft, PageUp, Home..."""
        handle = self.page.get_by_role("slider", name=label)
        handle.focus()
        for _ in range(times):
            handle.press(key)
        return self.settle(1.0)  # the page waits a moment for more keys

    @property
    def heading(self) -> str:
        """Of the page."""
        return str(self.page.get_by_test_id("stMain").get_by_role("heading", level=2).first.inner_text())

    @property
    def text(self) -> str:
        """All that can be read on the page."""
        return str(self.page.get_by_test_id("stMain").inner_text())

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate(OVERFLOW))

    def charts(self) -> list[str]:
        """Titles of the figures that can be seen (empty for those without one)."""
        script = "all => all.filter(e => e.offsetParent).map(e => (e.layout.title && e.layout.title.text) || '')"
        return list(self.page.locator(".js-plotly-plot").evaluate_all(script))

    def shoot(self, name: str) -> Path:
        """Write a screenshot of the whole page."""
        path = self.shots / f"{re.sub('[^A-Za-z0-9]+', '-', name).strip('-').lower()}.png"
        tall = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        size = self.page.viewport_size
        self.page.set_viewport_size({"width": size["width"], "height": min(max(size["height"], tall), 4000)})
        self.page.screenshot(path=path)
        self.page.set_viewport_size(size)
        return path


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


# Scope package, not session: while Playwright runs, its event loop keeps other tests of this process from having one.
@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the screenshots go."""
    kept = os.environ.get("WORKBENCH_SCREENSHOTS")
    folder = Path(kept).resolve() if kept else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def start_app(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Any]:
    """``with start_app(folder) as server``: the app as the command line starts it, ended as Ctrl-C ends it."""

    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[Server]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = tmp_path_factory.mktemp("app") / "log.txt"
        command = [sys.executable, "-m", "apps.cli", "app", "--runs", str(folder), "--port", str(port)]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )
        server = Server(f"http://127.0.0.1:{port}", folder, process, log)
        try:
            _wait_for(server)
            yield server
        finally:
            _end(process)

    return start


def _wait_for(server: Server) -> None:
    last = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=5):
            return
        assert server.process.poll() is None and time.monotonic() < last, server.log.read_text(errors="replace")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    for each in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, each)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


@pytest.fixture(scope="package")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: the shipped examples, small runs where there are none, and one that is broken."""
    root = tmp_path_factory.mktemp("shown") / "runs"
    if EXAMPLES.is_dir():
        shutil.copytree(EXAMPLES, root)
    write_east = runpy.run_path(str(TABLES / "conftest.py"))["write_run"]
    if not (root / "east").is_dir():
        write_east(root, "small")
    if not (root / "goal-directedness").is_dir():
        runpy.run_path(str(TABLES / "goal_run.py"))["write_run"](root)
    (write_east(root, "broken") / "spec.json").write_text('{"model": ')
    return root


@pytest.fixture(scope="package")
def server(chromium: str, runs: Path, start_app: Callable[[Path], Any]) -> Iterator[Server]:
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
                report.sections.append(("screenshot", f"{tab.page.url}\n{tab.shoot(f'failed {item.name} {number}')}"))
    return report
