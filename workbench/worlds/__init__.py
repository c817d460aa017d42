"""Worlds: environments with their oracles, texts, pictures, the agents that act in them and how those are trained.

One folder a world (``bandits``, ``grids``, ``pinpad``, ``questions``); a world knows no other.  What several share
stands beside them: moves, trails, GIFs, tables of episodes.  A world knows nothing of steering: an experiment rolls its
agent out with interventions on.

Importing this package registers the bandits ``workbench/GaussianBandit-v0`` and ``workbench/BernoulliBandit-v0``, the
grids ``workbench/Grid-v0``, ``workbench/KeyDoor-v0``, ``workbench/KeyNoDoor-v0`` and ``workbench/2PathKey-v0``, and
the pinpads ``workbench/Pinpad-v0`` and ``workbench/AntPinpad-v0``; without the import,
``gymnasium.make("workbench.worlds:workbench/Grid-v0", size=9, density=0.4)`` does both at once.
"""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

from workbench.worlds.world import World, get_recipe, recipes, worlds

__all__ = ["World", "get_recipe", "recipes", "worlds"]

_GRIDS = {"Grid": "maze", **{name: name for name in ("KeyDoor", "KeyNoDoor", "2PathKey")}}


def _register(name: str, entry_point: str, vector: str | None = None, **kwargs: str) -> None:
    if f"workbench/{name}-v0" not in registry:  # a reload must not warn of overriding
        register(id=f"workbench/{name}-v0", entry_point=entry_point, vector_entry_point=vector, kwargs=kwargs)


for _name in ("GaussianBandit", "BernoulliBandit"):
    _place = f"workbench.worlds.bandits.bandit:{_name}"
    _register(_name, _place, f"{_place}Vector")
for _name, _structure in _GRIDS.items():
    _register(_name, "workbench.worlds.grids.grid:GridEnv", structure=_structure)
_register("Pinpad", "workbench.worlds.pinpad.env:PinpadEnv", "workbench.worlds.pinpad.env:PinpadVectorEnv")
_register("AntPinpad", "workbench.worlds.pinpad.ant_pinpad:AntPinpad")
