"""Playing the pinpad: an oracle succeeds, log-probabilities are those of a full pass, what is over stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from workbench.models.interventions import Scope, Where
from workbench.models.sequence_model import SequenceModel
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site
from workbench.worlds.pinpad.expert import distances, expert_probabilities, solvable
from workbench.worlds.pinpad.pinpad import Pinpad, PinpadState, begin, draw_layouts, step
from workbench.worlds.pinpad.play import Played, play_pinpad

WORLD = Pinpad(size=5, colours=3, walls=2, horizon=18, subgoal=1, observation="relative")
LAST, MIDDLE, N = Site(2), Site(1), 40
TASK = torch.tensor([0, 2, 1])


@dataclass(frozen=True, eq=False)
class Put:
    """Sets the activation of each row to a vector of its own [rows, 1, d]."""

    site: Site
    vectors: Tensor
    scope: Scope = Scope.everywhere()

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        return self.vectors[where.rows[:, 0]].expand_as(activation)


@dataclass(frozen=True, eq=False)
class Nudge:
    """Adds a vector that depends on the row and the position."""

    site: Site
    table: Tensor  # [rows pos d]
    scope: Scope = Scope.everywhere()

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        return activation + self.table[where.rows, where.positions]


@pytest.fixture(scope="module")
def model() -> SequenceModel:
    return tiny_sequence_model(seed=8, world=WORLD)


def new_state() -> PinpadState:
    """Worlds in which the task can be done."""
    layouts = draw_layouts(WORLD, 4 * N, torch.Generator().manual_seed(1))
    good = solvable(WORLD, layouts, TASK.expand(4 * N, -1), distances(WORLD, layouts))
    return begin(WORLD, layouts[good][:N], TASK.expand(N, -1))


def play(model: SequenceModel, steering: object = (), **options: object) -> Played:
    return play_pinpad(model, new_state(), torch.Generator().manual_seed(2), steering, **options)


@pytest.fixture(scope="module")
def played(model: SequenceModel) -> Played:
    return play(model)


def logits_of(model: SequenceModel, found: Played, interventions: list[object] | None = None) -> Tensor:
    return model.forward(found.episodes.observations[:, :-1], logits=True, interventions=interventions or []).logits


def expert_vectors(model: SequenceModel) -> Callable[[PinpadState], list[Put]]:
    """An oracle: at the last block it writes what the action head reads as the expert's move."""
    drawn = torch.randn(4000, model.d_model, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.backend.hf_model.action_head(model.backend.hf_model.model.norm(drawn))
    best = drawn[(logits - logits.topk(2, -1).values[:, 1:]).argmax(0)]  # [moves d]: each far ahead of the next best

    def steer(state: PinpadState) -> list[Put]:
        costs = distances(WORLD, torch.cat([state.agent[:, None], state.objects], 1))
        moves = expert_probabilities(WORLD, costs, state.agent, state.target).argmax(-1)
        return [Put(LAST, best[moves][:, None])]

    return steer


# ---- what is played


def test_an_oracle_that_writes_the_expert_s_move_succeeds_everywhere_on_shortest_paths(model: SequenceModel) -> None:
    found = play(model, expert_vectors(model), temperature=0.0)
    assert found.episodes.success.all() and (found.progress == 3).all()
    state = new_state()
    costs = distances(WORLD, torch.cat([state.agent[:, None], state.objects], 1))
    legs, at, rows = torch.zeros(N, dtype=torch.long), state.agent, torch.arange(N)
    for colour in TASK.tolist():
        legs = legs + from_here(costs, at, rows, colour)
        at = state.colours[:, colour]
    assert torch.equal(found.episodes.lengths, legs)


def from_here(costs: Tensor, at: Tensor, rows: Tensor, colour: int) -> Tensor:
    """Moves from cells [rows] to a colour, one more than from the best cell beside (a colour is an obstacle itself)."""
    near = []
    for shift, fits in ((-1, at % 5 > 0), (1, at % 5 < 4), (-5, at >= 5), (5, at < 20)):
        to = (at + shift).clamp(0, 24)
        near.append(torch.where(fits, costs[rows, colour, to].long(), 10_000))
    return torch.stack(near).amin(0) + 1


def test_left_alone_it_does_not_do_the_task(played: Played) -> None:
    assert played.episodes.success.float().mean() < 0.2


def test_the_record_is_the_walk_that_the_rules_make_of_the_moves(played: Played) -> None:
    episodes, state = played.episodes, new_state()
    for t in range(episodes.moves.shape[1]):
        assert torch.equal(episodes.agents[:, t], state.agent)
        assert torch.equal(episodes.targets[:, t], state.target)
        state, _ = step(WORLD, state, episodes.moves[:, t])
    assert torch.equal(episodes.agents[:, -1], state.agent) and state.done.all()
    assert torch.equal(episodes.lengths, state.time) and torch.equal(episodes.success, state.success)
    assert torch.equal(played.progress, state.progress) and torch.equal(episodes.tasks, TASK.expand(N, -1))


def test_what_is_over_stays_as_it_is(played: Played) -> None:
    episodes = played.episodes
    assert len(set(episodes.lengths.tolist())) > 4  # they end at many times, so rows are dropped on the way
    for row, n in enumerate(episodes.lengths.tolist()):
        assert (episodes.agents[row, n:] == episodes.agents[row, n]).all()
        assert (played.logprobs[row, n:] == 0).all() and (played.logprobs[row, :n] < 0).all()


# ---- log-probabilities, temperature, seeds


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_log_probs_are_those_of_a_full_pass_at_the_temperature(model: SequenceModel, temperature: float) -> None:
    found = play(model, temperature=temperature)
    wanted = (logits_of(model, found) / temperature).log_softmax(-1).gather(-1, found.episodes.moves[..., None])[..., 0]
    mask = found.episodes.mask
    torch.testing.assert_close(found.logprobs[mask], wanted[mask], atol=1e-5, rtol=0)


def test_temperature_zero_takes_the_likeliest_move_and_says_how_likely_it_was(model: SequenceModel) -> None:
    found = play(model, temperature=0.0)
    mask, logits = found.episodes.mask, logits_of(model, found)
    assert torch.equal(logits.argmax(-1)[mask], found.episodes.moves[mask])
    torch.testing.assert_close(found.logprobs[mask], logits.log_softmax(-1).amax(-1)[mask], atol=1e-5, rtol=0)
    other = play_pinpad(model, new_state(), torch.Generator().manual_seed(77), temperature=0.0)
    assert torch.equal(other.episodes.moves, found.episodes.moves)  # and needs no luck


def test_moves_are_drawn_with_their_probabilities(model: SequenceModel) -> None:
    state = new_state()[torch.zeros(4000, dtype=torch.long)]
    found = play_pinpad(model, state, torch.Generator().manual_seed(0))
    p = model.forward(found.episodes.observations[:1, :1], logits=True).logits[0, 0].softmax(-1)
    shares = torch.bincount(found.episodes.moves[:, 0], minlength=4) / 4000
    assert (shares - p).abs().max() < 4 * 0.5 / 4000**0.5


def test_the_generator_alone_decides(model: SequenceModel, played: Played) -> None:
    assert torch.equal(play(model).episodes.moves, played.episodes.moves)
    other = play_pinpad(model, new_state(), torch.Generator().manual_seed(3))
    assert not torch.equal(other.episodes.moves[:, 0], played.episodes.moves[:, 0])


# ---- interventions


def test_every_step_is_steered_by_its_own_row_and_position_also_when_rows_are_dropped(model: SequenceModel) -> None:
    table = torch.randn(N, WORLD.horizon, model.d_model, generator=torch.Generator().manual_seed(5))
    nudge = Nudge(MIDDLE, table)
    found = play(model, [nudge])
    mask = found.episodes.mask
    wanted = logits_of(model, found, [nudge]).log_softmax(-1).gather(-1, found.episodes.moves[..., None])[..., 0]
    torch.testing.assert_close(found.logprobs[mask], wanted[mask], atol=1e-5, rtol=0)
    plain = logits_of(model, found).log_softmax(-1).gather(-1, found.episodes.moves[..., None])[..., 0]
    assert (found.logprobs - plain)[mask].abs().max() > 0.1, "a nudge that does nothing would prove nothing"


def by_step(table: Tensor) -> Callable[[PinpadState], list[Put | Nudge]]:
    """Interventions that are chosen before each step by what is next, at two sites."""
    return lambda state: [
        Nudge(MIDDLE, table[state.target][:, None].expand(-1, WORLD.horizon, -1)),
        *([Put(Site(0), table[state.target][:, None])] if int(state.time.max()) % 2 else []),
    ]


@pytest.mark.parametrize("steering", ["nothing", "a list", "by step"])
def test_without_a_cache_the_moves_are_the_same(model: SequenceModel, steering: str) -> None:
    generator = torch.Generator().manual_seed(5)
    table = torch.randn(N, WORLD.horizon, model.d_model, generator=generator)
    chosen = {"nothing": (), "a list": [Nudge(MIDDLE, table)], "by step": by_step(2 * table[:, 0])}[steering]
    cached, whole = play(model, chosen), play(model, chosen, cached=False)
    assert torch.equal(cached.episodes.moves, whole.episodes.moves)
    assert torch.equal(cached.episodes.agents, whole.episodes.agents)
    torch.testing.assert_close(cached.logprobs, whole.logprobs, atol=1e-5, rtol=0)
    assert (cached.progress > 0).any()  # what is next changed on the way
