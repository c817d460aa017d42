"""Rows with planted effects, and one smoke-sized run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

TRAITS, ITEMS = ("open", "kind"), 8


def planted(own: float, others: float, random: float, portrait: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Rows in which a vector moves its own trait by ``own`` and the other one by ``others``, both read-outs alike."""
    rng = np.random.default_rng(seed)
    rows = []
    base = {(readout, trait): rng.normal(size=ITEMS) for readout in ("texts", "activations") for trait in TRAITS}

    def add(method: str, layer: int, of: str, side: str, draw: int, effect: dict[str, float]) -> None:
        for (readout, trait), values in base.items():
            sign = {"up": 1, "down": -1, "": 0}[side]
            moved = values + sign * effect[trait] + 0.3 + 0.02 * rng.normal(size=ITEMS)  # 0.3: what both sides do
            for item, value in enumerate(moved):
                rows.append({"method": method, "layer": layer, "of": of, "side": side, "draw": draw, "dose": 0.1,
                             "readout": readout, "trait": trait, "item": item, "value": value, "level": 3 + value,
                             "first": value, "second": value, "same": True})  # fmt: skip
        for measure in ("kl", "nll"):
            rows.append({"method": method, "layer": layer, "of": of, "side": side, "draw": draw, "readout": measure,
                         "trait": "", "item": 0, "value": 0.1})  # fmt: skip

    add("unsteered", -1, "", "", 0, dict.fromkeys(TRAITS, 0.0))
    for side in ("up", "down"):
        for of in TRAITS:
            effect = {trait: own if trait == of else others for trait in TRAITS}
            add("vector", 3, of, side, 0, effect)
            add("equal", 3, of, side, 0, effect)
            add("portrait", -1, of, side, 0, {trait: portrait if trait == of else 0.0 for trait in TRAITS})
        for draw in range(4):
            add("random", 3, "", side, draw, dict.fromkeys(TRAITS, random * (-1) ** draw))
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def personality_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.families import run
    from workbench.families.personality import PERSONALITY, PRESETS

    return run(PERSONALITY, PRESETS["smoke"], tmp_path_factory.mktemp("runs"))
