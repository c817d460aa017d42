"""Loading from folders, offline, and what goes wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.errors import DataError, ModelError, SpecError
from workbench.models import loading
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, shipped_models, with_backend
from workbench.models.sequence_model import SequenceModel
from workbench.models.tiny import tiny_hf_model, tiny_tokenizer


def test_a_saved_folder_loads_on_every_back_end(
    folder: Path, model: LanguageModel, backend: str, prompts: list[str]
) -> None:
    loaded = load_model(folder, backend)
    assert loaded.backend_name == backend and loaded.fingerprint == model.fingerprint
    assert loaded.encode(prompts[0]) == model.encode(prompts[0])
    found, expected = (m.generate(prompts, max_new_tokens=6, seeds=1) for m in (loaded, model))
    assert [c[0].tokens for c in found] == [c[0].tokens for c in expected]
    assert not any(p.requires_grad for p in loaded.backend.hf_model.parameters())


def test_a_bfloat16_folder_stays_bfloat16_unless_asked(tmp_path: Path, backend: str) -> None:
    tiny_hf_model("gpt2").to(torch.bfloat16).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(tmp_path, backend)
    assert loaded.dtype == torch.bfloat16
    found = loaded.forward(["a b"], [1], logits=True)
    assert {x.dtype for x in [*found.activations.values(), found.logits]} == {torch.bfloat16}
    for dtype in ("float32", torch.float32):
        wide = load_model(tmp_path, backend, dtype=dtype)
        assert wide.dtype == torch.float32 and wide.fingerprint == loaded.fingerprint


def test_no_weights_are_loaded_twice_for_another_back_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_model(folder)
    import transformers

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", None)
    for name in ("nnsight", "transformer_lens"):
        assert with_backend(loaded, name).backend.hf_model is loaded.backend.hf_model


@pytest.mark.parametrize(
    "call", [lambda m: load_model("anything", "transformer-lens"), lambda m: with_backend(m, "nnsigth")]
)
def test_an_unknown_back_end_gets_the_nearest_name(model: LanguageModel, call: Callable[[LanguageModel], Any]) -> None:
    with pytest.raises(SpecError, match=r"did you mean '(transformer_lens|nnsight)'"):
        call(model)


def _one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_a_missing_model_is_one_line_that_names_what_there_is(tmp_path: Path) -> None:
    for name in ("no/such-model", str(tmp_path / "nowhere")):
        with pytest.raises(ModelError, match="no such folder or shipped model") as caught:
            load_model(name)
        assert repr(name) in _one_line(caught.value)


def test_a_folder_without_config_names_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ModelError, match=r"the folder has no config\.json") as caught:
        load_model(tmp_path)
    assert "checkpoints" in _one_line(caught.value)
    for number in range(1000):
        (tmp_path / f"part-{number}").touch()
    with pytest.raises(ModelError, match=r"checkpoints, part-0, ") as caught:
        load_model(tmp_path)
    assert len(_one_line(caught.value)) < 500


def test_weights_that_cannot_be_read_are_one_line(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot load") as caught:
        load_model(tmp_path)
    _one_line(caught.value)


def test_options_that_do_not_exist_are_one_line(folder: Path) -> None:
    with pytest.raises(SpecError, match="unknown dtype 'float12': write auto"):
        load_model(folder, dtype="float12")
    for device in ("nowhere", "meta", 1.5):
        with pytest.raises(SpecError, match=r"unknown device .*: write cpu, cuda or cuda:0"):
            load_model(folder, device=device)
    with pytest.raises(ModelError, match=r"cannot put .* on 'cuda:77'") as caught:
        load_model(folder, device="cuda:77")
    _one_line(caught.value)


@pytest.mark.parametrize("name", ["", " ", None, 5, b"bandit-agent", ["bandit-agent"], "a\0b", "\ud800", "x" * 5000])
def test_what_is_no_name_of_a_model_is_one_short_line_without_the_hub(
    name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", None)
    with pytest.raises(
        (ModelError, DataError), match=r"cannot load .*: name a shipped model|a model must be the name"
    ) as caught:
        load_model(name)
    assert len(_one_line(caught.value).encode()) < 200


@pytest.mark.parametrize("name", ["bandit-agnet", "bandit_agent", "Bandit-Agent", "babbler", "grid-agent2", "pinpad"])
def test_a_misspelt_shipped_name_is_answered_without_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (loading.AutoConfig, loading.AutoModelForCausalLM):
        monkeypatch.setattr(kind, "from_pretrained", None)
    for ask in (load_model, loading.n_layers_of):
        with pytest.raises(ModelError, match=r"cannot load .*; did you mean '(bandit|babbler|grid|pinpad)-\w+'"):
            ask(name)


def test_a_name_that_is_near_no_shipped_one_is_asked_of_the_hub_and_a_folder_is_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gpt2", "bert-base", "opt-base", "someone/bandit-agnet"):
        with pytest.raises(ModelError, match="and as a hub id"):
            load_model(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bandit-agnet").symlink_to(folder)
    assert load_model("bandit-agnet").n_layers == 4
    for empty in ("", "  "):
        with pytest.raises(ModelError, match=r"cannot load .*: name a shipped model"):
            load_model(empty)


def test_code_in_a_folder_does_not_run_unless_asked(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "strange", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("import os\nos.environ['WORKBENCH_EVIL'] = '1'\n")
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    _one_line(caught.value)
    assert "WORKBENCH_EVIL" not in os.environ


def test_shipped_models_are_folders_that_load_by_name() -> None:
    for name, path in shipped_models().items():
        loaded = load_model(name)
        assert (path / "config.json").exists() and loaded.name == name
        if isinstance(loaded, SequenceModel):  # it acts and has no text
            assert loaded.forward([[[0] * len(loaded.config.field_sizes)]], logits=True).logits.shape == (1, 1, 4)
        else:
            assert loaded.generate(["Button 1"], max_new_tokens=2)[0][0].tokens
