"""What is said, and between which tokens it is injected."""

from __future__ import annotations

import pytest

from workbench.errors import ModelError
from workbench.families.introspection.concept_injection import prompts
from workbench.models.tiny import tiny_model


def injected(model, conversation) -> str:
    placed = prompts.place(model, conversation)
    return model.decode(placed.tokens[placed.start : placed.stop]).strip()


def test_a_trial_is_injected_from_its_text_to_the_end(chat_model) -> None:
    for conversation in (prompts.detection(), prompts.naming(), prompts.neutral(), prompts.unrelated(3)):
        assert injected(chat_model, conversation) == conversation.messages[-1][1]
        assert prompts.place(chat_model, conversation).stop is None


@pytest.mark.parametrize("scope", ["text", "reply", "everything"])
def test_a_scope_moves_what_is_injected_and_leaves_windows_of_their_own(chat_model, scope) -> None:
    trial, text = prompts.place(chat_model, prompts.detection()), prompts.detection().messages[-1][1]
    moved = prompts.place(chat_model, prompts.detection(), scope)
    assert moved.tokens == trial.tokens
    if scope == "text":
        assert chat_model.decode(moved.tokens[moved.start : moved.stop]).strip() == text and moved.stop is not None
    else:
        start = len(trial.tokens) - 1 if scope == "reply" else 0
        assert (moved.start, moved.stop) == (start, None)
    assert prompts.place(chat_model, prompts.kv_cache(), scope) == prompts.place(chat_model, prompts.kv_cache())


def test_the_kv_cache_trial_is_injected_in_turn_one_alone(chat_model) -> None:
    conversation = prompts.kv_cache()
    text = injected(chat_model, conversation)
    assert text.startswith(prompts.INTRODUCTION[:40]) and text.endswith(prompts.READY)
    assert prompts.EARLIER not in text


def test_a_sentence_is_injected_and_its_instruction_is_not(chat_model) -> None:
    for k in range(len(prompts.SENTENCES)):
        for conversation in (prompts.thought(k), prompts.transcription(k)):
            assert injected(chat_model, conversation) == prompts.SENTENCES[k]


def test_a_prefilled_word_comes_after_what_is_injected(chat_model) -> None:
    conversation = prompts.prefill("snow", 1)
    placed = prompts.place(chat_model, conversation)
    assert "now" not in injected(chat_model, conversation).split()
    assert "Snow." in chat_model.decode(placed.tokens[placed.stop :])


def test_odd_input_is_odd_in_four_ways_and_the_same_for_the_same_seed() -> None:
    texts = [prompts.perturbed(k, ["apron", "oven"], 1).messages[-1][1] for k in range(4)]
    assert len({*texts, prompts.TRIAL}) == 5
    assert texts == [prompts.perturbed(k, ["apron", "oven"], 1).messages[-1][1] for k in range(4)]
    assert sorted("".join(texts[1].split())) == sorted("".join(prompts.TRIAL.split()))  # letters only change places


def test_think_and_avoid_differ_from_the_plain_instruction_by_one_sentence() -> None:
    plain, think, avoid = (prompts.intention("snow", arm, 0) for arm in ("plain", "think", "avoid"))
    assert think.messages[0][1] == plain.messages[0][1] + " Think about snow while you write it."
    assert avoid.messages[0][1] == plain.messages[0][1] + " Do not think about snow while you write it."
    assert plain.reply == think.reply == avoid.reply == prompts.SENTENCES[0]


def test_a_choice_lists_every_option_under_its_letter() -> None:
    text = prompts.choice(["snow", "wolf", "comet", "chess"]).messages[-1][1]
    assert "A: snow, B: wolf, C: comet, D: chess" in text


def test_a_model_that_cannot_be_talked_to_is_refused() -> None:
    model = tiny_model()
    model.tokenizer.chat_template = ""
    with pytest.raises(ModelError, match="tiny-llama has no chat template"):
        prompts.need_chat(model)
