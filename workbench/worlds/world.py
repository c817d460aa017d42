"""``World``: what a world brings to the parts that know none: recipes, sources and targets of probe sweeps, games."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from workbench.discovery import discover
from workbench.errors import check_known
from workbench.training import Recipe

if TYPE_CHECKING:
    from probes.structured import Structured
    from workbench.activations.sources import Source
    from workbench.views.games import Game


@dataclass(frozen=True)
class World:
    """A world, listed as ``WORLD`` by its package; everything heavy is a function that is called when it is needed.

    Args:
        name: that of its folder.
        title: in words.
        recipes: how the models that act in it are trained (``workbench train NAME``).
        sources: kind that a sweep file writes -> labelled activations of its agents.
        targets: task -> targets of a sweep that are more than one label a row (a map, a plan).
        games: name -> what its agents are watched at on the playground.
    """

    name: str
    title: str
    recipes: tuple[Recipe, ...] = ()
    sources: Mapping[str, Callable[[], Source]] = field(default_factory=dict)
    targets: Mapping[str, Callable[[], Structured]] = field(default_factory=dict)
    games: Mapping[str, Callable[[], Game]] = field(default_factory=dict)


@cache
def worlds() -> dict[str, World]:
    """Every world that is installed, by name: the folders beside this module, and entry points ``workbench.worlds``."""
    return discover("workbench.worlds", "WORLD", World, "workbench.worlds")


def recipes() -> dict[str, Recipe]:
    """Every recipe, by the name of its model."""
    return {recipe.name: recipe for world in worlds().values() for recipe in world.recipes}


def get_recipe(name: str) -> Recipe:
    """The recipe of a model; :class:`SpecError` for a name that is none."""
    check_known(name, recipes(), "model")
    return recipes()[name]
