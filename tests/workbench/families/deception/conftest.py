"""Rows with planted changes, and one smoke-sized run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

N = 20


def planted(
    reward: float = 0.0, pressure: float = 0.0, vector: float = 0.0, random: float = 0.0, prompt: float = 0.0,
    own: float = 0.0, orders: float = 0.0, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Choices; ``own``: by what a lie that serves oneself is likelier, ``orders``: what the replies' order does."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=N) + own * (np.arange(N) < N // 2)
    rows = []

    def add(method: str, frame: str, change: float, side: str = "", draw: int = 0) -> None:
        values = base + change + 0.05 * rng.normal(size=N)
        for item, value in enumerate(values):
            rows.append({"method": method, "side": side, "draw": draw, "dose": 0.1, "frame": frame,
                         "scenario": f"s{item}", "dimension": "self" if item < N // 2 else "other", "domain": "d",
                         "value": value, "first": value + orders, "second": value - orders, "prior": 1.0})  # fmt: skip

    for frame, change in (("plain", 0.0), ("reward", reward), ("pressure", pressure)):
        add("unsteered", frame, change)
    for side, sign in (("up", 1), ("down", -1)):
        add("prompt", "plain", sign * prompt, side)
        add("vector", "plain", sign * vector, side)
    for draw in range(5):
        add("random", "plain", random * (-1) ** draw, "up", draw)
    for method, side in (("prompt", "up"), ("prompt", "down"), ("vector", "up"), ("vector", "down"), ("random", "up")):
        for measure in ("kl", "nll"):
            rows.append({"method": method, "side": side, "draw": 0, "frame": measure, "scenario": "0", "value": 0.1})
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def deception_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.families import run
    from workbench.families.deception import DECEPTION, PRESETS

    return run(DECEPTION, PRESETS["smoke"], tmp_path_factory.mktemp("runs"))
