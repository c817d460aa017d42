"""The sources of sweeps: each is registered in :data:`SOURCES` under the ``kind`` that a sweep file writes, as
``module:name`` of a :class:`~workbench.activations.sources.Source` (or of its ``capture`` function alone).
"""

from __future__ import annotations

import importlib

from workbench.activations.sources import Source
from workbench.errors import SpecError, did_you_mean

__all__ = ["SOURCES", "find_source"]

# kind -> module:Source; a new source is one file and one line here.
SOURCES: dict[str, str] = {
    "texts": "workbench.families.probe_sweep.texts:TEXTS",
    "activations": "workbench.families.probe_sweep.stored:STORED",
    "grid-states": "workbench.worlds.grids.probe_source:GRID_STATES",
    "bandit-steps": "workbench.worlds.bandits.probe_source:BANDIT_STEPS",
}


def find_source(kind: str) -> Source:
    """The source registered under ``kind``; :class:`SpecError` when there is none."""
    if kind not in SOURCES:
        raise SpecError(f"source: unknown kind {kind!r}{did_you_mean(kind, SOURCES)}")
    module, _, name = SOURCES[kind].partition(":")
    found = getattr(importlib.import_module(module), name)
    return found if isinstance(found, Source) else Source(found)
