"""``workbench demo``: the ``demo`` preset of every family that has one, those on a fetched model first."""

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

_MINUTES = 1.25  # of a part whose sample sizes can be cut; all parts together are to take four on two cores


def demo(runs: Runs = Path("runs"), dry_run: DryRun = False, no_progress: NoProgress = False) -> int:
    """A first look in four minutes: steers a chat model (SmolLM2, fetched once), then the agents that come with this.

    Without a network the chat model is left out.  A demo that was stopped goes on when it is called again.
    """
    began = time.monotonic()
    parts = sorted((each for each in families().values() if "demo" in each.presets), key=_is_ready)
    for number, family in enumerate(parts, 1):
        gone = clock_text(time.monotonic() - began)
        log(f"part {number} of {len(parts)}, {gone} gone: {family.title}")
        if dry_run or _fetched(_model(family)):
            run_family(family, spec_of(family), runs=runs, dry_run=dry_run, no_progress=no_progress)
    log(f"{clock_text(time.monotonic() - began)} gone: that was the demo; docs/ has a page on each part")
    return 0


def spec_of(family: Family) -> BaseModel:
    """What the demo runs of a family: its preset, cut to a minute or so where the model is there at once."""
    spec = family.presets["demo"]
    cut = _is_ready(family) and getattr(spec, "sized", ())
    return spec.model_copy(update={"minutes": _MINUTES}) if cut else spec


def _model(family: Family) -> str:
    return str(getattr(family.presets["demo"], "model", ""))


def _is_ready(family: Family) -> bool:
    return _model(family) not in FETCHABLE


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
