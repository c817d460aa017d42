"""Gymnasium environments and their oracles.

Importing this package registers ``workbench/GaussianBandit-v0`` and ``workbench/BernoulliBandit-v0``; without the
import, ``gymnasium.make("workbench.environments:workbench/GaussianBandit-v0", means=(95, 105))`` does both at once.
"""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

from workbench.environments.arms import BernoulliArms, GaussianArms, reward_table
from workbench.environments.bandits import BernoulliBandit, GaussianBandit
from workbench.environments.episodes import play
from workbench.environments.oracles import ORACLES, Oracle, make_oracle

__all__ = [
    "ORACLES",
    "BernoulliArms",
    "BernoulliBandit",
    "GaussianArms",
    "GaussianBandit",
    "Oracle",
    "make_oracle",
    "play",
    "reward_table",
]

for _name in ("GaussianBandit", "BernoulliBandit"):
    if f"workbench/{_name}-v0" not in registry:  # a reload must not warn of overriding
        register(
            id=f"workbench/{_name}-v0",
            entry_point=f"workbench.environments.bandits:{_name}",
            vector_entry_point=f"workbench.environments.bandits:{_name}Vector",
        )
