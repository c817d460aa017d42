"""Bandits as text: every action that can be written can be read, and nothing else can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SpecError
from workbench.worlds.bandits.text import HELD_OUT_WORDINGS, RENDERINGS, TRAINED_WORDINGS, BanditText

renderings = st.sampled_from(sorted(RENDERINGS))


@given(renderings, st.integers(0, 3), st.text(st.characters(codec="ascii", exclude_characters=":"), max_size=40))
def test_a_written_action_is_read_back_whatever_the_thought(rendering: str, arm: int, thought: str) -> None:
    text = BanditText(rendering, n_arms=4)
    assert text.parse(f"Thought: {thought}\n{text.action(arm)}") == arm


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


@pytest.mark.parametrize(("kwargs", "message"), [({"rendering": "button"}, "buttons"), ({"wording": 99}, "wording 99")])
def test_an_unknown_rendering_or_wording_is_refused_with_what_would_be_right(kwargs: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        BanditText(**kwargs)
