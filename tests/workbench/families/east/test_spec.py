"""What an EAST spec takes and what it refuses, and how its agent is told and answers."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from workbench.errors import SpecError
from workbench.families.east import PRESETS, EastSpec
from workbench.families.east.sizes import Sizes
from workbench.worlds.bandits.summary import SummaryText


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": ((1, 2, 3),)}, "3 arms and extraction_means 2"),
        ({"exact": True, "thoughts": False, "prefill": "Thought:"}, "prefill has no use"),
        ({"told": "summary", "answer": "json"}, "answer has no use"),
        ({"answer": "yaml"}, "json"),
        ({"wording": 9}, "wording 9"),
        ({"told": "summary", "wording": 5}, "wording 5"),
        ({"doses": (-0.3,)}, "at least one above 0"),
        ({"multipliers": (0.0,)}, "at least one above 0"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises((ValidationError, SpecError), match=said):
        EastSpec(**changes)


def test_zero_is_always_run_and_raw_multipliers_are_none_by_default() -> None:
    assert EastSpec(doses=(0.3, -0.1)).doses == (-0.1, 0.0, 0.3)
    assert EastSpec().multipliers is None and EastSpec(multipliers=(2,)).multipliers == (0.0, 2.0)


def test_bandits_may_have_more_arms() -> None:
    spec = EastSpec(extraction_means=(100, 100, 100), settings=((95, 100, 105),))
    assert spec.text("buttons").n_arms == 3
    assert EastSpec.model_validate_json(spec.model_dump_json()) == spec


def test_foreign_models_answer_in_letters_unless_another_form_is_asked_for() -> None:
    assert EastSpec().text("buttons").action(0) == "Action: I choose Button 1."
    assert EastSpec(model="some/chat-model").text("buttons").action(0) == "Action: I choose Button A."
    assert EastSpec(model="some/chat-model", answer="json").text("buttons").action(0) == '{"action": 1}'


def test_a_history_may_be_told_as_a_summary() -> None:
    text = EastSpec(told="summary", extraction_means=(1, 1, 1), settings=((1, 2, 3),)).text("slot_machines")
    assert isinstance(text, SummaryText) and text.n_arms == 3 and text.thoughts
    assert not EastSpec(told="summary", thoughts=False, exact=True).text("buttons").thoughts


def test_the_laptop_preset_draws_nothing_and_reads_the_models_depth() -> None:
    laptop = PRESETS["laptop"]
    assert not laptop.drawn and all(0 < layer < 1 for layer in laptop.layers or ())
    assert Sizes(laptop).played(4, 3)["completions"] == 0 and Sizes(laptop).played(4, 3)["tokens"] > 0


def test_reading_an_episode_again_costs_less_than_playing_it() -> None:
    size = Sizes(EastSpec(exact=True))
    assert size.played(4, 0)["tokens"] < size.played(4, 3)["tokens"]
    assert size.played(4, 0)["completions"] == 0 < size.played(4, 3)["completions"]
