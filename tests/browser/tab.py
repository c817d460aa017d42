"""A browser tab on the explorer: what a user does in it, what can be seen, and what went wrong (``faults``).

Faults are errors of the page, errors on the browser's console, answers that are errors, and requests to any other
machine than the server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.browser.serving import PATIENCE, Server
from workbench.views.choices import path_of

__all__ = ["Tab"]

STILL = """quiet => {
    const app = document.querySelector('[data-testid=stApp]'), now = performance.now();
    const work = [...document.querySelectorAll('[class*=st-key-cancel-]')];
    const busy = !app || app.dataset.testScriptState !== 'notRunning'
        || work.some(each => /st-key-cancel-[0-9a-f]{16}( |$)/.test(each.className))
        || document.querySelector('[data-testid=stSkeleton], [data-testid=stSpinner]');
    if (busy || window.stillSince === undefined) window.stillSince = now;
    return !busy && now - window.stillSince > quiet;
}"""
PROBED = re.compile(r"/[^/]+/_stcore/(health|host-config)$")  # Streamlit asks below the page's path first
KEPT = os.environ.get("WORKBENCH_SCREENSHOTS")
OVERFLOW = """() => Math.max(...[document.documentElement, ...document.querySelectorAll('[data-testid=stMain]')]
    .map(each => each.scrollWidth - each.clientWidth))"""


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
        page.on("console", lambda said: said.type == "error" and self._said(said))
        page.on("response", lambda got: got.status >= 400 and not PROBED.search(got.url) and self._failed(got))
        page.on("request", self._asked)
        return self

    def _said(self, message: Any) -> None:
        if not PROBED.search(message.location.get("url", "")):
            self.faults.append(f"console: {message.text}")

    def _failed(self, response: Any) -> None:
        self.faults.append(f"{response.status} for {response.url}")

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.server.url).netloc:
            self.faults.append(f"request to {request.url}")

    def go(self, page: str = "", **query: str) -> Tab:
        """Open a page at an address."""
        path = path_of(page)
        place = "" if page == "Runs" else path  # the first page has the bare address
        return self.visit(f"{self.server.url}/{place}?{urlencode({f'{path}-{name}': query[name] for name in query})}")

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
        self.page.get_by_test_id("stSidebarNav").get_by_text(page, exact=True).click()
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
        self.page.keyboard.type(option)  # of a long list the page holds only what is near
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

    def shoot(self, name: str, failed: bool = False) -> Path | None:
        """Write a screenshot of the whole page, which takes a second, where they are kept or the test has failed."""
        if not (failed or KEPT):
            return None
        path = self.shots / f"{re.sub('[^A-Za-z0-9]+', '-', name).strip('-').lower()}.png"
        tall = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        size = self.page.viewport_size
        self.page.set_viewport_size({"width": size["width"], "height": min(max(size["height"], tall), 4000)})
        self.page.screenshot(path=path)
        self.page.set_viewport_size(size)
        return path
