"""Attention sinks in activations that were captured."""

from __future__ import annotations

import pytest
import torch

from workbench.activations import ActivationSet, capture
from workbench.activations.sinks import sink_rows
from workbench.errors import DataError
from workbench.models.tiny import tiny_model_with_sinks
from workbench.sites import Site


def test_rows_at_sinks_are_found_in_a_set_by_its_norms() -> None:
    found = capture(tiny_model_with_sinks(), ["a b z c", "d e"], [1, 2], "all")
    found = ActivationSet(found.activations, found.labels[["input", "position"]]).select(range(8)[::-1])  # in any order
    rows = found.labels[sink_rows(found)]
    assert rows[["input", "position"]].to_numpy().tolist() == [[1, 0], [0, 3], [0, 0]]


def test_a_set_in_which_sinks_cannot_be_told_is_refused() -> None:
    for some in (
        ActivationSet({Site(1): torch.eye(3)}),
        ActivationSet({Site(1, "attn_out"): torch.eye(1)}, {"input": [0], "position": [0]}),
    ):
        with pytest.raises(DataError, match="capture it at positions 'all'"):
            sink_rows(some)
