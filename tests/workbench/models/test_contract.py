"""What is asked of a model when it is loaded."""

from __future__ import annotations

import pytest
import torch

from workbench.errors import DataError, ModelError, WorkbenchWarning
from workbench.models.contract import on_trial, once, random_inputs
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import tiny_hf_model, tiny_sequence_model, tiny_tokenizer


def test_a_check_is_made_once_for_each_model() -> None:
    calls: list[object] = []
    check = once(lambda hf_model: calls.append(hf_model))
    one, other = tiny_hf_model("llama"), tiny_hf_model("llama")
    for hf_model in (one, other, one):
        check(hf_model)
    assert calls == [one, other]


def test_random_tokens_repeat_leave_the_process_alone_and_have_no_meaning_of_their_own() -> None:
    hf_model = tiny_hf_model("llama")
    hf_model.config.image_token_id = 7
    state = torch.get_rng_state()
    tokens = random_inputs(hf_model, 30, 40)
    assert torch.equal(tokens, random_inputs(hf_model, 30, 40)) and torch.equal(state, torch.get_rng_state())
    assert not set(tokens.flatten().tolist()) & {1, 2, 7}
    assert random_inputs(tiny_sequence_model().backend.hf_model, 2, 6).shape == (2, 6, 2)


def test_a_model_on_trial_is_left_in_the_mode_it_was_in() -> None:
    hf_model = tiny_hf_model("llama").train()
    hf_model.lm_head.eval()
    with pytest.raises(ModelError, match=r"cannot be run on tokens: ValueError: odd$"), on_trial(hf_model):
        assert not hf_model.model.layers[0].training and not torch.is_grad_enabled()
        raise ValueError("odd\nsecond line")
    assert hf_model.model.layers[0].training and not hf_model.lm_head.training


def test_tensors_that_are_not_in_memory_are_one_line() -> None:
    hf_model = tiny_hf_model("llama")
    hf_model.model.norm.to("meta")
    with (
        pytest.raises(ModelError, match=r"1 tensors are not in memory .* such as model\.norm\.weight"),
        on_trial(hf_model),
    ):
        pass


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings_says_how_to_mend_it() -> None:
    hf_model, tokenizer = tiny_hf_model("llama"), tiny_tokenizer()
    tokenizer.add_tokens(["hello"])
    with pytest.raises(ModelError, match=r"none for 'hello'\).*resize_token_embeddings\(len\(tokenizer\)\)$"):
        LanguageModel(HuggingFaceBackend(hf_model), tokenizer, "grown")


def test_special_tokens_without_an_embedding_are_named() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    with pytest.warns(WorkbenchWarning, match="no embeddings for <image>: prompts with them are refused"):
        model = LanguageModel(HuggingFaceBackend(tiny_hf_model("llama")), tokenizer, "blind")
    with pytest.raises(DataError):
        model.encode("a <image>")
