"""Which known directions a changed checkpoint moved along.

Finetuning, merging or baking moves a model's activations on the same texts.  For each vector that is known, an audit
says how far they moved along it, beside what directions drawn at random got of the same move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from steering.vectors import SteeringVector
from workbench.arguments import integer, listed
from workbench.errors import DataError, ModelError
from workbench.models.sinks import sinks_in
from workbench.progress import progress_bar
from workbench.seeding import derive_seed
from workbench.sites import Site, SiteMap
from workbench.statistics import cluster_bootstrap

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel

_BATCH = 8  # texts a pass


def audit(
    model: LanguageModel,
    base: LanguageModel,
    vectors: Mapping[str, SteeringVector] | Sequence[SteeringVector],
    texts: Sequence[Any],
    *,
    controls: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """One row a vector: how far the mean activation of each text moved along it from ``base`` to ``model``.

    Both read the same tokens; the first of a text and attention sinks of either are left out.  Columns:

    - ``vector``, ``site``; ``texts``, ``tokens``: how many were read.
    - ``moved`` with ``moved_low``, ``moved_high``: along the vector, in units of the base's residual norm at the site
      (as a dose is); the mean over texts and its 95% interval.
    - ``shift``: how far the mean activation moved in all, in the same units.
    - ``cosine`` of that move with the vector; ``share``: its square, the part of the move that is along it.
    - ``random``: root mean square of ``moved`` along ``controls`` random directions; ``z``: ``moved / random``;
      ``rank``: 1 where no random direction was moved along as far.

    Args:
        model: the changed checkpoint.
        base: what it was changed from, on which the vectors were made.
        vectors: by name, or steering vectors that have names.
        texts: prompts as for ``model.generate``, of two tokens or more.
        controls: random directions at each site, 20 at least.
        seed: of the random directions and of the interval.
        progress: whether to draw a bar.

    Raises:
        ArtifactError: for a vector of another model than ``base``.
        ModelError: for models of different shapes.
        DataError: for texts without a token to read.

    >>> from steering import Add
    >>> from workbench.models.tiny import tiny_model
    >>> base, other = tiny_model(), tiny_model(seed=1)
    >>> vectors = {"up": SteeringVector(1, torch.ones(32))}
    >>> audit(other, base, vectors, ["a b c", "d e f g"])[["vector", "site", "texts", "tokens"]].values.tolist()
    [['up', 'blocks.1.hook_resid_post', 2, 7]]
    """
    named = _named(vectors, base)
    if (model.d_model, model.n_layers) != (base.d_model, base.n_layers):
        raise ModelError(f"{model.name} and {base.name} are of different shapes: an audit is of one that was changed")
    n_controls = integer(controls, "controls", least=20)
    rows = base.encode_all(texts)
    sites = list(dict.fromkeys(vector.site for vector in named.values()))
    shifts, tokens = _shifts(model, base, rows, sites, progress)
    found = []
    for name, vector in named.items():
        moves, norm = shifts[vector.site], base.residual_norm(vector.site)
        along = (moves @ vector.normalized().vector.double() / norm).numpy()  # [texts]
        interval = cluster_bootstrap(along, np.arange(len(along)), seed=seed)
        mean = moves.mean(0) / norm
        random = (_directions(n_controls, base.d_model, seed) @ mean).abs()
        length, chance = float(mean.norm()), float(random.square().mean().sqrt())
        cosine = interval.estimate / length if length else float("nan")
        found.append({
            "vector": name, "site": str(vector.site), "texts": len(rows), "tokens": tokens,
            "moved": interval.estimate, "moved_low": interval.low, "moved_high": interval.high,
            "shift": length, "cosine": cosine, "share": cosine**2,
            "random": chance, "z": interval.estimate / chance if chance else float("nan"),
            "rank": 1 + int((random >= abs(interval.estimate)).sum()), "controls": n_controls,
        })  # fmt: skip
    return pd.DataFrame(found)


def _named(vectors: Any, base: Any) -> dict[str, SteeringVector]:
    """Vectors by name, checked to be of ``base``."""
    given = list(vectors.values()) if isinstance(vectors, Mapping) else listed(vectors, "vectors")
    for each in given:
        if not isinstance(each, SteeringVector):
            raise DataError(f"an audit is of steering vectors, not of a {type(each).__name__}")
    named = dict(vectors) if isinstance(vectors, Mapping) else {vector.name: vector for vector in given}
    if not given or len(named) < len(given):
        raise DataError("vectors must be at least one, each with a name of its own, or a dict by name")
    return {str(name): vector.for_model(base) for name, vector in named.items()}


def _shifts(
    model: LanguageModel, base: LanguageModel, rows: list[list[int]], sites: list[Site], progress: bool
) -> tuple[SiteMap[Float[Tensor, "texts d"]], int]:
    """The move of each text's mean activation at each site, in float64, and how many tokens were read."""
    parts: dict[Site, list[Tensor]] = {site: [] for site in sites}
    total = 0
    with progress_bar(len(rows), progress, "reading") as advance:
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            kept = _kept([model, base], batch, start)  # [batch pos]
            weights = (kept / kept.sum(1, keepdim=True)).unsqueeze(-1)

            def mean(activation: Tensor, weights: Tensor = weights) -> Float[Tensor, "batch d"]:
                return (activation.double() * weights.to(activation.device)).sum(1)

            after, before = (each.forward(batch, sites, select=mean).activations for each in (model, base))
            for site in sites:
                parts[site].append(after[site].cpu() - before[site].cpu())
            total += int(kept.sum())
            advance(len(batch))
    return SiteMap({site: torch.cat(each) for site, each in parts.items()}), total


def _kept(models: list[LanguageModel], rows: list[list[int]], first: int) -> Float[Tensor, "batch pos"]:
    """1 at the tokens that are read: none is the first, padding, or an attention sink."""
    width = max(map(len, rows))
    kept = torch.zeros(len(rows), width, dtype=torch.float64)
    for own, row in zip(kept, rows, strict=True):
        own[1 : len(row)] = 1
    for model in models:
        for own, sinks in zip(kept, sinks_in(model, rows), strict=True):
            own[sinks] = 0
    if empty := (kept.sum(1) == 0).nonzero().flatten().tolist():
        raise DataError(f"text {first + empty[0]} has no token to read besides its first and attention sinks")
    return kept


def _directions(n: int, width: int, seed: int) -> Float[Tensor, "n d"]:
    """Random directions of length 1."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "audit"))
    drawn = torch.randn(n, width, generator=generator, dtype=torch.float64)
    return drawn / drawn.norm(dim=1, keepdim=True)
