from __future__ import annotations

import os
import warnings
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from steering import Add, SteeringVector
from workbench.errors import ArtifactError, DataError, SiteError, WorkbenchWarning
from workbench.models.fingerprint import stamp_of
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import tiny_hf_model, tiny_model
from workbench.sites import Site


def test_arithmetic_is_that_of_the_tensors(vector):
    other = vector.random_like(1)
    assert torch.equal((vector + other).vector, vector.vector + other.vector)
    assert torch.equal((vector - other).vector, vector.vector - other.vector)
    assert torch.equal((-vector).vector, -vector.vector)
    for scaled in (2.5 * vector, vector * 2.5, np.float64(2.5) * vector, torch.tensor(2.5) * vector, vector / 0.4):
        torch.testing.assert_close(scaled.vector, 2.5 * vector.vector)
        assert (scaled.site, scaled.fingerprint, scaled.metadata) == (vector.site, vector.fingerprint, vector.metadata)


def test_sum_over_vectors_averages(vector):
    mean = sum([vector, 3 * vector]) / 2
    torch.testing.assert_close(mean.vector, 2 * vector.vector)


@pytest.mark.parametrize(
    "change", [{"site": Site(4)}, {"fingerprint": "model-b"}, {"fingerprint": None}, {"basis": "tl"}]
)
@pytest.mark.parametrize("operation", ["__add__", "__sub__"])
def test_arithmetic_across_sites_models_or_bases_raises(vector, change, operation):
    with pytest.raises(ArtifactError, match="cannot combine vectors of different"):
        getattr(vector, operation)(replace(vector, **change))


def test_arithmetic_across_widths_raises_our_error(vector):
    with pytest.raises(DataError, match="8 components"):
        vector + replace(vector, vector=torch.ones(5))


def test_vector_times_vector_and_division_by_zero_are_refused(vector):
    with pytest.raises(DataError, match="multiplied by a number"):
        vector * vector
    with pytest.raises(DataError, match="divided by zero"):
        vector / 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_by_index(bad):
    with pytest.raises(DataError, match="component 2"):
        SteeringVector(Site(0), torch.tensor([0.0, 1.0, bad]))


@pytest.mark.parametrize(
    "bad", ["abc", None, [1.0, "a"], torch.ones(4, dtype=torch.complex64), torch.ones(4).long(), torch.ones(4) > 0, 1j]
)
def test_what_is_no_vector_of_real_numbers_is_refused_in_one_line(bad):
    with pytest.raises(DataError, match=r"^a steering vector holds floating-point numbers \[d\], not [^\n]*$"):
        SteeringVector(Site(0), bad)


@pytest.mark.parametrize("bad", ["a", "2", None, 1j, torch.ones(8), np.ones(8), [2.0]])
def test_a_vector_is_scaled_by_numbers_only_and_says_so_in_one_line(vector, bad):
    for ask in (lambda: vector * bad, lambda: bad * vector, lambda: vector / bad):
        with pytest.raises(DataError, match=r"^[^\n]*(multiplied|divided) by a number, not by [^\n]*$"):
            ask()
    with pytest.raises(DataError, match="by a number, not by Steering"):
        vector * vector


@pytest.mark.parametrize("bad", ["a", None, 1, torch.ones(8), np.ones(8)])
def test_a_vector_is_added_to_vectors_only_and_says_so_in_one_line(vector, bad):
    for ask in (lambda: vector + bad, lambda: bad + vector, lambda: vector - bad, lambda: bad - vector):
        with pytest.raises(DataError, match=r"^[^\n]*both sides must be steering vectors[^\n]*$"):
            ask()


def test_scalars_of_numpy_and_torch_scale_like_floats_of_full_precision(vector):
    for third in (1 / 3, np.float64(1 / 3), torch.tensor(1 / 3, dtype=torch.float64)):
        assert torch.equal((vector * third).vector, (vector.vector.double() * (1 / 3)).float())


def test_shape_other_than_d_is_refused():
    with pytest.raises(DataError, match=r"\[2, 3\]"):
        SteeringVector(Site(0), torch.ones(2, 3))


def test_metadata_that_is_not_json_is_refused():
    with pytest.raises(DataError, match="not JSON"):
        SteeringVector(Site(0), torch.ones(2), metadata={"model": object()})


