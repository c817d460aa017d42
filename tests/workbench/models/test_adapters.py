"""A shipped adapter is a model by its own name, merged into its base when it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.errors import ModelError
from workbench.models import load_model, model_names, names
from workbench.models.loading import is_here, n_layers_of
from workbench.models.tiny import tiny_model
from workbench.training.lora import LoRA, Pair, finetune


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shipped: a tiny model ``base``, and an adapter ``tuned`` on it."""
    plain = tiny_model()
    plain.backend.hf_model.save_pretrained(tmp_path / "base")
    plain.tokenizer.save_pretrained(tmp_path / "base")
    monkeypatch.setattr(names, "_SHIPPED", tmp_path)
    finetune(load_model("base", device="cpu"), [Pair("a b", " c")] * 8, tmp_path / "tuned", LoRA(rank=2, lr=0.02))
    return tmp_path


def test_an_adapter_loads_by_its_name_on_any_back_end(shipped: Path, backend: str) -> None:
    base, tuned = (load_model(name, backend, device="cpu") for name in ("base", "tuned"))
    assert tuned.name == "tuned" and tuned.backend_name == backend and tuned.fingerprint != base.fingerprint
    again = finetune(base, [Pair("a b", " c")] * 8, shipped / "tuned", LoRA(rank=2, lr=0.02))
    assert again.fingerprint == tuned.fingerprint
    assert torch.equal(again.forward(["a b"], logits=True).logits, tuned.forward(["a b"], logits=True).logits)


def test_its_name_is_known_and_its_shape_is_its_base_s(shipped: Path) -> None:
    assert "tuned" in model_names() and n_layers_of("tuned") == n_layers_of("base") == 4 and is_here("tuned")


def test_a_base_that_is_not_fetched_says_how_to_get_it(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(shipped / "cache"))
    mark = shipped / "tuned" / "finetuning.json"
    mark.write_text(mark.read_text().replace('"base_name": "base"', '"base_name": "smollm2-135m"'))
    assert not is_here("tuned")
    for ask in (load_model, n_layers_of):
        with pytest.raises(ModelError, match=r"is not fetched yet .*: workbench models get smollm2-135m$"):
            ask("tuned")
