"""Questions about what a model would answer: tasks as data, items drawn from them, and properties of the answers.

The object-level side is a question like any other; the hypothetical side quotes it and asks for a property of the
answer (arXiv 2410.13787).  ``workbench.training`` writes them for the babblers, the experiments put them to any model.
"""

from __future__ import annotations

from workbench.training import Recipe
from workbench.worlds.world import World

__all__ = ["WORLD"]

_TRAINING = f"{__name__}.training"
WORLD = World(
    "questions",
    "Questions: tasks whose answers have properties",
    recipes=(
        Recipe(
            "babbler", "train a small model with habits of its own (introspection)", f"{_TRAINING}.babbler", data=True
        ),
    ),
)
