from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from steering import SteeringVector, multiplier_for, residual_norm, strengths
from steering.calibration import norm_at
from workbench.errors import DataError, SpecError
from workbench.models.tiny import tiny_model
from workbench.sites import Site


def test_the_residual_norm_is_the_median_length_and_no_sink_moves_it():
    rows = torch.randn(51, 8)
    expected = rows.norm(dim=1).sort().values[25]
    assert residual_norm(rows) == pytest.approx(float(expected), rel=1e-6)
    sunk = rows.clone()
    sunk[rows.norm(dim=1).argmax()] *= 180
    assert residual_norm(sunk) == residual_norm(rows)
    assert residual_norm(rows.bfloat16()) == pytest.approx(residual_norm(rows), rel=1e-2)


def test_a_dose_is_the_length_of_what_is_added_over_the_norm(vector):
    vector = replace(vector, residual_norm=20.0)
    for dose, multiplier in strengths(vector, doses=[-0.3, 0.0, 0.5]):
        assert (multiplier * vector).norm == pytest.approx(abs(dose) * 20)
        assert (multiplier > 0) == (dose > 0)


def test_multipliers_and_doses_are_each_others_inverse(vector):
    vector = replace(vector, residual_norm=7.0)
    there = strengths(vector, doses=[0.3, -1.0])
    back = strengths(vector, multipliers=[strength.multiplier for strength in there])
    assert [dose for dose, _ in back] == pytest.approx([0.3, -1.0])


def test_one_dose_a_row_gives_one_multiplier_a_row():
    rows, doses = torch.randn(3, 8), torch.tensor([0.5, 0.0, -2.0])
    found = multiplier_for(doses, rows, norm=10.0)
    torch.testing.assert_close((found[:, None] * rows).norm(dim=1), doses.abs() * 10)


def test_a_zero_vector_has_no_dose_but_dose_zero():
    assert multiplier_for(torch.tensor([0.0, 1.0]), torch.eye(2) * torch.tensor([[0.0], [1.0]]), 1.0).tolist() == [0, 1]
    with pytest.raises(DataError, match="the vector is zero"):
        multiplier_for(1.0, torch.zeros(4), 1.0)


def test_the_norm_is_the_vectors_own_at_its_own_site_and_the_models_elsewhere():
    model = tiny_model()
    own = SteeringVector(-1, torch.ones(32), residual_norm=5.0)
    assert norm_at(own, Site(3), model) == norm_at(own, Site(-1)) == 5.0
    assert norm_at(own, Site(1), model) == model.residual_norm(1) != 5.0
    assert norm_at(torch.ones(32), Site(3), model) == model.residual_norm(-1)
    assert strengths(SteeringVector(1, torch.ones(32)), [1.0], model=model)[0].multiplier == pytest.approx(
        model.residual_norm(1) / 32**0.5
    )


def test_where_no_norm_can_be_known_one_line_says_so():
    bare = SteeringVector(1, torch.ones(16))
    with pytest.raises(DataError, match=r"^a dose at blocks.1.hook_resid_post needs a residual_norm: [^\n]*$"):
        strengths(bare, doses=[1.0])
    for given in ({}, {"doses": [1.0], "multipliers": [1.0]}):
        with pytest.raises(SpecError, match="one of the two"):
            strengths(bare, **given)
    with pytest.raises(DataError, match="median norm of 0"):
        residual_norm(torch.zeros(3, 8))
