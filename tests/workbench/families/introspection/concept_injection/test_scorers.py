"""The rules that grade replies, on replies of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.families.introspection.concept_injection.scorers import (
    affirmation,
    grade,
    naming_of,
    repeats,
    transcribed,
)

FORMS = ["wolf", "wolves"]


@pytest.mark.parametrize(
    ("reply", "affirms", "names", "success"),
    [
        ("Yes. It is about a wolf.", True, True, True),
        ("I do detect an injected thought: wolves.", True, True, True),
        ("I\u2019m sensing something about a Wolf", True, True, True),
        ("There seems to be an unusual thought, perhaps of wolves", True, True, True),
        ("Yes, the wolf", True, True, True),
        ("Wolves howl at night. Yes, I notice it.", True, True, False),  # named before it was noticed
        ("No, I do not notice a wolf.", False, True, False),
        ("I don't detect any thought. Yes?", False, False, False),
        ("I notice nothing about wolves", False, True, False),
        ("I cannot say yes: wolf", False, True, False),
        ("Yes, it is about an ocean.", True, False, False),
        ("yes yes yes yes wolf", True, True, False),  # in circles
        ("", False, False, False),
    ],
)
def test_a_reply_is_graded_as_a_reader_would(reply, affirms, names, success) -> None:
    found = grade(reply, FORMS)
    assert (found.affirms, found.names, found.success) == (affirms, names, success)


@pytest.mark.parametrize(("text", "where"), [("A WOLF!", 2), ("the wolf-like", 4), ("werewolf", None), ("wolfs", None)])
def test_a_concept_is_named_by_whole_words_only(text, where) -> None:
    assert naming_of(text, FORMS) == where


@given(st.lists(st.sampled_from(["yes", "no", "wolf", "I notice", "a", "thought", "not", "Yes,", "the"]), max_size=12))
def test_a_success_is_coherent_affirms_and_names_in_this_order(words) -> None:
    text = " ".join(words)
    found = grade(text, FORMS)
    if found.success:
        said, named = affirmation(text), naming_of(text, FORMS)
        assert found.coherent and said is not None and named is not None and said <= named
    assert found.affirms == (affirmation(text) is not None)


@given(
    st.lists(st.sampled_from(["the", "train", "was", "late", "so", "we", "played", "cards"]), min_size=1, max_size=9)
)
def test_transcription_is_one_for_the_sentence_itself_and_symmetric_at_the_ends(words) -> None:
    sentence = " ".join(words)
    assert transcribed(f" {sentence.upper()}!", sentence) == 1.0
    assert transcribed("0 0 0", sentence) == 0.0
    assert 0 <= transcribed(" ".join(words[:-1]), sentence) < 1 or len(words) == 1


def test_a_reply_that_goes_in_circles_repeats() -> None:
    assert not repeats("It is about the sea, I think, or a ship on the sea.") and not repeats("1 2 3 4")
    assert repeats("sea ship " * 10) and repeats("a sea sea sea sea")


def test_what_the_unsteered_model_would_not_write_is_no_success() -> None:
    found = grade("Yes, a wolf.", FORMS, coherent=False)
    assert (found.coherent, found.affirms, found.names, found.success) == (False, True, True, False)


REPLIES = yaml.safe_load(Path(__file__).with_name("replies.yaml").read_text(encoding="utf-8"))
PLURALS = {"wolf": ["wolves"]}


@pytest.mark.parametrize("half", ["development", "held_out"])
def test_the_rules_are_right_on_typical_replies_of_chat_models(half: str) -> None:
    """The rules were made on one half; the other, written before them, they have never seen."""
    wrong = []
    for style, text, concept, *right in REPLIES[half]:
        found = grade(text, [concept, f"{concept}s", f"{concept}es", *PLURALS.get(concept, [])])
        if [found.affirms, found.names, found.success] != right:
            wrong.append((style, text, found))
    assert len(REPLIES[half]) >= 50 and len(wrong) <= 0.05 * len(REPLIES[half]), wrong


def test_typical_replies_are_of_many_styles_and_of_both_answers_in_each_half() -> None:
    for rows in REPLIES.values():
        assert len({style for style, *_ in rows}) >= 15
        assert 0.3 < sum(affirms for _, _, _, affirms, _, _ in rows) / len(rows) < 0.7
    assert not {text for _, text, *_ in REPLIES["development"]} & {text for _, text, *_ in REPLIES["held_out"]}


def test_forms_must_be_given() -> None:
    with pytest.raises(DataError, match="at least one form"):
        naming_of("wolf", [])
    with pytest.raises(DataError, match="at least one form"):
        naming_of("wolf", ["wolf", ""])
