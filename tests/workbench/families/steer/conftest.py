"""A concept of letters for tiny models, rows with planted changes, and one smoke-sized run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.families.steer.concept import Concept

PROMPTS, TEXTS = 6, 4


@pytest.fixture(scope="session")
def letters() -> Concept:
    """Words are letters; the words of the up side are two, one of them of two tokens."""
    return Concept.model_validate({
        "title": "letters", "up": "early", "down": "late",
        "pairs": [["x a", "x z"], ["y b", "y w"], ["u c", "u v"]],
        "prompts": {"choose": ["d e"], "test": ["f g h", "k"]},
        "words": {"up": ["a", "b c"], "down": ["z"]},
        "prompt": {"up": "a b", "down": "z"},
        "neutral": ["k l m n o p", "q r s t u"],
    })  # fmt: skip


def planted(effects: dict[tuple[str, float, int], float], damage: dict[tuple[str, float], float], seed: int = 0):
    """Rows of one layer with the given mean changes: ``effects`` by method, dose, draw, ``damage`` by method, dose."""
    rng = np.random.default_rng(seed)
    base = {"choose": rng.normal(size=PROMPTS), "test": rng.normal(size=PROMPTS), "neutral": 3 + rng.normal(size=TEXTS)}
    rows = []

    def add(method: str, dose: float, draw: int, effect: float, cost: float, side: str = "", layer: int = 2) -> None:
        for name, values in base.items():
            change = cost if name == "neutral" else effect
            noise = 0.05 * rng.normal(size=len(values)) if method != "unsteered" else 0
            for item, value in enumerate(values + change + noise):
                rows.append({"method": method, "layer": layer, "dose": dose, "side": side, "draw": draw, "set": name,
                             "item": item, "value": value, "mass": np.nan if name == "neutral" else 0.1})  # fmt: skip

    add("unsteered", 0.0, 0, 0.0, 0.0, layer=-1)
    for side, sign in (("up", 1), ("down", -1)):
        add("prompt", 0.0, 0, sign * 1.0, 0.0, side, layer=-1)
    for (method, dose, draw), effect in effects.items():
        add(method, dose, draw, effect, damage[method, dose])
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def steer_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.families import run
    from workbench.families.steer import PRESETS, STEER

    return run(STEER, PRESETS["smoke"], tmp_path_factory.mktemp("runs"))
