"""Grids as text: what is written can be read back, and answers are read tolerantly."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workbench.errors import DataError, SpecError
from workbench.worlds.grids.answers import FORMS
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout
from workbench.worlds.grids.text import WORDINGS, GridText, read_grid
from workbench.worlds.moves import Move

SEEDS = st.integers(0, 10**6)
LAYOUTS = st.one_of(
    st.builds(make_layout, st.sampled_from([5, 7, 9, 15]), st.floats(0, 1), seed=SEEDS),
    st.builds(make_layout, st.integers(6, 15), structure=st.sampled_from(sorted(GOAL_STRUCTURES)), seed=SEEDS),
)
TEXTS = st.builds(GridText, st.booleans(), st.sampled_from(sorted(WORDINGS)), st.sampled_from(sorted(FORMS)))
CORRIDOR = Layout(("#####", "#___#", "###_#", "#___#", "#####"), start=(1, 1), goal=(3, 1), key=(1, 2), door=(2, 3))


def walked(layout: Layout, seed: int, steps: int) -> State:
    state = layout.initial
    for move in np.random.default_rng(seed).integers(4, size=steps):
        state = layout.after(state, Move(int(move)))
    return state


def test_the_picture_is_a_matrix_with_indices() -> None:
    picture = GridText().picture(CORRIDOR, CORRIDOR.initial)
    assert picture.splitlines() == [
        "+ 0 1 2 3 4",
        "0 # # # # #",
        "1 # A K _ #",
        "2 # # # D #",
        "3 # G _ _ #",
        "4 # # # # #",
    ]


def test_a_held_key_is_not_shown_and_the_agent_hides_what_it_stands_on() -> None:
    held = GridText().picture(CORRIDOR, State((1, 3), has_key=True))
    assert held.splitlines()[2:4] == ["1 # _ _ A #", "2 # # # D #"]
    assert GridText().picture(CORRIDOR, State((2, 3), has_key=True)).splitlines()[3] == "2 # # # A #"


@given(LAYOUTS, TEXTS)
def test_the_start_of_a_layout_is_read_back_from_any_prompt(layout: Layout, text: GridText) -> None:
    assert read_grid(text.prompt(layout, layout.initial)) == (layout, layout.initial)


@given(LAYOUTS, TEXTS, SEEDS, st.integers(1, 60))
def test_any_state_read_back_is_the_same_task(layout: Layout, text: GridText, seed: int, steps: int) -> None:
    state = walked(layout, seed, steps)
    assume(state.cell != layout.goal)
    read, at = read_grid(text.prompt(layout, state))
    assert at.cell == state.cell and (read.rows, read.goal) == (layout.rows, layout.goal)
    assert (read.key is None) == (layout.key is None or state.has_key)
    assert read.distance(at) == layout.distance(state) and read.optimal_moves(at) == layout.optimal_moves(state)


def test_reading_a_text_without_a_grid_raises_one_line() -> None:
    for text in ("", "hello", "0 # # #\n1 # A #\n2 # # #"):
        with pytest.raises(DataError, match="no grid with an A and a G"):
            read_grid(text)
    with pytest.raises(DataError, match="square"):
        read_grid("0 # # # #\n1 # A G #\n2 # # # #")


@given(st.sampled_from(list(Move)), st.text(st.characters(codec="ascii"), max_size=60), TEXTS)
def test_a_written_answer_is_read_back_whatever_was_thought_before(move: Move, thought: str, text: GridText) -> None:
    thought = re.sub("[{:]", "", thought) + " so I go"  # nothing that is an answer itself
    assert text.parse(f"{thought}\n{text.answer(move)}") is move
    assert (
        text.parse(f"{thought}\n{text.answer(move)}\n{text.answer(Move((move + 1) % 4))}") is move
    )  # the first counts
    assert text.answer_form != "json" or json.loads(text.answer(move)) == {"action": move}


@pytest.mark.parametrize(
    ("completion", "move"),
    [
        ('{"action": 3}', Move.DOWN),
        ('{"action":0}', Move.LEFT),
        ('{ "action" : 1 }\n', Move.RIGHT),
        ('```json\n{"action": 1}\n```', Move.RIGHT),
        ('```\n{\n  "action": 2\n}\n```', Move.UP),
        ('Go DOWN 4 2 DOWN 5 2.\n{"action": 3}', Move.DOWN),
        ('{"action": "3"}', Move.DOWN),
        ('{"action": "DOWN"}', Move.DOWN),
        ('{"action": " up "}', Move.UP),
        ('{"action": "Left", "why": "it is near"}', Move.LEFT),
        ("{'action': 2}", Move.UP),
        ("{'action': 'right'}", Move.RIGHT),
        ("{action: 2}", Move.UP),
        ("{action: up}", Move.UP),
        ('{"action": 1, "why": "it\'s near"}', Move.RIGHT),
        ('{"action": 0} or rather {"action": 1}', Move.LEFT),
        ('{"action": 1} {"action": perhaps}', Move.RIGHT),
        ('{"action": 2} {"note": 1}', Move.UP),
    ],
)
def test_answers_are_read_tolerantly(completion: str, move: Move) -> None:
    assert GridText().parse(completion) is move


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "DOWN",
        "action 3",
        '{"action": 3',
        '{"action": 4}',
        '{"action": -1}',
        '{"action": 1.0}',
        '{"action": true}',
        '{"action": null}',
        '{"action": [1]}',
        '{"action": ""}',
        '{"action": "DOWNWARD"}',
        '{"action": "٣"}',
        '{"move": 1}',
        "{}",
        "{{}}",
        "{" * 50_000,
        '{"action": ' + "1" * 5000 + "}",
        '{"action": ' + "[" * 100_000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_answer_is_not_parsed(completion: str) -> None:
    assert GridText().parse(completion) is None


@given(st.text(st.sampled_from("{}[]\"':, \naction0123LEFT\\"), max_size=60))
def test_no_completion_makes_the_parser_fail(completion: str) -> None:
    assert GridText().parse(completion) in (None, *Move)


def test_wordings_differ_and_only_the_reasoning_one_asks_to_think() -> None:
    prompts = {GridText(think, wording).prompt(CORRIDOR, CORRIDOR.initial) for think in (0, 1) for wording in WORDINGS}
    assert len(prompts) == 2 * len(WORDINGS)
    for wording in WORDINGS:
        assert "Think" in GridText(True, wording).prompt(CORRIDOR, CORRIDOR.initial)
        assert "Think" not in GridText(False, wording).prompt(CORRIDOR, CORRIDOR.initial)


def test_an_unknown_wording_raises_with_the_nearest_one() -> None:
    with pytest.raises(SpecError, match="unknown wording 'shrt'; did you mean 'short'"):
        GridText(wording="shrt")
