"""Attention sinks in activations that were captured: which rows of a set are one.

What a sink is, and how a model is asked for its own, says :mod:`workbench.models.sinks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool

from workbench.errors import DataError
from workbench.labels import SINK
from workbench.models.sinks import find_sinks, norms_of

if TYPE_CHECKING:
    from workbench.activations.activation_set import ActivationSet

WAYS = ("leave out", "keep")  # what a capture may do with them
LEFT_OUT = "sinks_left_out"  # the label of means: how many sinks they leave out


def sink_rows(some: ActivationSet) -> Bool[np.ndarray, " rows"]:
    """Which rows of a set are attention sinks.

    As its label ``attention_sink`` says, where :func:`workbench.activations.capture` wrote one; else by the norms of
    all points of the residual stream in it, compared with those of the other positions of the same input.  One layer
    shows only the sinks of that layer: capture several.

    Raises :class:`DataError` for a set that says neither ``attention_sink`` nor ``input`` and ``position``, or holds no
    point of the residual stream.

    >>> from workbench.activations import capture
    >>> from workbench.models.tiny import tiny_model
    >>> int(sink_rows(capture(tiny_model(), ["a b c", "d e"], [1, 2], "all")).sum())
    0
    """
    if SINK in some.labels:
        return some.labels[SINK].to_numpy(dtype=bool)
    sites = [site for site in some.sites if site.component.startswith("resid")]
    if not {"input", "position"} <= set(some.labels) or not sites:
        raise DataError("sinks are found in the residual stream at positions of inputs: capture it at positions 'all'")
    row, place = some.labels["input"].astype("category").cat.codes, some.labels.groupby("input").cumcount()
    lengths = row.value_counts().sort_index().tolist()
    norms = torch.zeros(len(sites), len(lengths), max(lengths))
    at = torch.tensor(row.tolist()), torch.tensor(place.tolist())
    for layer, site in zip(norms, sites, strict=True):
        layer[at] = norms_of(some[site]).cpu()
    return find_sinks(norms, lengths)[at].numpy()
