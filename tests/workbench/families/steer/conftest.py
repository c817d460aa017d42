"""A concept of letters for tiny models, rows with planted changes, and one smoke-sized run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.families.steer.concept import Concept
from workbench.families.steer.measures import COLUMNS

ITEMS = {"choose": 6, "test": 8}
TEXTS = 8
GRID = (-0.6, -0.3, 0.3, 0.6)


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
        "transfer": {"prompts": ["m n"], "words": {"up": ["b"], "down": ["w"]}},
    })  # fmt: skip


def planted(
    effect: dict[float, float],
    nll: dict[float, float] | None = None,
    coherence: dict[float, float] | None = None,
    random: tuple[float, ...] = (-0.4, 0.1, 0.4),
    prompt: float = 1.0,
    layer: int = 2,
    panel: float = 0.1,
) -> pd.DataFrame:
    """Rows of a run on one layer with the given mean changes by dose; ``equal`` is the cell of dose .3, both ways."""
    rng = np.random.default_rng(0)
    base = {(measure, name): rng.normal(size=n)
            for measure in ("effect", "transfer", "panel-other") for name, n in ITEMS.items()}  # fmt: skip
    rows: list[dict] = []

    def add(method: str, change: float, cost: float, side: str = "", dose: float = 0.0, draw: int = 0,
            said: float = 0.0, at: int = layer, other: float = 0.0) -> None:  # fmt: skip
        key = {"method": method, "layer": at, "dose": dose, "side": side, "draw": draw}
        for (measure, name), values in base.items():
            shift = other if measure == "panel-other" else change
            noise = 0.05 * rng.normal(size=len(values)) if method != "unsteered" else 0
            for item, value in enumerate(values + shift + noise):
                rows.append(key | {"measure": measure, "set": name, "item": item, "value": value, "mass": 0.1})
        for item in range(TEXTS):
            name = "test" if item % 2 else "choose"
            for measure, value in (("nll", cost), ("kl", abs(cost))):
                rows.append(key | {"measure": measure, "set": name, "item": item, "value": value})
        for item, name in enumerate(("choose", "test")):
            rows.append(key | {"measure": "coherence", "set": name, "item": item, "value": -2 + said, "text": "so"})
            rows.append(key | {"measure": "repetition", "set": name, "item": item, "value": 0.0})

    add("unsteered", 0.0, 0.0, at=-1)
    for side, sign in (("up", 1), ("down", -1)):
        add("prompt", sign * prompt, 0.2, side, at=-1)
    costs, heard = nll or {}, coherence or {}
    for dose, change in effect.items():
        side = "up" if dose > 0 else "down"
        add("vector", change, costs.get(dose, 0.1), side, dose, said=heard.get(dose, 0.0))
        if abs(dose) == 0.3:
            add("equal", change, 0.1, side, dose, other=panel)
            add("matched", change, 0.2, side, dose)
    for draw, change in enumerate(random):
        add("random", change, 0.1, "up", 0.4, draw, other=0.1 * (-1) ** draw)
        add("shuffled", change, 0.1, "up", 0.4, draw)
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


@pytest.fixture(scope="session")
def steer_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.families import run
    from workbench.families.steer import PRESETS, STEER

    return run(STEER, PRESETS["smoke"], tmp_path_factory.mktemp("runs"))
