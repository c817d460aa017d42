"""The grid agent: prompts, retries, exact probabilities, and decisions that do not depend on their batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from steering import Add
from workbench.errors import DataError, SpecError
from workbench.models.interventions import Scope, Window
from workbench.worlds.grids.agents.agent import GridAgent, draw_moves
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.text import GridText
from workbench.worlds.moves import Move

BAD, GOOD = "hmm", 'At 1 1. Go UP.\n{"action": 2}'


@pytest.fixture(scope="module")
def places(grids):
    return [(layout, State(cell)) for layout in grids for cell in layout.open_cells()[:4] if cell != layout.goal]


@pytest.fixture(scope="module")
def exact(grid_model) -> GridAgent:
    return GridAgent(grid_model, exact=True)


def _answer_logits(model, prompt: list[int]) -> np.ndarray:
    """Hugging Face's logits of the four digits after the beginning of the answer."""
    tokens = prompt + model.tokenizer('{"action":', add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model.backend.hf_model(torch.tensor([tokens])).logits[0, -1]
    return logits[model.tokenizer.convert_tokens_to_ids([f" {k}" for k in range(4)])].double().numpy()


def _nucleus(logits: np.ndarray, temperature: float, top_p: float) -> np.ndarray:
    p = np.exp(logits / temperature - (logits / temperature).max())
    p /= p.sum()
    kept, mass = np.zeros(4), 0.0
    for k in np.argsort(-p):
        if mass >= top_p:
            break
        kept[k], mass = p[k], mass + p[k]
    return kept / kept.sum()


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.95), (0.3, 0.6), (2.0, 0.5)])
def test_exact_probabilities_are_the_softmax_of_hugging_face_logits(exact, places, temperature, top_p) -> None:
    agent = replace(exact, temperature=temperature, top_p=top_p)
    table = agent.probabilities(places)
    for place, p in zip(places, table, strict=True):
        logits = _answer_logits(agent.model, agent.prompt(*place))
        np.testing.assert_allclose(p, _nucleus(logits, temperature, top_p), atol=2e-5)
    assert np.ptp(table, axis=0).max() > 0.05  # the places differ, or this tests little


