"""A model of which parts lie on the disk is the model."""

from __future__ import annotations

import pytest
import torch

from tests.workbench.models.test_gguf import write
from workbench.errors import ModelError
from workbench.models import LanguageModel, load_model, with_backend
from workbench.models.unembedding import unembed

_PARTS = ("model.embed_tokens", "model.rotary_emb", "model.layers.1", "model.norm")
_Pair = tuple[LanguageModel, LanguageModel]
_SPREAD = {**dict.fromkeys(_PARTS, "cpu"), **dict.fromkeys(("model.layers.0", "model.layers.2", "lm_head"), "disk")}


@pytest.fixture(scope="module", params=["folder", "gguf"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Pair:
    """The model in memory, and spread over memory and disk."""
    path, _ = write(tmp_path_factory.mktemp("model"), "llama")
    if request.param == "folder":
        model = load_model(path, device="cpu")
        path = path.parent / "saved"
        model.backend.hf_model.save_pretrained(path)
        model.tokenizer.save_pretrained(path)
    return load_model(path, device="cpu"), load_model(path, device_map=_SPREAD)


def test_an_offloaded_model_computes_and_decodes_what_the_model_in_memory_does(
    pair: _Pair,
) -> None:
    there, spread = pair
    assert any(weight.is_meta for weight in spread.backend.hf_model.parameters())
    wanted, found = (m.forward(["the cat"], [0, 2], logits=True) for m in pair)
    assert torch.equal(found.logits, wanted.logits)
    assert all(torch.equal(found.activations[site], wanted.activations[site]) for site in wanted.activations)
    wanted_texts, found_texts = (m.generate(["the"], n=2, max_new_tokens=4, seeds=1)[0] for m in pair)
    assert [c.tokens for c in found_texts] == [c.tokens for c in wanted_texts]
    last = wanted.activations["blocks.2.hook_resid_post"]
    assert torch.equal(unembed(spread, last), unembed(there, last))


def test_an_offloaded_model_is_known_by_the_same_fingerprint(pair: _Pair) -> None:
    there, spread = pair
    assert spread.fingerprint == there.fingerprint and spread.device == torch.device("cpu")


@pytest.mark.parametrize("backend", ["nnsight", "transformer_lens"])
def test_other_back_ends_refuse_an_offloaded_model(pair: _Pair, backend: str) -> None:
    with pytest.raises(
        ModelError, match="on the disk or offloaded to the CPU can be read and steered on the hf back end"
    ):
        with_backend(pair[1], backend)
