"""The enum of moves."""

from __future__ import annotations

from workbench.worlds.moves import Move


def test_numbers_are_those_of_the_papers_answers() -> None:
    assert {move.name: move.value for move in Move} == {"LEFT": 0, "RIGHT": 1, "UP": 2, "DOWN": 3}


def test_rows_grow_downward_and_columns_to_the_right() -> None:
    assert [move.of((4, 7)) for move in Move] == [(4, 6), (4, 8), (3, 7), (5, 7)]
    assert all(move.of((4, 7)) == (4 + move.delta[0], 7 + move.delta[1]) for move in Move)
