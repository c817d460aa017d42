"""Filtering logits, against transformers' own processors; drawing, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from workbench.errors import SpecError
from workbench.models.sampling import filter_logits, sample
from workbench.seeding import uniforms


@given(seed=st.integers(0, 10_000), temperature=st.floats(0.1, 3), top_p=st.floats(0.05, 1), top_k=st.integers(0, 25))
def test_filters_equal_transformers_logits_processors(seed: int, temperature: float, top_p: float, top_k: int) -> None:
    logits = 4 * torch.randn(3, 20, generator=torch.Generator().manual_seed(seed))
    expected = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    torch.testing.assert_close(filter_logits(logits, temperature, top_p, top_k), expected)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 6), step=st.integers(0, 50))
def test_a_draw_inverts_the_cumulative_distribution(seed: int, rows: int, step: int) -> None:
    logits = 3 * torch.randn(rows, 9, generator=torch.Generator().manual_seed(seed))
    seeds = np.arange(rows, dtype=np.uint64) + np.uint64(seed)
    drawn, u = sample(logits, seeds, step), uniforms(seeds, step)
    for row in range(rows):
        cumulative = logits[row].double().softmax(-1).cumsum(-1)
        token = int(drawn[row])
        below = float(cumulative[token - 1]) if token else 0.0
        assert below - 1e-9 <= u[row] <= float(cumulative[token]) + 1e-9


@given(seed=st.integers(0, 10_000))
def test_a_row_draws_the_same_alone(seed: int) -> None:
    logits = torch.randn(5, 30, generator=torch.Generator().manual_seed(seed))
    seeds = np.arange(5, dtype=np.uint64) * np.uint64(7919)
    together = sample(logits, seeds, 3, temperature=0.8, top_p=0.9, top_k=12)
    alone = [sample(logits[k : k + 1], seeds[k : k + 1], 3, 0.8, 0.9, 12)[0] for k in range(5)]
    assert together.tolist() == [int(token) for token in alone]


def test_tokens_that_were_cut_off_are_never_drawn() -> None:
    logits = torch.zeros(4000, 6)
    logits[:, 3] = -float("inf")
    seeds = np.arange(4000, dtype=np.uint64)
    drawn = sample(logits, seeds, 0)
    counts = torch.bincount(drawn, minlength=6)
    assert counts[3] == 0 and counts.sum() == 4000
    assert float((counts[counts > 0] - 800).abs().max()) < 5 * (4000 * 0.2 * 0.8) ** 0.5


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0]])
    assert sample(logits, np.zeros(2, np.uint64), 0, temperature=0).tolist() == [1, 0]


@pytest.mark.parametrize(
    "options", [{"temperature": -1}, {"temperature": 0}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}]
)
def test_options_outside_their_range_are_named(options: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=next(iter(options))):
        filter_logits(torch.zeros(1, 3), **options)