def test_vector_is_frozen_and_does_not_share_memory_with_its_source():
    source, metadata = torch.ones(3), {"a": [1]}
    vector = SteeringVector(Site(0), source, metadata=metadata)
    source[0] = 7
    metadata["a"].append(2)
    assert vector.vector[0] == 1
    assert vector.metadata == {"a": [1]}
    with pytest.raises(FrozenInstanceError):
        vector.name = "other"


def test_bfloat16_and_gradients_are_dropped_to_plain_float32():
    vector = SteeringVector(Site(0), torch.ones(3, dtype=torch.bfloat16, requires_grad=True))
    assert vector.vector.dtype == torch.float32
    assert not vector.vector.requires_grad


def test_projection_is_the_dot_product_with_the_unit_vector(vector):
    rows = torch.randn(4, 5, 8)
    expected = torch.einsum("bpd,d->bp", rows, vector.vector) / vector.vector.norm()
    torch.testing.assert_close(vector.project(rows), expected)
    torch.testing.assert_close((7 * vector).project(rows), expected)  # length does not matter
    with pytest.raises(DataError, match="the activations have 5"):
        vector.project(torch.ones(2, 5))


def test_cosine_works_across_layers_but_not_across_models(vector):
    assert vector.cosine(replace(-2 * vector, site=Site(5))) == pytest.approx(-1)
    assert vector.cosine(vector.vector) == pytest.approx(1)
    with pytest.raises(ArtifactError, match="cannot compare vectors of different fingerprint"):
        vector.cosine(replace(vector, fingerprint="model-b"))


def test_zero_vector_has_no_direction():
    zero = SteeringVector(Site(0), torch.zeros(4))
    for ask in (zero.normalized, lambda: zero.project(torch.ones(1, 4)), lambda: zero.cosine(torch.ones(4))):
        with pytest.raises(DataError):
            ask()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**40), st.integers(2, 300), st.floats(1e-3, 1e3))
def test_controls_keep_the_norm_and_shuffling_keeps_the_marginals(seed, d, scale):
    values = torch.randn(d, generator=torch.Generator().manual_seed(d)) * scale
    vector = SteeringVector(Site(1), values, fingerprint="m")
    shuffled, random = vector.shuffled(seed), vector.random_like(seed)
    assert torch.equal(shuffled.vector.sort().values, values.sort().values)
    assert shuffled.norm == pytest.approx(vector.norm)
    assert random.norm == pytest.approx(vector.norm, rel=1e-5)
    assert torch.equal(shuffled.vector, vector.shuffled(seed).vector)  # seeded
    assert torch.equal(random.vector, vector.random_like(seed).vector)


def test_controls_differ_by_seed_and_leave_the_global_generator_alone():
    vector = SteeringVector(Site(1), torch.randn(64))
    state = torch.get_rng_state()
    assert not torch.equal(vector.shuffled(0).vector, vector.shuffled(1).vector)
    assert not torch.equal(vector.random_like(0).vector, vector.random_like(1).vector)
    assert torch.equal(torch.get_rng_state(), state)
    assert abs(vector.cosine(vector.random_like(0))) < 0.5


def test_saved_vector_loads_with_every_field(tmp_path, vector):
    vector.save(tmp_path / "new folder" / "east.safetensors")
    loaded = SteeringVector.load(tmp_path / "new folder" / "east.safetensors")
    assert torch.equal(loaded.vector, vector.vector)
    for what in ("site", "fingerprint", "basis", "name", "metadata"):
        assert getattr(loaded, what) == getattr(vector, what)


def test_same_vector_gives_the_same_bytes(tmp_path, vector):
    vector.save(tmp_path / "a")
    vector.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_loading_for_another_model_raises_unless_forced(tmp_path, vector, model):
    path = tmp_path / "v.safetensors"
    vector.save(path)
    assert SteeringVector.load(path, model=model).fingerprint == "model-a"
    model.fingerprint = "model-b"
    with pytest.raises(ArtifactError, match=r"model-a.*model-b"):
        SteeringVector.load(path, model=model)
    forced = SteeringVector.load(path, model=model, force=True)
    assert forced.fingerprint == "model-b"
    assert forced.metadata["forced_from"]["fingerprint"] == "model-a"


