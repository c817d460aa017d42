"""Concept vectors: what a word adds to the residual stream at the last token before the model would speak of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from steering.vectors import SteeringVector
from workbench.activations import capture
from workbench.errors import DataError
from workbench.families.introspection.concept_injection.prompts import ABOUT, need_chat
from workbench.models.fingerprint import stamp_of
from workbench.models.language_model import LanguageModel
from workbench.sites import Site

CONTROL_VECTORS = ("random", "shuffled")


def concept_vectors(
    model: LanguageModel,
    concepts: Sequence[str],
    baselines: Sequence[str],
    layers: Sequence[int],
    progress: bool = False,
) -> dict[int, dict[str, SteeringVector]]:
    """``{layer: {word: vector}}``, all from one pass over all words that ends at the deepest layer.

    The vector of a word is the residual stream (``resid_post``) at the last token before the reply to "Tell me about
    {word}." less the mean of the same over the baseline words (arXiv 2601.01828, method).  It is not normalised, so a
    multiplier counts in units of it; a dose, of ``residual_norm``, the model's typical one at the layer.
    Raises :class:`ModelError` for a model without a chat template.

    >>> from workbench.models.tiny import tiny_model
    >>> vectors = concept_vectors(tiny_model(), ["sea", "oak"], ["cup", "hat", "pen"], [1, 3])
    >>> vectors[3]["oak"].site, vectors[3]["oak"].name
    (Site(layer=3, component='resid_post'), 'oak')
    """
    need_chat(model)
    if not concepts or not baselines:
        raise DataError("concept vectors need at least one concept and one baseline word")
    inputs: list[Any] = [[{"role": "user", "content": ABOUT.format(word=word)}] for word in (*concepts, *baselines)]
    sites = [Site(layer) for layer in layers]
    found = capture(model, inputs, sites, "last", progress=progress)
    details = {"method": "concept injection", "prompt": ABOUT, "baselines": len(baselines)}
    vectors: dict[int, dict[str, SteeringVector]] = {}
    for site, activations in found.activations.items():
        z = activations.double()  # [words d]
        own, common = z[: len(concepts)], z[len(concepts) :].mean(0)
        norm = model.residual_norm(site)
        vectors[site.layer] = {
            word: SteeringVector(site, row - common, **stamp_of(model), name=word, metadata=details, residual_norm=norm)
            for word, row in zip(concepts, own, strict=True)
        }
    return vectors


def control_vector(vector: SteeringVector, kind: str, seed: int) -> SteeringVector:
    """The control of a vector that has its norm: ``random`` (Gaussian) or ``shuffled`` (its coordinates permuted)."""
    return vector.random_like(seed) if kind == "random" else vector.shuffled(seed)


def concept_table(vectors: Mapping[int, Mapping[str, SteeringVector]]) -> pd.DataFrame:
    """``layer, concept, norm, residual_norm, others`` of every vector.

    ``others`` is its mean cosine with the other concepts' vectors: near 1 the list has one direction and no concepts.
    """
    rows = []
    for layer, of_layer in vectors.items():
        units = torch.stack([v.vector.double() / max(v.norm, 1e-12) for v in of_layer.values()])  # [concepts d]
        cosines = units @ units.T
        n = max(1, len(units) - 1)
        for (word, vector), row in zip(of_layer.items(), cosines, strict=True):
            others = float((row.sum() - 1) / n)
            noted = {"norm": vector.norm, "residual_norm": vector.residual_norm, "others": others}
            rows.append({"layer": layer, "concept": word} | noted)
    return pd.DataFrame(rows)
