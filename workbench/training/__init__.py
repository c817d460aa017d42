"""Teachers' transcripts -> the models that ship: one recipe and one quality measure a model, found by name here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from workbench.errors import SpecError, did_you_mean

__all__ = ["RECIPES", "Trained", "get_recipe"]


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
    name: Trained(name, f"workbench.training.{prefix}_agent", f"workbench.training.{prefix}_quality")
    for name, prefix in (("bandit-agent", "bandit"), ("grid-agent", "grid"))
}


def get_recipe(name: str) -> Trained:
    """The recipe of a shipped model; :class:`SpecError` for a name that is none."""
    if name not in RECIPES:
        raise SpecError(f"unknown model {name!r}{did_you_mean(name, RECIPES)}")
    return RECIPES[name]
