from __future__ import annotations

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from steering import export_gguf, import_vectors
from workbench.errors import ArtifactError
from workbench.sites import Site


class Bomb:
    """Unpickling this calls a function; reading a vector file must not."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_own_files_are_recognised(tmp_path, vector, model):
    vector.save(tmp_path / "v.safetensors")
    export_gguf([vector], tmp_path / "v.gguf", model_hint="llama")
    for name in ("v.safetensors", "v.gguf"):
        (loaded,) = import_vectors(tmp_path / name, model=model)
        assert torch.equal(loaded.vector, vector.vector)
        assert (loaded.site, loaded.fingerprint, loaded.name) == (vector.site, "model-a", "east")


def test_persona_index_k_plus_1_is_the_output_of_block_k(tmp_path):
    rows = torch.arange(5.0)[:, None].expand(5, 3)
    torch.save(rows.clone(), tmp_path / "evil_response_avg_diff.pt")
    loaded = import_vectors(tmp_path / "evil_response_avg_diff.pt")
    assert [v.site for v in loaded] == [Site(0, "resid_pre"), Site(0), Site(1), Site(2), Site(3)]
    assert [v.vector[0].item() for v in loaded] == [0, 1, 2, 3, 4]
    assert [v.metadata["after_final_norm"] for v in loaded] == [False] * 4 + [True]
    assert loaded[0].name == "evil_response_avg_diff"


def test_persona_sites_are_hugging_faces_hidden_states(tmp_path):
    """The rows of such a file are differences of ``hidden_states``: check the mapping on a model, hooks as oracle."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=11, hidden_size=8, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2)
    model, seen = LlamaForCausalLM(config).eval(), {}
    for k, block in enumerate(model.model.layers):
        block.register_forward_hook(lambda _m, _i, output, k=k: seen.__setitem__(k, output))
    with torch.no_grad():
        hidden = model(torch.tensor([[1, 2, 3]]), output_hidden_states=True).hidden_states
    torch.save(torch.stack([h[0, -1] for h in hidden]), tmp_path / "x_diff.pt")
    for vector in import_vectors(tmp_path / "x_diff.pt")[1:]:
        out = seen[vector.site.layer][0, -1]
        expected = model.model.norm(out) if vector.metadata["after_final_norm"] else out
        torch.testing.assert_close(vector.vector, expected.detach())


def test_saklas_layer_i_is_the_output_of_block_i(tmp_path):
    save_file({f"layer_{k}": torch.full((4,), float(k)).half() for k in (10, 2, 9)}, tmp_path / "happy.safetensors")
    (tmp_path / "happy.json").write_text('{"method": "contrastive_pca", "score": NaN}')
    loaded = import_vectors(tmp_path / "happy.safetensors")
    assert [(v.site, v.vector[0].item()) for v in loaded] == [(Site(2), 2), (Site(9), 9), (Site(10), 10)]
    assert loaded[0].metadata["sidecar"] == {"method": "contrastive_pca", "score": None}
    (tmp_path / "happy.json").unlink()
    assert import_vectors(tmp_path / "happy.safetensors")[0].metadata["sidecar"] == {}


def write_refusal_folder(folder, metadata, d=3):
    diffs = torch.arange(2 * 4 * d, dtype=torch.float64).reshape(2, 4, d)
    torch.save(diffs, folder / "mean_diffs.pt")
    torch.save(diffs[-2, 1].clone(), folder / "direction.pt")
    (folder / "direction_metadata.json").write_text(json.dumps(metadata))
    return diffs


