"""What the clock of a run says is left follows from the steps that are finished."""

from __future__ import annotations

from workbench.families import Step
from workbench.families.clock import Clock

STEPS = [
    Step("play-1", "", print, 10),
    Step("play-2", "", print, 30),
    Step("read", "", print, tokens=500),
    Step("probe-1", "", print),
    Step("probe-2", "", print),
]


def _clock(*times: float) -> Clock:
    return Clock(STEPS, length=10, now=iter(times).__next__)


def test_before_anything_is_finished_nothing_is_said_to_be_left() -> None:
    assert _clock(100, 107).text([step.name for step in STEPS]) == "0:07 gone"


def test_what_is_left_is_in_proportion_to_the_tokens_of_steps_of_its_kind() -> None:
    clock = _clock(0, 20, 20)
    clock.end("play-1")  # 100 tokens drawn in 20 s
    assert clock.text(["play-2"]) == "0:20 gone, about 1:00 left"


def test_a_new_kind_is_judged_by_the_tokens_of_all_and_a_token_read_costs_a_fifth() -> None:
    clock = _clock(0, 20, 20)
    clock.end("play-1")
    assert clock.text(["read"]) == "0:20 gone, about 0:20 left"


def test_steps_without_tokens_take_as_long_as_their_kind_did_on_average() -> None:
    clock = _clock(0, 20, 30, 3700)
    clock.end("play-1")
    clock.end("probe-1")
    assert clock.text(["probe-2"]) == "1:01:40 gone, about 0:10 left"
