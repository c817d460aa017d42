"""Bandits as text: every action that can be written can be read, and nothing else can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SpecError
from workbench.worlds.bandits.answers import FORMS
from workbench.worlds.bandits.conversation import Turn
from workbench.worlds.bandits.text import HELD_OUT_WORDINGS, RENDERINGS, TRAINED_WORDINGS, BanditText

renderings, forms = st.sampled_from(sorted(RENDERINGS)), st.sampled_from(sorted(FORMS))


@given(renderings, forms, st.integers(0, 3), st.text(st.characters(codec="ascii", exclude_characters=":"), max_size=40))
def test_a_written_action_is_read_back_whatever_the_thought(rendering: str, form: str, arm: int, thought: str) -> None:
    text = BanditText(rendering, n_arms=4, answer=form)
    assert text.parse(f"Thought: {thought}\n{text.action(arm)}") == arm


@given(renderings, forms, st.booleans(), st.integers(0, 3))
def test_what_follows_an_action_is_no_part_of_the_answer(rendering: str, form: str, thoughts: bool, arm: int) -> None:
    text = BanditText(rendering, n_arms=4, answer=form, thoughts=thoughts)
    said = f"Thought: so.\n{text.action(arm)}" if thoughts else text.action(arm)
    invented = f"\n{text.feedback(1, 140)}\n{text.action(1)}"
    assert text.spoken(said + invented) == said and text.parse(said + invented) == arm


@pytest.mark.parametrize("said", ["", "hm", "Thought: it is Button 2", "Action: none. Button 1 paid 140 points."])
def test_an_answer_without_an_action_is_kept_whole(said: str) -> None:
    assert BanditText().spoken(said) == said


@pytest.mark.parametrize(
    ("said", "arm"),
    [("B", 1), (" Answer: A", 0), ("answer: (B)", 1), ("Answer: Button B.", 1), ("the Button A", 0), ("B.", 1),
     ("b", None), ("A good choice is B", None), ("Action: I choose Button A", 0), ("C", None), ("I'd say B", None)],
)  # fmt: skip
def test_letters_are_read_alone_or_behind_action_and_answer(said: str, arm: int | None) -> None:
    assert BanditText(answer="letter", thoughts=False).parse(said) == arm


@pytest.mark.parametrize("said", ["B", "Thought: B", "Thought: Button A"])
def test_a_letter_in_a_thought_is_no_answer(said: str) -> None:
    assert BanditText(answer="letter").parse(said) is None


@pytest.mark.parametrize(
    ("said", "arm"),
    [('{"action": 2}', 1), ("```json\n{'action': '1'}\n```", 0), ('{"action": "Button 2"} ok', 1),
     ('{ "Action":1 }', 0), ('{"action": 3}', None), ('{"action": 12}', None), ('{"choice": 1}', None), ("2", None)],
)  # fmt: skip
def test_json_is_read_with_either_quotes_and_a_repeated_noun(said: str, arm: int | None) -> None:
    assert BanditText(answer="json", thoughts=False).parse(said) == arm


@given(forms, st.booleans(), st.integers(2, 6))
def test_the_request_names_an_answer_that_can_be_read_and_the_actions_differ_in_their_last_word(
    form: str, thoughts: bool, n_arms: int
) -> None:
    text = BanditText(n_arms=n_arms, answer=form, thoughts=thoughts)
    begins = {text.action(arm).rpartition(" ")[0] for arm in range(n_arms)}
    assert len(begins) == 1 and text.prefill == ("Thought:" if thoughts else begins.pop())
    example = FORMS[form].name(0)
    assert example in text.instructions()


def test_letters_name_the_arms_in_the_feedback_too() -> None:
    assert BanditText(answer="letter").feedback(1, 97) == "Button B paid 97 points."


def test_a_conversation_alternates_answers_and_feedback_behind_the_instructions() -> None:
    text = BanditText()
    turns = [Turn("Thought: so.\nAction: I choose Button 2.", 1, 104.2), Turn(text.action(0), 0, 95.0)]
    first, *rest = text.conversation(turns, "Explore!")
    assert first == {"role": "user", "content": f"{text.instructions()} Explore!"}
    assert [message["role"] for message in rest] == ["assistant", "user"] * 2
    assert [message["content"] for message in rest] == [
        turns[0].said, "Button 2 paid 104 points.", turns[1].said, "Button 1 paid 95 points.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "completion",
    ["", "Action: none", "I choose Button 1.", "Action: I choose Button 3.", "Action: I choose Button 0.",
     "Action: hmm\nAction: I choose Button 1.", "Action: I choose Button 12."],
)  # fmt: skip
def test_what_is_no_action_of_an_existing_arm_is_not_parsed(completion: str) -> None:
    assert BanditText().parse(completion) is None


@pytest.mark.parametrize(
    "completion", ["action: button 2", "ACTION: I CHOOSE THE BUTTON 2", "Action:I choose Button 2"]
)
def test_parsing_tolerates_case_and_missing_words(completion: str) -> None:
    assert BanditText().parse(completion) == 1


def test_slot_machine_is_read_as_machine() -> None:
    assert BanditText("slot_machines").parse("Action: I choose slot machine 1.") == 0


def test_the_first_action_line_counts() -> None:
    assert BanditText().parse("Action: I choose Button 2.\nAction: I choose Button 1.") == 1


def test_wordings_are_split_into_trained_and_held_out_without_overlap() -> None:
    assert not set(TRAINED_WORDINGS) & set(HELD_OUT_WORDINGS)
    written = {BanditText(wording=w).instructions() for w in (*TRAINED_WORDINGS, *HELD_OUT_WORDINGS)}
    assert len(written) == len(TRAINED_WORDINGS) + len(HELD_OUT_WORDINGS)


def test_renderings_differ_in_the_noun_alone() -> None:
    buttons, machines = (BanditText(r).instructions() for r in ("buttons", "slot_machines"))
    swap = machines.replace("slot machines", "buttons").replace("pull", "press").replace("Machine", "Button")
    assert swap == buttons


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"rendering": "button"}, "buttons"), ({"wording": 99}, "wording 99"), ({"answer": "yaml"}, "json")],
)
def test_an_unknown_rendering_wording_or_answer_is_refused_with_what_would_be_right(kwargs: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        BanditText(**kwargs)


def test_more_arms_than_letters_are_refused() -> None:
    with pytest.raises(SpecError, match="26"):
        BanditText(n_arms=27, answer="letter").instructions()