def test_refusal_folder_gives_the_chosen_direction_before_its_block(tmp_path):
    diffs = write_refusal_folder(tmp_path, {"pos": -2, "layer": 1})
    (chosen,) = import_vectors(tmp_path)
    assert chosen.site == Site(1, "resid_pre")
    assert torch.equal(chosen.vector, diffs[-2, 1].float())
    for source in (tmp_path, tmp_path / "mean_diffs.pt"):
        layers = import_vectors(source, position=-1)
        assert [v.site for v in layers] == [Site(k, "resid_pre") for k in range(4)]
        assert torch.equal(torch.stack([v.vector for v in layers]), diffs[-1].float())
    with pytest.raises(ArtifactError, match="choose one with position=-2 to 1"):
        import_vectors(tmp_path / "mean_diffs.pt")


def test_imported_vectors_are_checked_and_stamped_for_a_model(tmp_path, model):
    torch.save(torch.randn(7, 8), tmp_path / "a_diff.pt")  # six layers and the embeddings
    assert {v.fingerprint for v in import_vectors(tmp_path / "a_diff.pt")} == {None}
    assert {v.fingerprint for v in import_vectors(tmp_path / "a_diff.pt", model=model)} == {"model-a"}
    model.n_layers = 5
    with pytest.raises(ArtifactError, match="layers 0 to 4"):
        import_vectors(tmp_path / "a_diff.pt", model=model)
    model.n_layers, model.d_model = 6, 16
    with pytest.raises(ArtifactError, match="d_model 16"):
        import_vectors(tmp_path / "a_diff.pt", model=model, force=True)


@pytest.mark.parametrize("legacy", [False, True])
def test_objects_are_never_unpickled(tmp_path, legacy):
    path = tmp_path / "evil_diff.pt"
    torch.save({"v": Bomb()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ArtifactError, match="could not be read as a plain tensor") as caught:
        import_vectors(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(ArtifactError, match="could not be read as a plain tensor"):
        import_vectors(path)


def test_unknown_layouts_name_the_known_ones(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    torch.save(torch.ones(4), tmp_path / "one.pt")
    torch.save({"a": torch.ones(4)}, tmp_path / "dict.pt")
    torch.save(torch.ones(2, 4, dtype=torch.int64), tmp_path / "ints.pt")
    save_file({"layer_1": torch.ones(4), "weight": torch.ones(4)}, tmp_path / "mixed.safetensors")
    for name in ("notes.txt", "empty", "one.pt", "dict.pt", "ints.pt", "mixed.safetensors"):
        with pytest.raises(ArtifactError, match="expected a saved SteeringVector, a GGUF control vector") as caught:
            import_vectors(tmp_path / name)
        assert name in str(caught.value)


def test_broken_files_raise_our_error(tmp_path):
    for name in ("a.pt", "a.safetensors", "a.gguf", "GGUF.gguf"):
        (tmp_path / name).write_bytes(b"GGUF" if name.startswith("G") else b"")
        with pytest.raises(ArtifactError):
            import_vectors(tmp_path / name)
    with pytest.raises(ArtifactError, match="no such file"):
        import_vectors(tmp_path / "absent.pt")
    write_refusal_folder(tmp_path, {"pos": -2, "layer": "../../1"})
    with pytest.raises(ArtifactError, match="names no layer"):
        import_vectors(tmp_path)
    (tmp_path / "direction_metadata.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="not a JSON object"):
        import_vectors(tmp_path)


def test_values_that_are_not_finite_are_refused(tmp_path):
    torch.save(torch.full((3, 4), float("nan")), tmp_path / "a_diff.pt")
    with pytest.raises(ValueError, match="not finite"):
        import_vectors(tmp_path / "a_diff.pt")


def test_real_refusal_direction_folder(shared_data):
    folder = shared_data / "vectors" / "refusal_direction_qwen_1_8b"
    (chosen,) = import_vectors(folder)
    assert (chosen.site, chosen.d_model) == (Site(15, "resid_pre"), 2048)
    assert chosen.norm == pytest.approx(26.2873, abs=1e-3)
    layers = import_vectors(folder, position=chosen.metadata["position"])
    assert len(layers) == 24
    assert torch.equal(layers[15].vector, chosen.vector)
