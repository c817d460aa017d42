"""Agents that act in environments with a model: prompt, completion, parsed action, and batched rollouts of episodes.

An agent knows nothing of steering: an experiment rolls it out with interventions on.  Importing this package is light:
a name imports what stands behind it when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.agents.grid_agent import GridAgent
    from workbench.agents.grid_play import episodes_of, play_grids
    from workbench.agents.language_agent import LanguageAgent
    from workbench.agents.pinpad_play import Played, play_pinpad

__all__ = ["GridAgent", "LanguageAgent", "Played", "episodes_of", "play_grids", "play_pinpad"]

_MODULES = {
    "grid_agent": ("GridAgent",),
    "grid_play": ("episodes_of", "play_grids"),
    "language_agent": ("LanguageAgent",),
    "pinpad_play": ("Played", "play_pinpad"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
