"""The teacher's transcripts: optimal moves, exact targets, and the tokens that the agent will meet."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.text import GridText
from workbench.worlds.grids.training.transcripts import DECISION, PLANNED_MOVES, GridWriter, grid_tokenizer, teach
from workbench.worlds.moves import Move


@pytest.fixture(scope="module")
def tokenizer():
    return grid_tokenizer()


@pytest.fixture(scope="module")
def writer(tokenizer) -> GridWriter:
    return GridWriter(tokenizer)


@st.composite
def places(draw: st.DrawFn) -> tuple[Layout, State]:
    """A reachable state of a maze or of rooms with a key and a door."""
    structure = draw(st.sampled_from(["maze", "KeyDoor"]))
    size = draw(st.sampled_from([5, 7, 9] if structure == "maze" else [7, 9]))
    density = draw(st.sampled_from([0.0, 0.4, 1.0])) if structure == "maze" else 0.0
    layout = make_layout(size, density, structure, seed=draw(st.integers(0, 500)))
    keys = (False, True) if layout.key else (False,)
    states = [State(cell, key) for cell in layout.open_cells() for key in keys]
    states = [s for s in states if layout.distance(s) > 0 and not (s.cell == layout.key and not s.has_key)]
    return layout, draw(st.sampled_from(states))


@given(places(), st.integers(0, 9))
def test_a_reasoning_says_where_things_are_and_follows_a_shortest_path(place: tuple[Layout, State], seed: int) -> None:
    layout, state = place
    text = "".join(piece.text for piece in teach(layout, state, True, np.random.default_rng(seed)))
    found = re.fullmatch(r'At (\d+) (\d+)\. Goal (\d+) (\d+)\. Go((?: [A-Z]+ \d+ \d+)+)\.\n(\{"action": \d\})', text)
    assert found is not None
    assert tuple(map(int, found.group(1, 2))) == state.cell and tuple(map(int, found.group(3, 4))) == layout.goal
    words, here = found[5].split(), state
    for name, row, column in zip(words[::3], words[1::3], words[2::3], strict=True):
        assert Move[name] in layout.optimal_moves(here)
        here = layout.after(here, Move[name])
        assert here.cell == (int(row), int(column))
    assert len(words) // 3 == min(PLANNED_MOVES, layout.distance(state))
    assert json.loads(found[6])["action"] == Move[words[0]]


@given(places(), st.booleans())
def test_decisions_name_all_moves_that_are_as_good(place: tuple[Layout, State], reasoning: bool) -> None:
    layout, state = place
    pieces = teach(layout, state, reasoning, np.random.default_rng(0))
    decided, here = [piece for piece in pieces if piece.move is not None], state
    plan = decided[:-1] if reasoning else decided
    for piece in plan:
        assert piece.optimal == layout.optimal_moves(here) and piece.move in piece.optimal
        here = layout.after(here, piece.move)
    assert all(piece.weight == DECISION for piece in decided)
    if reasoning:  # after a plan the answer is its first move
        assert decided[-1].optimal == (decided[0].move,)


@given(place=places(), reasoning=st.booleans())
def test_targets_are_uniform_over_the_optimal_moves(writer: GridWriter, place, reasoning: bool) -> None:
    layout, state = place
    batch = writer.write([place], [reasoning], np.random.default_rng(3))
    pieces = teach(layout, state, reasoning, np.random.default_rng(3))
    tokens = [(piece, token) for piece in pieces for token in writer.encode(piece.text)]
    assert len(batch.where) == len(tokens) + 1  # and the end
    for n, (piece, token) in enumerate(tokens):
        wanted = {token: 1.0}
        if piece.move is not None:
            name = (lambda m: f" {m.name}") if piece.text.strip().isalpha() else (lambda m: f" {int(m)}")
            wanted = {writer.encode(name(move))[0]: 1 / len(piece.optimal) for move in piece.optimal}
            assert token in wanted and len(writer.encode(piece.text)) == 1
        p = batch.probabilities[n]
        assert dict(zip(batch.ids[n][p > 0].tolist(), p[p > 0].tolist(), strict=True)) == pytest.approx(wanted)
        assert batch.tokens[0, batch.where[n] + 1] == token and batch.weights[n] == np.float32(piece.weight)


def test_prompts_are_those_of_the_chat_template(tokenizer, writer: GridWriter) -> None:
    for structure, reasoning in (("maze", False), ("KeyDoor", True)):
        layout = make_layout(9, 0.4 if structure == "maze" else 0.0, structure, seed=4)
        text = GridText(reasoning=reasoning)
        message = [{"role": "user", "content": text.prompt(layout, layout.initial)}]
        wanted = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert writer.prompt(text, layout, layout.initial) == wanted


def test_words_are_single_tokens_and_texts_come_back(tokenizer) -> None:
    for word in ("#", " _", " A", " 14", " LEFT", " DOWN", "At", " Goal", " Go", ".", "\n", '":', " 3", "}"):
        assert len(tokenizer.encode(word, add_special_tokens=False)) == 1, word
    layout = make_layout(15, 0.6, seed=1)
    for reasoning in (False, True):
        pieces = teach(layout, layout.initial, reasoning, np.random.default_rng(0))
        text = GridText(reasoning).prompt(layout, layout.initial) + "\n" + "".join(piece.text for piece in pieces)
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_rows_are_padded_and_end_and_positions_count_over_the_whole_batch(tokenizer, writer: GridWriter) -> None:
    small, large = make_layout(5, 0.4, seed=0), make_layout(9, 0.4, seed=0)
    drawn = [(small, small.initial), (large, large.initial), (small, small.initial)]
    batch = writer.write(drawn, [True, False, False], np.random.default_rng(0))
    width = batch.tokens.shape[1]
    assert set(batch.where // width) == {0, 1, 2} and (batch.where < batch.tokens.size).all()
    for row, (layout, state) in zip(batch.tokens, drawn, strict=True):
        said = row[row != tokenizer.pad_token_id]
        assert said[0] == tokenizer.bos_token_id and said[-1] == tokenizer.eos_token_id
        assert (row[len(said) :] == tokenizer.pad_token_id).all()
        text = tokenizer.decode(said, skip_special_tokens=True)
        assert GridText().picture(layout, state) in text
        assert GridText().parse(text) in layout.optimal_moves(state)
    alone = writer.write(drawn[:1], [True], np.random.default_rng(0))
    n = len(alone.where)
    assert np.array_equal(alone.ids, batch.ids[:n]) and np.array_equal(alone.probabilities, batch.probabilities[:n])
