"""Affine edits: the formula, the scope, and who may use them."""

from __future__ import annotations

import pytest
import torch

from steering import Affine
from workbench.errors import ArtifactError, DataError
from workbench.models.interventions import Scope, Where, Window
from workbench.models.tiny import tiny_model

GENERATOR = torch.Generator().manual_seed(0)
MATRIX, BIAS = torch.randn(8, 8, generator=GENERATOR), torch.randn(8, generator=GENERATOR)


def everywhere(batch: int, pos: int) -> Where:
    at = torch.arange(pos).expand(batch, -1)
    return Where(at, torch.zeros_like(at), torch.full_like(at, pos))


def test_it_is_matrix_times_activation_plus_bias() -> None:
    z = torch.randn(3, 5, 8, generator=GENERATOR)
    out = Affine(MATRIX, BIAS, site=0, scope=Scope(prompt=Window()))(z, everywhere(3, 5))
    assert torch.allclose(out, torch.einsum("ij,bpj->bpi", MATRIX, z) + BIAS, atol=1e-5)


def test_multiplier_zero_and_positions_outside_the_scope_keep_their_bits() -> None:
    z = torch.randn(2, 4, 8, generator=GENERATOR)
    assert torch.equal(Affine(MATRIX, BIAS, 0.0, site=0)(z, everywhere(2, 4)), z)
    out = Affine(MATRIX, BIAS, site=0)(z, everywhere(2, 4))  # the default scope: the last prompt token
    assert torch.equal(out[:, :3], z[:, :3]) and not torch.equal(out[:, 3], z[:, 3])


def test_half_the_multiplier_goes_half_the_way() -> None:
    z, where = torch.randn(1, 1, 8, generator=GENERATOR), everywhere(1, 1)
    whole, half = (Affine(MATRIX, BIAS, s, site=0)(z, where) for s in (1.0, 0.5))
    assert torch.allclose(half, (z + whole) / 2, atol=1e-5)


def test_wrong_shapes_and_values_are_refused() -> None:
    with pytest.raises(DataError, match=r"\[d, d\]"):
        Affine(MATRIX[:4], BIAS, site=0)
    with pytest.raises(DataError, match="not finite"):
        Affine(MATRIX * float("nan"), BIAS, site=0)
    with pytest.raises(DataError, match="width 8, the activation 4"):
        Affine(MATRIX, BIAS, site=0)(torch.zeros(1, 1, 4), everywhere(1, 1))


def test_a_model_refuses_an_edit_that_was_fitted_on_another() -> None:
    model = tiny_model()
    eye = torch.eye(model.d_model)
    edit = Affine(eye, torch.zeros(model.d_model), site=0, fingerprint="another")
    with pytest.raises(ArtifactError, match="another"):
        model.forward(["a b"], [1], [edit])
