"""A set refuses what is not one, and survives the disk bit for bit."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.activations import ActivationSet, ActivationStore, capture
from workbench.errors import ArtifactError, DataError, SiteError
from workbench.models.tiny import tiny_model
from workbench.sites import Site


@pytest.fixture
def some():
    generator = torch.Generator().manual_seed(0)
    activations = {
        Site(1): torch.randn(6, 4, generator=generator),
        Site(2, "mlp_out"): torch.randn(6, 3, generator=generator).bfloat16(),
    }
    labels = pd.DataFrame(
        {"run": list("aabbcc"), "h": np.linspace(0, 1, 6), "n": pd.array([1, None] * 3, dtype="Int64")}
    )
    return ActivationSet(activations, labels, "run", "f1", "raw", "tiny")


def assert_same(one, two):
    assert one.sites == two.sites
    for site in one.sites:
        assert one[site].dtype == two[site].dtype
        assert torch.equal(one[site], two[site])
    pd.testing.assert_frame_equal(one.labels, two.labels, check_exact=True)
    assert one.groups.tolist() == two.groups.tolist()
    assert one.groups.dtype == two.groups.dtype
    assert (one.fingerprint, one.basis, one.model) == (two.fingerprint, two.basis, two.model)


def test_saved_set_comes_back_bit_for_bit(tmp_path, some):
    some.save(tmp_path / "set")
    assert_same(ActivationSet.load(tmp_path / "set"), some)


def test_empty_and_unlabelled_sets_are_saved_too(tmp_path, some):
    for name, each in {"empty": some.select([]), "bare": ActivationSet({Site(0): torch.ones(2, 3)})}.items():
        each.save(tmp_path / name)
        assert_same(ActivationSet.load(tmp_path / name), each)


def test_saving_never_overwrites(tmp_path, some):
    some.save(tmp_path)
    with pytest.raises(ArtifactError, match="holds activations already"):
        some.save(tmp_path)


def test_set_of_another_model_is_refused_unless_forced(tmp_path):
    model, other = tiny_model(seed=0), tiny_model(seed=1)
    capture(model, ["a b"], 1).save(tmp_path)
    assert len(ActivationSet.load(tmp_path, model)) == 1
    with pytest.raises(
        ArtifactError, match=rf"another model \(fingerprint {model.fingerprint}, the model has {other.fingerprint}"
    ):
        ActivationSet.load(tmp_path, other)
    assert len(ActivationSet.load(tmp_path, other, force=True)) == 1


def test_missing_and_broken_folders_are_one_clear_line(tmp_path, some):
    with pytest.raises(ArtifactError, match="no activations are saved"):
        ActivationSet.load(tmp_path / "none")
    some.save(tmp_path / "set")
    shard = tmp_path / "set" / "shards" / "000000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match=r"000000\.safetensors is missing or broken"):
        ActivationSet.load(tmp_path / "set")
    for text in ("{", "[]", '{"format": "other"}', json.dumps({"format": "workbench-activation-store", "version": 1})):
        (tmp_path / "set" / "manifest.json").write_text(text)
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            ActivationSet.load(tmp_path / "set")


def test_selection_moves_activations_labels_and_groups_together(some):
    for rows in ([4, 1], slice(4, 0, -3), np.array([-2, 1]), torch.tensor([4, 1])):
        chosen = some.select(rows)
        assert chosen.labels["run"].tolist() == chosen.groups.tolist() == ["c", "a"]
        assert torch.equal(chosen[1], some[1][[4, 1]])
    mask = some.select(some.labels["run"] == "b")
    assert torch.equal(mask["2.mlp_out"], some["2.mlp_out"][2:4])
    assert len(some.select([])) == 0
    with pytest.raises(DataError, match="row 6 does not exist"):
        some.select([0, 6])
    with pytest.raises(DataError, match="mask of 2 entries"):
        some.select([True, False])
    with pytest.raises(DataError, match="rows must be"):
        some.select([0.5])


def test_concatenation_undoes_selection(some):
    assert_same(ActivationSet.concatenate([some.select(slice(0, 2)), some.select(slice(2, 6))]), some)


def test_concatenation_of_different_kinds_is_refused(some):
    others = [
        ActivationSet(some.activations, some.labels, "run", "f2"),
        ActivationSet(some.activations, some.labels, "run", "f1", "folded"),
        ActivationSet({Site(1): some[1]}, some.labels, "run", "f1"),
        ActivationSet(some.activations, some.labels[["run"]], "run", "f1"),
    ]
    for other in others:
        with pytest.raises(ArtifactError, match="cannot put activation sets together"):
            ActivationSet.concatenate([some, other])
    with pytest.raises(DataError):
        ActivationSet.concatenate([])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"activations": {}}, "at least one site"),
        ({"activations": {Site(1): torch.ones(3)}}, r"must be \[3, d\], not \[3\]"),
        ({"activations": {Site(1): torch.ones(3, 2), Site(2): torch.ones(2, 2)}}, r"hook_resid_post must be \[3, d\]"),
        ({"labels": {"x": [1]}}, "1 labels for 3 rows"),
        ({"groups": "x"}, "no column 'x'"),
        ({"groups": [1, 2]}, "2 groups for 3 rows"),
        ({"groups": [1, None, 2]}, "row 1 has no group"),
    ],
)
def test_wrong_shapes_are_refused(arguments, said):
    with pytest.raises(DataError, match=said):
        ActivationSet(**{"activations": {Site(1): torch.ones(3, 2)}} | arguments)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_not_finite_rows_are_refused_by_name(bad):
    x = torch.ones(3, 2)
    x[1, 1] = bad
    with pytest.raises(DataError, match=r"blocks\.4\.hook_resid_post are not finite at row 1, in float32"):
        ActivationSet({Site(0): torch.ones(3, 2), Site(4): x})


def test_site_that_was_not_captured_is_an_error(some):
    with pytest.raises(SiteError, match=r"blocks\.3\.hook_resid_post was not captured"):
        some[3]


def test_x_y_and_groups_are_those_of_the_labelled_rows_in_memory_and_from_disk(tmp_path):
    x = torch.arange(8.0).reshape(4, 2).to(torch.bfloat16)
    some = ActivationSet({Site(1): x, Site(2): -x}, {"side": ["a", None, "b", "a"], "episode": [5, 5, 6, 7]}, "episode")
    some.save(tmp_path / "s")
    for source in (some, ActivationStore(tmp_path / "s")):
        with pytest.warns(UserWarning, match="1 of 4 rows have no label 'side'"):
            X, y, groups = source.xy("2.resid_post", "side")
        assert X.dtype == np.float32 and X.tolist() == [[0, -1], [-4, -5], [-6, -7]]
        assert y.tolist() == ["a", "b", "a"] and groups.tolist() == [5, 6, 7]
        with pytest.raises(SiteError):
            source.xy(3, "side")
        with pytest.raises(DataError, match="did you mean 'side'"):
            source.xy(1, "sid")
