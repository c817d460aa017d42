"""Training what ships: loops, LoRA, model cards, and what a recipe is.  The recipes themselves belong to worlds."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, found by name through its world.

    ``module`` has ``PRESETS`` and ``train(out, preset, seed, device, tokens, report)`` (and, with ``data``, the
    name of the ``data`` that the model learns from); beside it, the module ``quality`` has
    ``measure_quality(model, progress=)``, ``CARD`` (text) and ``CARD_ROWS`` (columns).  What does not ship (``ships``)
    judges itself while it trains and has no such measure.
    """

    name: str
    summary: str
    module: str
    ships: bool = True
    data: bool = False
    quality: str = "quality"

    def load(self) -> Any:
        """The module that trains it."""
        return importlib.import_module(self.module)

    def measure(self) -> Any:
        """The module that measures it."""
        return importlib.import_module(f"{self.module.rpartition('.')[0]}.{self.quality}")
