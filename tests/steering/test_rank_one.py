from __future__ import annotations

import pytest
import torch

from steering import Affine, RankOne, SteeringVector
from workbench.errors import ArtifactError, DataError
from workbench.models.interventions import Scope

EVERYWHERE = Scope.everywhere()


def test_it_is_loreft_of_rank_one_and_an_affine_map(make_where):
    z, r, w, b = torch.randn(2, 4, 8), torch.randn(8), torch.randn(8), 0.3
    r = r / r.norm()
    where = make_where([4, 4], [4, 4])
    expected = z + (z @ w + b - z @ r)[..., None] * r
    torch.testing.assert_close(RankOne(r, w - r, b, site=0, scope=EVERYWHERE)(z, where), expected)
    same = Affine(torch.eye(8) + torch.outer(r, w - r), b * r, site=0, scope=EVERYWHERE)
    torch.testing.assert_close(same(z, where), expected)


def test_what_is_saved_comes_back_and_is_refused_to_another_model(tmp_path, vector, model):
    edit = RankOne(vector, torch.randn(8), 0.25, metadata={"seed": 3})
    edit.save(tmp_path / "edit.safetensors")
    found = RankOne.load(tmp_path / "edit.safetensors", model)
    assert torch.equal(found.weights, edit.weights)
    assert torch.equal(found.direction.vector, vector.vector)
    assert (found.bias, found.site, found.fingerprint, found.metadata) == (0.25, vector.site, "model-a", {"seed": 3})
    model.fingerprint = "model-b"
    with pytest.raises(ArtifactError, match="another model"):
        RankOne.load(tmp_path / "edit.safetensors", model)


def test_other_and_broken_files_are_refused_in_one_line(tmp_path, vector):
    vector.save(tmp_path / "v.safetensors")
    with pytest.raises(ArtifactError, match=r"^[^\n]*not a saved edit of rank one[^\n]*$"):
        RankOne.load(tmp_path / "v.safetensors")
    RankOne(vector, torch.randn(8)).save(tmp_path / "edit.safetensors")
    data = bytearray((tmp_path / "edit.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "edit.safetensors").write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="damaged"):
        RankOne.load(tmp_path / "edit.safetensors")


def test_what_cannot_be_saved_or_does_not_fit_is_refused(tmp_path):
    with pytest.raises(DataError, match="can be saved"):
        RankOne(torch.ones(4), torch.ones(4), site=0).save(tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="weights of width 5, a direction of 4"):
        RankOne(torch.ones(4), torch.ones(5), site=0)
    assert not list(tmp_path.iterdir())


def test_a_steering_vector_brings_the_site():
    assert RankOne(SteeringVector(2, torch.ones(4)), torch.ones(4)).site.layer == 2
