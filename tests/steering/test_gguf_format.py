from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from steering import SteeringVector, export_gguf, import_gguf
from workbench.errors import ArtifactError
from workbench.sites import Site


@pytest.fixture
def vectors(vector):
    return [replace(vector.random_like(k), site=Site(k), name=f"layer {k}") for k in (5, 1, 3)]


def write_gguf(path: Path, tensors: dict[str, np.ndarray], architecture: str = "controlvector") -> Path:
    """A file as another program would write it."""
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_uint32("controlvector.layer_count", len(tensors))
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_exported_file_is_what_llama_cpp_reads(tmp_path, vectors):
    export_gguf(vectors, tmp_path / "v.gguf", model_hint="llama")
    reader = gguf.GGUFReader(str(tmp_path / "v.gguf"))
    field = {name: f.contents() for name, f in reader.fields.items()}
    assert field["general.architecture"] == "controlvector"
    assert field["controlvector.model_hint"] == "llama"
    assert field["controlvector.layer_count"] == 3
    assert reader.fields["controlvector.layer_count"].types == [gguf.GGUFValueType.UINT32]
    assert [t.name for t in reader.tensors] == ["direction.1", "direction.3", "direction.5"]
    for tensor, k in zip(reader.tensors, (1, 3, 5), strict=True):
        source = next(v for v in vectors if v.site.layer == k)  # direction.N is added to the output of block N
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32
        assert list(tensor.shape) == [8]
        assert np.array_equal(tensor.data, source.vector.numpy())


def test_round_trip_keeps_vectors_names_metadata_and_fingerprint(tmp_path, vectors, model):
    export_gguf((v for v in vectors), tmp_path / "v.gguf", model_hint="llama")
    loaded = import_gguf(tmp_path / "v.gguf", model=model)
    assert [v.site for v in loaded] == [Site(1), Site(3), Site(5)]
    for source, back in zip(sorted(vectors, key=lambda v: v.site), loaded, strict=True):
        assert torch.equal(source.vector, back.vector)
        assert (back.name, back.fingerprint, back.basis) == (source.name, "model-a", "raw")
        assert source.metadata.items() <= back.metadata.items()
        assert back.metadata["controlvector.model_hint"] == "llama"
    model.fingerprint = "model-b"
    with pytest.raises(ArtifactError, match="belongs to another model"):
        import_gguf(tmp_path / "v.gguf", model=model)


def test_resid_pre_is_written_as_the_block_before(tmp_path, vector):
    export_gguf([replace(vector, site=Site(4, "resid_pre"))], tmp_path / "v.gguf", model_hint="llama")
    assert import_gguf(tmp_path / "v.gguf")[0].site == Site(3)


@pytest.mark.parametrize("site", [Site(0), Site(1, "resid_pre"), Site(0, "resid_pre"), Site(3, "mlp_out")])
def test_sites_that_the_format_cannot_express_raise(tmp_path, vector, site):
    with pytest.raises(ArtifactError, match="GGUF cannot express"):
        export_gguf([replace(vector, site=site)], tmp_path / "v.gguf", model_hint="llama")
    assert os.listdir(tmp_path) == []


def test_vectors_that_do_not_belong_together_raise(tmp_path, vector):
    other = replace(vector, site=Site(2))
    for bad, message in (
        ([], "no vectors"),
        ([vector, vector], "two vectors for the output of block 3"),
        ([vector, replace(vector, site=Site(4, "resid_pre"))], "two vectors for the output of block 3"),
        ([vector, replace(other, fingerprint="model-b")], "not of the same model"),
        ([vector, replace(other, vector=torch.ones(4))], "not of the same model"),
        ([replace(vector, basis="tl")], "raw residual stream"),
    ):
        with pytest.raises(ArtifactError, match=message):
            export_gguf(bad, tmp_path / "v.gguf", model_hint="llama")


def test_repeng_file_has_no_fingerprint_and_takes_its_name_from_the_file(tmp_path):
    path = write_gguf(tmp_path / "happy.gguf", {f"direction.{k}": np.full(4, k, np.float32) for k in (1, 2)})
    loaded = import_gguf(path)
    assert [(v.site, v.name, v.fingerprint) for v in loaded] == [(Site(1), "happy", None), (Site(2), "happy", None)]
    assert loaded[1].vector.tolist() == [2, 2, 2, 2]


def test_files_that_are_not_control_vectors_raise(tmp_path):
    ones = np.ones(4, np.float32)
    for tensors, architecture, message in (
        ({"direction.1": ones}, "llama", "architecture is 'llama'"),
        ({"blk.1.weight": ones}, "controlvector", "no tensor named direction.N"),
        ({"direction.1": ones.astype(np.float16)}, "controlvector", "must be one-dimensional F32"),
        ({"direction.1": np.ones((2, 4), np.float32)}, "controlvector", "must be one-dimensional F32"),
    ):
        with pytest.raises(ArtifactError, match=message):
            import_gguf(write_gguf(tmp_path / "v.gguf", tensors, architecture))


def test_file_cut_anywhere_raises_our_error_or_reads_whole(tmp_path, vectors):
    export_gguf(vectors, tmp_path / "v.gguf", model_hint="llama")
    whole = (tmp_path / "v.gguf").read_bytes()
    for length in range(0, len(whole) - 64, 23):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(ArtifactError):
            import_gguf(tmp_path / "cut.gguf")


def test_forged_extra_key_is_ignored(tmp_path, vectors, monkeypatch):
    forged = tmp_path / "v.gguf"
    for content in ('{"fingerprint": 3}', "[]", "not json", '{"fingerprint": null, "names": [], "metadata": {}}'):
        writer = gguf.GGUFWriter(str(forged), "controlvector")
        writer.add_string("workbench.vectors", content)
        writer.add_tensor("direction.2", np.ones(4, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        assert import_gguf(forged)[0].fingerprint is None


@pytest.mark.parametrize(("name", "layers", "d"), [("create", 32, 4096), ("execution_avg_vector", 28, 1536)])
def test_real_easysteer_files_read_from_direction_0(shared_data, name, layers, d):
    path = shared_data / "vectors" / "easysteer" / f"{name}.gguf"
    loaded = import_gguf(path)
    assert [v.site for v in loaded] == [Site(k) for k in range(layers)]
    assert {v.d_model for v in loaded} == {d}
    by_name = {t.name: t.data for t in gguf.GGUFReader(str(path)).tensors}
    assert all(np.array_equal(v.vector.numpy(), by_name[f"direction.{v.site.layer}"]) for v in loaded)
    assert isinstance(loaded[0], SteeringVector)
    assert loaded[0].metadata["controlvector.model_hint"] == "unknown"


def test_real_file_survives_export_and_import(shared_data, tmp_path):
    loaded = import_gguf(shared_data / "vectors" / "easysteer" / "create.gguf")[1:]
    export_gguf(loaded, tmp_path / "again.gguf", model_hint="llama")
    again = import_gguf(tmp_path / "again.gguf")
    assert all(torch.equal(a.vector, b.vector) and a.site == b.site for a, b in zip(loaded, again, strict=True))