def test_the_mass_outside_the_answers_is_what_hugging_face_gives_to_no_digit(exact, places) -> None:
    model = exact.model
    tokens = exact.prompt(*places[0]) + model.tokenizer('{"action":', add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        p = model.backend.hf_model(torch.tensor([tokens])).logits[0, -1].double().softmax(-1)
    digits = model.tokenizer.convert_tokens_to_ids([f" {k}" for k in range(4)])
    _, outside = replace(exact, temperature=0.3, top_p=0.6).weighed(places)  # of the model as it is
    assert outside[0] == pytest.approx(1 - float(p[digits].sum()), abs=2e-5) and 0.5 < outside.min() < 1
    assert exact.decide(places[:1], [0])[0].outside_mass == pytest.approx(outside[0], abs=1e-5)


def test_an_answer_is_forced_behind_a_reasoning_and_scored_there(grid_model, places) -> None:
    agent = GridAgent(grid_model, GridText(reasoning=True), exact=True, max_new_tokens=6, temperature=1.0, top_p=1.0)
    for place, decision in zip(places, agent.decide(places[:3], [1, 2, 3]), strict=False):
        thought = decision.completion.removesuffix("\n" + agent.text.answer(decision.move))
        assert thought != decision.completion and agent.text.find(thought) is None
        said = grid_model.encode_continuation(thought + '\n{"action":', after=agent.prompt(*place))
        with torch.no_grad():
            logits = grid_model.backend.hf_model(torch.tensor([agent.prompt(*place) + said])).logits[0, -1].double()
        digits = grid_model.tokenizer.convert_tokens_to_ids([f" {k}" for k in range(4)])
        np.testing.assert_allclose(decision.probabilities, logits[digits].softmax(-1), atol=2e-5)
        assert decision.outside_mass == pytest.approx(1 - float(logits.softmax(-1)[digits].sum()), abs=2e-5)


def test_what_follows_an_answer_is_cut_and_not_drawn(scripted, places) -> None:
    model = scripted(lambda prompt, seed: GOOD + " Now the grid is")
    model.encode_continuation = lambda text, after: [len(text)]
    decision = GridAgent(model, GridText(reasoning=True)).decide([places[0]], [1])[0]
    assert decision.completion == GOOD and decision.tokens == [len(GOOD)]
    assert model.calls[0][2]["stop"] == ['{"action": 0}', '{"action": 1}', '{"action": 2}', '{"action": 3}']


def test_temperature_zero_takes_the_likeliest_move(exact, places) -> None:
    table = replace(exact, temperature=0).probabilities(places)
    best = [_answer_logits(exact.model, exact.prompt(*place)).argmax() for place in places]
    assert table.argmax(1).tolist() == best and set(np.unique(table)) == {0.0, 1.0}


def test_equal_places_get_equal_probabilities_in_the_order_asked(exact, places) -> None:
    order = [0, 3, 0, 5, 3]
    table = exact.probabilities([places[i] for i in order])
    np.testing.assert_allclose(table, exact.probabilities(places)[order], atol=1e-5)
    assert exact.probabilities([]).shape == (0, 4)


def test_more_places_than_are_scored_at_once_keep_their_order(exact, places, monkeypatch) -> None:
    whole = exact.probabilities(places)
    monkeypatch.setattr("workbench.worlds.grids.agents.agent._ROWS", 5)
    np.testing.assert_allclose(exact.probabilities(places), whole, atol=1e-5)


@pytest.mark.parametrize("mode", ["exact", "direct", "reasoning"])
def test_a_decision_does_not_depend_on_its_batch(grid_model, places, mode) -> None:
    agent = GridAgent(grid_model, GridText(mode == "reasoning"), exact=mode == "exact", max_new_tokens=8)
    seeds = [100 + i for i in range(len(places))]
    together = agent.decide(places, seeds)
    for i in (0, 7, len(places) - 1):
        alone = agent.decide([places[i]], [seeds[i]])[0]
        assert (alone.move, alone.completion, alone.attempts) == (
            together[i].move,
            together[i].completion,
            together[i].attempts,
        )
        assert alone.prompt == together[i].prompt and alone.tokens == together[i].tokens


def test_drawn_moves_follow_the_probabilities(exact, places) -> None:
    decisions = exact.decide([places[0]] * 4000, list(range(4000)))
    p = decisions[0].probabilities
    shares = np.bincount([d.move for d in decisions], minlength=4) / 4000
    np.testing.assert_allclose(shares, p, atol=0.03)
    assert all(d.completion == exact.text.answer(d.move) for d in decisions[:20])


def test_impossible_moves_are_never_drawn() -> None:
    table = np.tile([[0.0, 0.3, 0.0, 0.7], [0.5, 0.5, 0.0, 0.0]], (2000, 1))
    moves = draw_moves(table, range(len(table)))
    assert (table[np.arange(len(table)), moves] > 0).all() and set(moves[::2]) == {1, 3} and set(moves[1::2]) == {0, 1}


def test_unreadable_answers_are_asked_again_with_fresh_seeds_and_then_given_up(scripted, places) -> None:
    model = scripted(lambda prompt, seed: BAD)
    decision = GridAgent(model, attempts=3).decide([places[0]], [5])[0]
    seeds = [call[1][0] for call in model.calls]
    assert decision.move is None and decision.attempts == 3 and decision.completion == BAD
    assert len(set(seeds)) == 3


def test_only_places_without_an_answer_are_asked_again(scripted, places) -> None:
    layout, state = places[0]
    unlucky = GridText(reasoning=True).prompt(*places[1])
    model = scripted(lambda prompt, seed: BAD if unlucky in prompt and len(model.calls) < 2 else GOOD)
    decisions = GridAgent(model, GridText(reasoning=True)).decide([(layout, state), places[1]], [1, 2])
    assert [call[0] for call in model.calls] == [[1, 1], [0, 1]]
    assert [d.move for d in decisions] == [Move.UP, Move.UP] and [d.attempts for d in decisions] == [1, 2]


def test_the_message_goes_through_the_chat_template(exact, places) -> None:
    decoded = exact.model.decode(exact.prompt(*places[0]))
    assert decoded == exact.text.prompt(*places[0]) + "\n"


@pytest.mark.parametrize("mode", ["exact", "direct"])
def test_interventions_reach_the_model(grid_model, places, mode) -> None:
    agent = GridAgent(grid_model, exact=mode == "exact", max_new_tokens=6, temperature=0.0 if mode == "direct" else 0.7)
    vector = torch.randn(grid_model.d_model, generator=torch.Generator().manual_seed(0))
    pushed, still = (Add(vector, m, site=2) for m in (20.0, 0.0))
    plain = agent.decide(places[:6], range(6))
    same = agent.decide(places[:6], range(6), [still])
    other = agent.decide(places[:6], range(6), [pushed])
    assert [d.completion for d in same] == [d.completion for d in plain]
    if mode == "direct":
        assert [d.completion for d in other] != [d.completion for d in plain]
    else:
        assert np.abs(other[0].probabilities - plain[0].probabilities).max() > 0.05


def test_row_i_of_a_per_row_intervention_acts_at_place_i(exact, places) -> None:
    vectors = torch.randn(2, exact.model.d_model, generator=torch.Generator().manual_seed(1)) * 20
    both = exact.probabilities([places[0], places[0]], [Add(vectors, site=1)])
    each = [exact.probabilities([places[0]], [Add(vector, site=1)])[0] for vector in vectors]
    np.testing.assert_allclose(both, each, atol=1e-5)
    assert np.abs(both[0] - both[1]).max() > 0.01


def test_exact_probabilities_are_steered_where_sampling_is(exact, places) -> None:
    """The prompt ends where it ends when sampling: a push on its last token is a push on the message's last token."""
    vector = torch.randn(exact.model.d_model, generator=torch.Generator().manual_seed(2)) * 20
    prompt = exact.prompt(*places[0])
    answer = exact.model.tokenizer('{"action":', add_special_tokens=False)["input_ids"]
    at = len(prompt) - 1
    message_end = Add(vector, site=1, scope=Scope(prompt=Window(-1, None), generation=None))
    exactly_there = Add(vector, site=1, scope=Scope(prompt=Window(at, at + 1), generation=None))
    logits = exact.model.forward([prompt + answer], interventions=[exactly_there], logits=True).logits[0, -1]
    ids = exact.model.tokenizer.convert_tokens_to_ids([f" {k}" for k in range(4)])
    expected = _nucleus(logits[ids].double().numpy(), exact.temperature, exact.top_p)
    np.testing.assert_allclose(exact.probabilities([places[0]], [message_end])[0], expected, atol=1e-5)


def test_mistakes_are_named(grid_model, exact, places) -> None:
    with pytest.raises(SpecError, match="reasoning=False"):
        GridAgent(grid_model, GridText(reasoning=True)).probabilities(places[:1])
    with pytest.raises(SpecError, match="attempts=0"):
        GridAgent(grid_model, attempts=0)
    with pytest.raises(DataError, match="1 seeds for 2 places"):
        exact.decide(places[:2], [0])
    assert exact.decide([], []) == []
