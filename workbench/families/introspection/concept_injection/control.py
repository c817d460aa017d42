"""Intentional control: is the concept in the residual stream when the model is told to think of it while it writes?

Nothing is injected.  The sentence that the model is told to write is put into its mouth, so that all arms have the same
tokens, and the activations of those tokens are compared with the concept's vector: cosine, mean over the tokens.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from workbench.activations import capture
from workbench.families.introspection.concept_injection.context import InjectionContext
from workbench.families.introspection.concept_injection.prompts import INTENTIONS, intention
from workbench.families.introspection.concept_injection.vectors import CONTROL_VECTORS
from workbench.sites import Site


def control_rows(context: InjectionContext) -> pd.DataFrame:
    """Rows ``protocol, arm, vector, layer, multiplier, concept, trial, text, cosine``, one an arm, vector and layer.

    Arms ``think`` and ``avoid``; ``vector`` is what the activations are compared with: the concept's, or one of its
    controls.  ``none`` is the concept's vector while nothing is said of the concept (the plain instruction).
    """
    cosines = {arm: _cosines(context, arm) for arm in INTENTIONS}
    kinds = ("concept", *(kind for kind in CONTROL_VECTORS if kind in context.spec.controls))
    rows: list[dict[str, Any]] = []
    for arm in ("think", "avoid"):
        for layer in context.layers:
            for k, word in enumerate(context.words.concepts):
                labels = {"protocol": "control", "arm": arm, "layer": layer, "multiplier": 0.0}
                labels |= {"concept": word, "trial": 0, "text": ""}
                found = {kind: cosines[arm][layer, kind][k] for kind in kinds}
                found["none"] = cosines["plain"][layer, "concept"][k]
                rows += [labels | {"vector": kind, "cosine": value} for kind, value in found.items()]
    return pd.DataFrame(rows)


def _cosines(context: InjectionContext, arm: str) -> dict[tuple[int, str], list[float]]:
    """``{(layer, vector): [concepts]}``, each the mean over the sentence's tokens."""
    words = list(context.words.concepts)
    asked = [intention(word, arm, k) for k, word in enumerate(words)]
    lengths = [len(context.model.encode_continuation(conversation.reply)) for conversation in asked]
    found: dict[tuple[int, str], dict[int, float]] = {}
    for length in sorted(set(lengths)):  # sentences of one length in one capture
        rows = [k for k, each in enumerate(lengths) if each == length]
        inputs: list[Any] = [list(context.place(asked[k]).tokens) for k in rows]
        read = capture(context.model, inputs, [Site(layer) for layer in context.layers], list(range(-length, 0)))
        for site, activations in read.activations.items():
            z = activations.double().reshape(len(rows), length, -1)  # [concepts tokens d]
            for kind in ("concept", *CONTROL_VECTORS):
                vectors = torch.stack([context.vector(words[k], site.layer, kind).vector.double() for k in rows])
                cosines = torch.cosine_similarity(z, vectors[:, None], dim=-1).mean(1)
                found.setdefault((site.layer, kind), {}).update(zip(rows, cosines.tolist(), strict=True))
    return {key: [values[k] for k in range(len(words))] for key, values in found.items()}
