"""Agents that act in environments with a model: prompt, completion, parsed action, and batched rollouts of episodes.

An agent knows nothing of steering: an experiment rolls it out with interventions on.  Importing this package is light:
a name imports what stands behind it when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

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
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
