"""Bandits: arms, Gymnasium environments, oracles, texts, and the language agent that plays them.

Importing this package is light: torch is loaded when the agent is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.discovery import attribute
from workbench.lazy import lazy_exports
from workbench.training import Recipe
from workbench.worlds.world import World

if TYPE_CHECKING:
    from workbench.worlds.bandits.agents.language_agent import LanguageAgent
    from workbench.worlds.bandits.arms import BernoulliArms, GaussianArms, reward_table
    from workbench.worlds.bandits.bandit import BernoulliBandit, GaussianBandit
    from workbench.worlds.bandits.episodes import play
    from workbench.worlds.bandits.oracles import ORACLES, Oracle, make_oracle

__getattr__, __dir__, __all__ = lazy_exports(__name__, "WORLD")

_TRAINING = f"{__name__}.training"
WORLD = World(
    "bandits",
    "Bandits: buttons and slot machines in words",
    recipes=(
        Recipe("bandit-agent", "train the shipped bandit player from scratch", f"{_TRAINING}.agent"),
        Recipe(
            "bandit-smollm2",
            "finetune SmolLM2 on bandits' teachers (LoRA)",
            f"{_TRAINING}.smollm2",
            quality="summary_quality",
        ),
    ),
    sources={"bandit-steps": attribute(__name__, "probe_source:BANDIT_STEPS")},
    games={"Bandit": attribute(__name__, "playground:GAME")},
)
