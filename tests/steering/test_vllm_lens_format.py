from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
import torch

from steering import export_vllm_lens, import_vectors
from workbench.errors import ArtifactError, SpecError, WorkbenchWarning
from workbench.sites import Site


def write(path, numbers=None, **entry):
    """A file as vllm-lens would write it."""
    values = torch.arange(8.0).reshape(2, 4) if numbers is None else numbers
    stored = values.view(torch.int16) if values.dtype == torch.bfloat16 else values
    packed = {"data": base64.b64encode(stored.numpy().tobytes()).decode(), "shape": list(values.shape)}
    packed |= {"dtype": str(stored.dtype).removeprefix("torch."), "original_dtype": str(values.dtype)}
    whole = {
        "activations": packed,
        "layer_indices": [5, 2],
        "scale": 1.0,
        "norm_match": False,
        "position_indices": None,
    }
    path.write_text(json.dumps([whole | entry]))
    return path


def test_a_written_file_is_what_vllm_lens_reads(tmp_path, vector):
    vectors = [
        replace(vector.random_like(k), site=site) for k, site in enumerate((Site(4), Site(0), Site(3, "resid_pre")))
    ]
    export_vllm_lens(vectors, tmp_path / "v.json", multiplier=2.5)
    (entry,) = json.loads((tmp_path / "v.json").read_text())
    assert (entry["layer_indices"], entry["scale"], entry["norm_match"]) == ([0, 2, 4], 2.5, False)
    given = entry["activations"]
    values = torch.frombuffer(bytearray(base64.b64decode(given["data"])), dtype=torch.float32).reshape(given["shape"])
    assert torch.equal(values, torch.stack([vectors[k].vector for k in (1, 2, 0)]))
    assert "compression" not in given


def test_what_is_exported_comes_back_at_its_scale(tmp_path, vector, model):
    own = replace(vector, residual_norm=10.0)
    export_vllm_lens([own], tmp_path / "v.json", multiplier=2.0)
    (found,) = import_vectors(tmp_path / "v.json", model=model)
    assert torch.equal(found.vector, 2 * vector.vector)
    assert (found.site, found.fingerprint, found.name, found.residual_norm) == (vector.site, "model-a", "east", 10.0)
    assert found.metadata["runs"] == 65


def test_a_dose_is_written_as_a_share_of_each_tokens_norm(tmp_path, vector):
    export_vllm_lens([vector], tmp_path / "v.json", dose=0.3)
    (entry,) = json.loads((tmp_path / "v.json").read_text())
    assert (entry["scale"], entry["norm_match"]) == (0.3, True)
    with pytest.warns(WorkbenchWarning, match=r"Add\(vector, dose=0.3\)"):
        (found,) = import_vectors(tmp_path / "v.json")
    assert torch.equal(found.vector, vector.vector)
    assert found.metadata["dose"] == 0.3
    with pytest.raises(SpecError, match="not both"):
        export_vllm_lens([vector], tmp_path / "w.json", dose=0.3, multiplier=1.0)


def test_files_of_vllm_lens_are_read_in_layer_order(tmp_path):
    found = import_vectors(write(tmp_path / "calm.json", scale=0.5))
    assert [(v.site, v.name, v.fingerprint) for v in found] == [(Site(2), "calm", None), (Site(5), "calm", None)]
    assert found[0].vector.tolist() == [2, 2.5, 3, 3.5]
    half = import_vectors(write(tmp_path / "half.json", torch.randn(2, 4).bfloat16()))
    assert half[0].d_model == 4


def test_compressed_files_are_read_and_never_beyond_what_they_say(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    values = torch.arange(8.0).reshape(2, 4)
    for data, good in ((values.numpy().tobytes(), True), (b"\0" * 50_000_000, False), (None, False)):
        raw = b"no frame" if data is None else zstandard.ZstdCompressor().compress(data)
        packed = {"data": base64.b64encode(raw).decode(), "dtype": "float32", "shape": [2, 4], "compression": "zstd"}
        path = write(tmp_path / "z.json")
        path.write_text(json.dumps([json.loads(path.read_text())[0] | {"activations": packed}]))
        if good:
            assert torch.equal(import_vectors(path)[1].vector, values[0])
        else:
            with pytest.raises(ArtifactError, match=r"^[^\n]*(33 bytes where|damaged)[^\n]*$"):
                import_vectors(path)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"position_indices": [0, 1]}, "by position"),
        ({"layer_indices": [1]}, "1 layers for 2 vectors"),
        ({"activations": {"data": "AAAA", "dtype": "float32", "shape": [2, 4]}}, "3 bytes where"),
        ({"activations": {"data": "AAAA", "dtype": "object", "shape": [2, 4]}}, "are not read"),
        ({"activations": {"data": "AAAA", "dtype": "float32", "shape": [2**40, 2**40]}}, "are not read"),
        ({"activations": {"data": "?", "dtype": "float32", "shape": [1, 1]}}, "not a steering vector of vllm-lens"),
        ({"activations": 3}, "not a steering vector of vllm-lens"),
        ({"scale": "much"}, "not a steering vector of vllm-lens"),
    ],
)
def test_broken_files_are_refused_in_one_line(tmp_path, entry, line):
    with pytest.raises(ArtifactError, match=line) as caught:
        import_vectors(write(tmp_path / "v.json", **entry))
    assert "\n" not in str(caught.value)


def test_other_json_and_places_that_it_cannot_express_are_refused(tmp_path, vector):
    for content in ("{", "[3]", "{}", "null"):
        (tmp_path / "v.json").write_text(content)
        with pytest.raises(ArtifactError, match="not a steering vector of vllm-lens"):
            import_vectors(tmp_path / "v.json")
    for site in (Site(0, "resid_pre"), Site(3, "mlp_out")):
        with pytest.raises(ArtifactError, match="vllm-lens cannot express"):
            export_vllm_lens([replace(vector, site=site)], tmp_path / "w.json")
    assert not (tmp_path / "w.json").exists()