def test_loading_into_another_basis_raises_unless_forced(tmp_path, vector, model):
    vector.save(tmp_path / "v")
    model.basis = "transformer_lens_compatibility"
    with pytest.raises(ArtifactError, match="basis raw"):
        SteeringVector.load(tmp_path / "v", model=model)
    assert SteeringVector.load(tmp_path / "v", model=model, force=True).basis == "transformer_lens_compatibility"


@pytest.mark.parametrize("change", [{"d_model": 16}, {"n_layers": 3}])
def test_wrong_width_or_missing_layer_raises_even_when_forced(vector, model, change):
    vars(model).update(change)
    with pytest.raises(ArtifactError, match="does not fit"):
        vector.for_model(model, force=True)


def test_vector_without_fingerprint_takes_the_models(vector, model):
    assert replace(vector, fingerprint=None).for_model(model).fingerprint == "model-a"


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 64])
def test_broken_file_raises_one_clear_line(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is not a saved steering vector") as caught:
        SteeringVector.load(path)
    assert "\n" not in str(caught.value)


def test_foreign_safetensors_and_missing_file_raise(tmp_path):
    save_file({"vector": torch.ones(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ArtifactError, match="is not a saved steering vector"):
        SteeringVector.load(tmp_path / "foreign.safetensors")
    with pytest.raises(ArtifactError, match="no such file"):
        SteeringVector.load(tmp_path / "absent.safetensors")


def test_failed_save_leaves_the_old_file_and_no_litter(tmp_path, vector, monkeypatch):
    path = tmp_path / "v.safetensors"
    vector.save(path)
    before = path.read_bytes()

    def full_disk(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(ArtifactError, match="the disk is full: cannot write"):
        (2 * vector).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["v.safetensors"]


def test_a_negative_layer_is_resolved_by_the_model_and_never_saved(model, tmp_path):
    vector = SteeringVector(Site(-1), torch.ones(model.d_model))
    with pytest.raises(SiteError, match="counts from the end, which needs a model"):
        vector.save(tmp_path / "v.safetensors")
    stamped = vector.for_model(model)
    assert stamped.site == Site(model.n_layers - 1)
    stamped.save(tmp_path / "v.safetensors")
    assert SteeringVector.load(tmp_path / "v.safetensors", model=model).site == stamped.site
    with pytest.raises(ArtifactError, match=r"does not fit the model: .* layers 0 to"):
        SteeringVector(Site(-99), torch.ones(model.d_model)).for_model(model)


def test_a_vector_of_one_precision_steers_the_same_model_in_another_and_says_so_and_no_other_model(tmp_path):
    model = tiny_model()
    vector = SteeringVector(Site(1), torch.ones(model.d_model), **stamp_of(model), name="up")
    vector.save(tmp_path / "v")
    loaded = SteeringVector.load(tmp_path / "v")
    assert loaded.precision == "float32"
    half = LanguageModel(HuggingFaceBackend(tiny_hf_model("llama").bfloat16()), model.tokenizer, "half")
    said = "was made on this model in float32, and the model is in bfloat16 here"
    with pytest.warns(WorkbenchWarning, match=said):
        steered = half.forward(["a b"], interventions=[Add(loaded)], logits=True).logits
    with pytest.warns(WorkbenchWarning, match=said):
        fitted = loaded.for_model(half)
    assert fitted.precision == "bfloat16" and (vector + fitted).precision is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(half.forward(["a b"], interventions=[Add(fitted)], logits=True).logits, steered)
        model.forward(["a b"], interventions=[Add(loaded)])
    with pytest.raises(ArtifactError, match="belongs to another model"):
        tiny_model(seed=1).forward(["a b"], interventions=[Add(loaded)])


def test_a_flipped_bit_in_a_saved_vector_or_in_what_is_said_of_it_is_found_on_reading(vector, tmp_path):
    vector.save(tmp_path / "v")
    whole = (tmp_path / "v").read_bytes()
    for place in (len(whole) - 3, whole.index(b"blocks.3") + 7):
        (tmp_path / "v").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ArtifactError, match="it is damaged: its checksum differs"):
            SteeringVector.load(tmp_path / "v")
