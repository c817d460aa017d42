"""Sweeps from the form: started, watched, cancelled; a small one runs to its end and its results open."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.runs import load_run

pytestmark = pytest.mark.slow

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

# The form of the first template, made small.  SLOW has 30 cells, layers by seeds, and all controls in each of them.
SMALL = {
    "view": "Start", "episodes0": "2", "horizon0": "4", "completions0": "2", "targets0": "entropy",
    "probes0": "ridge-regression", "controls": "majority",
}  # fmt: skip
SLOW = {key: value for key, value in SMALL.items() if key != "controls"} | {
    "seeds": "5", "probes0": "mlp-regression", "horizon0": "20", "episodes0": "12",
}  # fmt: skip
FIRST = "How uncertain the bandit agent is"


def start(tab: Any, name: str, form: dict[str, str]) -> Any:
    """Start the sweep of a form; returns its box on the page."""
    tab.go("Sweeps", **form)
    expect(tab.page.get_by_role("combobox", name="Begin with")).to_have_value(FIRST)
    tab.fill("Name of the run", name)
    assert f"--name {name}" in tab.text and "models: [bandit-agent]" in tab.text
    tab.press("Start")
    return tab.page.locator(f".st-key-started-{name}")


def command(runs: Path, name: str) -> psutil.Process:
    """The process of a sweep that was started."""
    return psutil.Process(json.loads((runs / "sweeps" / f"{name}.json").read_text())["pid"])


def test_small_sweep_finishes_and_its_results_open(tab: Any, runs: Path) -> None:
    box = start(tab, "small", SMALL)
    expect(box).to_contain_text("sweep/small: running")
    tab.shoot("sweeps running")
    expect(box).to_contain_text("sweep/small: finished")
    expect(box).to_contain_text(re.compile(r"(\d+) of \1 steps"))
    box.get_by_role("button", name="Open its results").click()
    tab.settle().shoot("sweeps finished")
    expect(tab.page.get_by_role("combobox", name="Run", exact=True)).to_have_value("sweep/small")
    assert len(tab.charts()) == 1
    run = load_run(runs / "sweep" / "small")
    assert run.status.state == "finished" and set(run.rows()["layer"]) == set(range(6))


def test_sweep_is_watched_cancelled_and_keeps_what_was_finished(tab: Any, runs: Path) -> None:
    box = start(tab, "long", SLOW)
    process = command(runs, "long")
    assert process.is_running() and "sweep" in process.cmdline()
    progress = box.get_by_test_id("stProgress")
    expect(progress).to_contain_text(re.compile(r"[1-9]\d* of \d+ steps"))
    seen = progress.inner_text()
    expect(progress).not_to_have_text(seen)  # the page keeps itself up to date
    box.get_by_role("button", name="Cancel").click()
    expect(box).to_contain_text("sweep/long: interrupted")
    tab.settle().shoot("sweeps cancelled")
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    run = load_run(runs / "sweep" / "long")
    assert run.status.state == "interrupted" and 1 < len(run.steps()) < run.status.total
    tab.go("Runs", run="sweep/long")
    assert f"sweep/long: interrupted, {len(run.steps())} of {run.status.total} steps" in tab.text
