from __future__ import annotations

import pytest
import torch

from steering import multiplier_for, relative_dose
from workbench.errors import DataError


def test_relative_dose_is_the_push_over_the_mean_norm(vector):
    rows = torch.randn(50, 8)
    expected = -2 * vector.vector.norm() / rows.norm(dim=1).mean()
    assert relative_dose(vector, rows, multiplier=-2) == pytest.approx(float(expected), rel=1e-5)


def test_multiplier_for_is_the_inverse(vector):
    rows = torch.randn(50, 8).bfloat16()
    assert relative_dose(vector, rows, multiplier_for(0.3, vector, rows)) == pytest.approx(0.3)


def test_shapes_and_zeros_raise(vector):
    with pytest.raises(DataError, match="differ in width"):
        relative_dose(vector, torch.ones(3, 5))
    with pytest.raises(DataError, match="mean norm 0"):
        relative_dose(vector, torch.zeros(3, 8))
    with pytest.raises(DataError, match="the vector is zero"):
        multiplier_for(1.0, 0 * vector, torch.ones(3, 8))
