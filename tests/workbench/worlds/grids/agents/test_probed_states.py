"""Probed states: where a reasoning ends, what is read there, and the labels of what is read."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.sites import Site
from workbench.worlds.grids.agents import probed_states as states
from workbench.worlds.grids.agents.probed_states import ProbedStates, plans_of, play_states, read_states
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.maze_sets import MazeSpec, probe_layouts
from workbench.worlds.grids.text import GridText
from workbench.worlds.grids.training.transcripts import grid_tokenizer
from workbench.worlds.moves import Move

ANSWERS = [
    '{"action": 2}',
    '```json\n{"action": "UP"}\n```',
    "{'action': 3} ok",
    '{"why": "near", "action": 0}',
    '{"action": 1} {so}',
]
SPEC = MazeSpec(sizes=(7, 9), densities=(0.4, 1.0), probe_layouts=8, max_new_tokens=48, plan_steps=6, wording="short")
REASONS = ["At 3 2. Go UP.\n", "a set {1, 2} of cells\n", 'first {"action": 9} then', "naïve → 🙂\n", "Go.", ""]


@pytest.fixture(scope="module")
def probed(tiny_grid, teaching) -> ProbedStates:
    return ProbedStates(SPEC, play_states(tiny_grid, SPEC))


def merging_tokenizer():
    """Byte-level BPE whose merges join the end of a reasoning and the brace of the answer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([f'Go UP.\n{{"action": {k}}}' for k in range(4)] * 20, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def readers() -> dict[str, SimpleNamespace]:
    """What decodes and encodes: words, single characters, byte-level pieces with merges over the boundary."""
    words, merges = grid_tokenizer(), merging_tokenizer()
    assert any("{" in piece and not piece.startswith("{") for piece in merges.encode('Go UP.\n{"action": 1}').tokens)
    return {
        "words": SimpleNamespace(
            encode=lambda text: words(text, add_special_tokens=False)["input_ids"], decode=words.decode
        ),
        "characters": SimpleNamespace(
            encode=lambda text: [ord(c) for c in text], decode=lambda tokens: "".join(map(chr, tokens))
        ),
        "merges": SimpleNamespace(encode=lambda text: merges.encode(text).ids, decode=merges.decode),
    }


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (name, reason)
        for name in ("words", "characters", "merges")
        for reason in REASONS
        if name != "words" or reason.isascii()  # the grid tokenizer knows ASCII only
    ],
)
def test_reasoning_is_all_tokens_before_the_one_that_opens_the_answer(readers, name, reason, answer) -> None:
    model = readers[name]
    tokens = model.encode(reason + answer)
    found = states.reasoning_tokens(model, tokens)
    assert found == tokens[: len(found)]
    start = len(reason) + answer.index("{")
    assert len(model.decode(found)) <= start < len(model.decode(tokens[: len(found) + 1]))


@pytest.mark.parametrize("said", ["I go up.", 'Go {"action": 7}', 'Go {"action": 1', ""])
def test_without_a_readable_answer_there_is_no_reasoning(readers, said: str) -> None:
    for model in readers.values():
        assert states.reasoning_tokens(model, model.encode(said)) == []


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), min_size=1, max_size=4), st.integers(1, 6))
def test_plans_are_the_next_moves_of_the_same_episode(episodes: list[list[int]], horizon: int) -> None:
    rows = [(i % 2, i // 2, move) for i, moves in enumerate(episodes) for move in moves]
    table = pd.DataFrame(rows, columns=["layout", "rollout", "move"])
    plans = plans_of(MazeSpec(plan_steps=horizon), table)
    wanted = [(moves[k:] + [4] * horizon)[:horizon] for moves in episodes for k in range(len(moves))]
    assert plans.tolist() == wanted


def test_moves_whose_reasoning_is_too_short_stay_in_the_plans_before_them(tiny_grid, teaching, monkeypatch) -> None:
    genuine, short = states.reasoning_tokens, []

    def every_third_is_short(model, tokens, text):
        short.append(len(short) % 3 == 2)
        return genuine(model, tokens, text)[: 2 if short[-1] else None]

    whole = play_states(tiny_grid, SPEC)
    monkeypatch.setattr(states, "reasoning_tokens", every_third_is_short)
    part = play_states(tiny_grid, SPEC)
    keys = ["layout", "rollout", "step"]
    both = whole.merge(part, on=keys, suffixes=("", "_part"))
    assert 0.5 < len(both) / len(whole) < 0.8 and len(both) == len(part)
    assert [list(a) for a in both["plan"]] == [list(b) for b in both["plan_part"]]


def test_states_are_those_of_a_readable_move_and_reasoning(probed, tiny_grid) -> None:
    steps, text = probed.steps, GridText(reasoning=True)
    assert steps["valid"].all() and (steps["move"] >= 0).all()
    layouts = probe_layouts(SPEC).layouts
    assert all(layout.held_out for layout in layouts)
    for row in steps.itertuples():
        reasoning = tiny_grid.decode(row.reasoning)
        assert row.completion.startswith(reasoning) and text.parse(reasoning) is None
        assert text.parse(row.completion) == row.move and len(row.reasoning) >= SPEC.tokens
        assert layouts[row.layout].size == row.size and row.plan[0] == row.move
    episodes = steps.groupby(["layout", "rollout"])
    for _, part in episodes:  # the next row is where the move led, unless an unreadable step lay between: then too
        for one, two in zip(part.iloc[:-1].itertuples(), part.iloc[1:].itertuples(), strict=True):
            after = layouts[one.layout].after(State((one.row, one.column)), Move(one.move))
            assert after.cell == (two.row, two.column)


def _read(model, found: ProbedStates, sites):
    return {(p, site): z for p in states.POSITIONS for site, z in read_states(model, found, p, sites)}


def test_activations_are_those_of_the_last_tokens_before_and_after_the_reasoning(
    probed, tiny_grid, monkeypatch
) -> None:
    steps = probed.steps.iloc[[0, 3, 5, len(probed.steps) - 1]].reset_index(drop=True)
    sites = [Site(0), Site(1)]
    found = _read(tiny_grid, ProbedStates(SPEC, steps), sites)
    monkeypatch.setattr(states, "_AT_ONCE", 1)  # a pass a site
    apart = _read(tiny_grid, ProbedStates(SPEC, steps), sites)
    assert list(found) == list(apart) and all(torch.equal(found[key], apart[key]) for key in found)
    agent, layouts = states.agent_of(tiny_grid, SPEC, "reasoning"), probe_layouts(SPEC).layouts
    for i, row in enumerate(steps.itertuples()):
        prompt = agent.prompt(layouts[row.layout], State((row.row, row.column)))
        text = prompt + tiny_grid.encode_continuation(row.completion)
        assert tiny_grid.decode(text).endswith(row.completion)
        z = tiny_grid.forward([text], sites).activations
        ends = {"pre": len(prompt), "post": len(prompt) + len(row.reasoning)}
        for (position, site), rows in found.items():
            wanted = z[site][0, ends[position] - 3 : ends[position]].flatten()
            torch.testing.assert_close(rows[i], wanted, rtol=1e-4, atol=1e-4)
