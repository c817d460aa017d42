"""``workbench demo``: every family with a preset ``quick`` or ``demo``, those on a fetched model first."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel

from apps.cli.run import DryRun, run_family
from workbench.console import NoProgress, Runs, log
from workbench.errors import ModelError
from workbench.families import Family, families
from workbench.families.timing import clock_text
from workbench.models.fetching import fetch
from workbench.models.registry import FETCHABLE

_PRESETS = ("quick", "demo")


def demo(runs: Runs = Path("runs"), dry_run: DryRun = False, no_progress: NoProgress = False) -> int:
    """A first look in four minutes: steers a chat model (SmolLM2, fetched once), then the agents that come with this.

    Without a network the chat model is left out.  A demo that was stopped goes on when it is called again.
    """
    began = time.monotonic()
    parts = sorted((each for each in families().values() if "demo" in each.presets), key=_ships)
    for number, family in enumerate(parts, 1):
        gone = clock_text(time.monotonic() - began)
        log(f"part {number} of {len(parts)}, {gone} gone: {family.title}")
        spec = _spec(family)
        if dry_run or _fetched(getattr(spec, "model", "")):
            run_family(family, spec, runs=runs, dry_run=dry_run, no_progress=no_progress)
    log(f"{clock_text(time.monotonic() - began)} gone: that was the demo; docs/ has a page on each part")
    return 0


def _spec(family: Family) -> BaseModel:
    return next(family.presets[name] for name in _PRESETS if name in family.presets)


def _ships(family: Family) -> bool:
    return getattr(_spec(family), "model", "") not in FETCHABLE


def _fetched(model: str) -> bool:
    """Whether the model is here, fetched if need be; says why where it cannot be."""
    if model not in FETCHABLE:
        return True
    try:
        fetch(model, log)
    except ModelError as error:
        log(f"left out, for {model} is not here: {error}")
        return False
    return True
