"""Teachers' transcripts -> the models that ship: one recipe and one quality measure a model, found by name here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from workbench.errors import SpecError, did_you_mean

__all__ = ["RECIPES", "UNSHIPPED", "Trained", "get_recipe"]


@dataclass(frozen=True)
class Trained:
    """A shipped model's recipe: ``PRESETS`` and ``train(out, preset, seed, device, tokens, report)`` in ``recipe``;
    ``measure_quality(model, progress=)``, ``CARD`` (text) and ``CARD_ROWS`` (columns) in ``quality``."""

    name: str
    recipe: str
    quality: str

    @property
    def module(self) -> Any:
        """The recipe's module."""
        return importlib.import_module(self.recipe)

    @property
    def measure(self) -> Any:
        """The quality measure's module."""
        return importlib.import_module(self.quality)


RECIPES: dict[str, Trained] = {
    name: Trained(name, f"workbench.worlds.{world}.training.{recipe}", f"workbench.worlds.{world}.training.quality")
    for name, world, recipe in (
        ("bandit-agent", "bandits", "agent"),
        ("grid-agent", "grids", "agent"),
        ("pinpad-base", "pinpad", "base"),
        ("babbler", "questions", "babbler"),
    )
}
# Recipes of what is trained in an environment and does not ship; they judge themselves while they train.
UNSHIPPED: dict[str, Trained] = {
    name: Trained(name, f"workbench.worlds.pinpad.training.{name.replace('-', '_')}", "")
    for name in ("ant-expert", "ant-base")
}


def get_recipe(name: str) -> Trained:
    """The recipe of a shipped model; :class:`SpecError` for a name that is none."""
    known = RECIPES | UNSHIPPED
    if name not in known:
        raise SpecError(f"unknown model {name!r}{did_you_mean(name, known)}")
    return known[name]
