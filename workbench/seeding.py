"""Seeds that do not depend on order or company.

``derive_seed`` names a random stream by what it is for; ``uniforms`` is a counter-based generator (splitmix64), so the
random number that a row uses at a step depends on the row's seed and the step alone and never on the batch around it.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np

from workbench.arguments import integer


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed named by ``parts`` (order matters; ``1`` and ``"1"`` differ).

    >>> derive_seed(0, "rollout", 3) == derive_seed(0, "rollout", 3) != derive_seed(0, "rollout", 4)
    True
    """
    parts = tuple(part if isinstance(part, str | int) else integer(part, "a seed") for part in parts)
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def uniforms(seeds: np.ndarray, step: int) -> np.ndarray:
    """One uniform number in [0, 1) for each seed at a step.  seeds: [rows] integers; returns float64 [rows].

    >>> bool((uniforms(np.array([5, 9]), 2)[1:] == uniforms(np.array([9]), 2)).all())
    True
    """
    with np.errstate(over="ignore"):
        x = seeds.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(step + 1)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (CPU and GPU)."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
