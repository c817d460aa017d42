"""Telling what a block adds from what its modules put out."""

from __future__ import annotations

import pytest
import torch

from workbench.models.watched import distance, misfits

_GENERATOR = torch.Generator().manual_seed(0)


def _random(scale: float = 1.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (scale * torch.randn(2, 9, 32, generator=_GENERATOR)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_sum_fits_in_any_order_and_another_does_not_however_little_is_added(dtype: torch.dtype, scale: float) -> None:
    before, attention, mlp = _random(dtype=dtype), _random(scale, dtype), _random(scale, dtype)
    for after in (before + attention + mlp, before + (attention + mlp), before + mlp + attention):
        good, bad = misfits(before, attention, [mlp, _random(scale, dtype)], after).tolist()
        assert good <= 1 < bad


def test_one_position_that_does_not_fit_is_seen_beside_a_very_large_one() -> None:
    before, attention, mlp = _random(), _random(), _random()
    before[:, 0] *= 20_000
    after = before + attention + mlp
    after[1, 4] *= 1.001
    assert float(misfits(before, attention, [mlp], after)) > 1


def test_rows_are_as_far_apart_as_most_of_their_positions() -> None:
    row = _random()[0]
    one = row.clone()
    one[3] += 1
    assert distance(row, one) == 0 and distance(row, 2 * row) == pytest.approx(1)
