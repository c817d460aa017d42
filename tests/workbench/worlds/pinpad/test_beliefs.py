"""The exact Bayes filter: against plain computation, and against predictors that know less."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from workbench.worlds.pinpad.beliefs import bayes_filter
from workbench.worlds.pinpad.expert import Episodes, distances, expert_episodes, expert_probabilities
from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad
from workbench.worlds.pinpad.tasks import pretraining_tasks, task_weights

CROWDED = Pinpad(size=4, colours=4, walls=3, horizon=30, subgoal=1)


def plain_filter(
    plain: ModuleType, world: Pinpad, layout: list[int], moves: list[int], tasks: list[list[int]], prior: list[float]
) -> list[tuple[list[float], list[float], list[float]]]:
    """(tasks, colours, moves) before each move: every task is played alone and weighed by its chance of the moves."""
    games = [plain.PlainPinpad(world.size, world.colours, world.horizon, layout, task) for task in tasks]
    needed = [game.steps_needed() for game in games]
    weights = [w * (steps is not None and steps <= world.horizon) for w, steps in zip(prior, needed, strict=True)]
    found = []
    for move in moves:
        total = sum(weights)
        posterior = [w / total for w in weights]
        colours, predicted = [0.0] * world.colours, [0.0] * 4
        for i, (p, game) in enumerate(zip(posterior, games, strict=True)):
            if not p:
                continue
            best = game.best_moves(game.target())
            colours[game.target()] += p
            for each in best:
                predicted[each] += p / len(best)
            weights[i] *= (move in best) / len(best)
            game.move(move)
            if game.terminated and not game.success:
                weights[i] = 0.0
        found.append((posterior, colours, predicted))
    return found


@pytest.mark.parametrize("world", [CROWDED, PINPADS["small"], PINPADS["paper"]], ids=["crowded", "small", "paper"])
@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_the_filter_equals_plain_computation(plain: ModuleType, world: Pinpad, kappa: float) -> None:
    tasks, weights = pretraining_tasks(world), task_weights(world, kappa)
    n = 40 if world is CROWDED else 6
    played = expert_episodes(world, tasks, n, torch.Generator().manual_seed(1), weights)
    beliefs = bayes_filter(played, tasks, weights)
    layouts = torch.cat([played.agents[:, :1], played.objects], 1)
    for i, length in enumerate(played.lengths.tolist()):
        moves = played.moves[i, :length].tolist()
        for t, (by_task, by_colour, by_move) in enumerate(
            plain_filter(plain, world, layouts[i].tolist(), moves, tasks.tolist(), weights.tolist())
        ):
            assert beliefs.tasks[i, t].tolist() == pytest.approx(by_task, abs=1e-6)
            assert beliefs.colours[i, t].tolist() == pytest.approx(by_colour, abs=1e-6)
            assert beliefs.moves[i, t].tolist() == pytest.approx(by_move, abs=1e-6)
            assert beliefs.nll[i, t].exp().item() == pytest.approx(1 / by_move[moves[t]], rel=1e-4)


@pytest.fixture(scope="module")
def small() -> Episodes:
    world = PINPADS["small"]
    return expert_episodes(world, pretraining_tasks(world), 1500, torch.Generator().manual_seed(2))


def test_beliefs_sum_to_one_and_the_truth_is_never_ruled_out(small: Episodes) -> None:
    tasks = pretraining_tasks(small.world)
    beliefs, mask = bayes_filter(small, tasks), small.mask
    for part in (beliefs.tasks, beliefs.colours, beliefs.moves):
        torch.testing.assert_close(part[mask].sum(-1), torch.ones(int(mask.sum())))
    true = (small.tasks[:, None] == tasks).all(2).float().argmax(1)
    rows = torch.arange(len(small))[:, None].expand_as(mask)[mask]
    assert (beliefs.tasks[mask][torch.arange(len(rows)), true[rows]] > 0).all()


def test_no_predictor_that_sees_the_past_beats_the_filter(small: Episodes) -> None:
    tasks, mask = pretraining_tasks(small.world), small.mask
    best = bayes_filter(small, tasks).nll[mask].mean()
    others = {
        f"a prior skewed by {kappa}": bayes_filter(small, tasks, task_weights(small.world, kappa)).nll
        for kappa in (-1.0, 0.5, 1.0, 2.0)
    }
    others["half of the tasks, mixed with chance"] = _mixed(small, bayes_filter(small, tasks[::2]).moves)
    others["all the tasks, mixed with chance"] = _mixed(small, bayes_filter(small, tasks).moves)
    layouts = torch.cat([small.agents[:, :1], small.objects], 1)
    agents = small.agents[:, : small.moves.shape[1]]
    toward = [
        expert_probabilities(small.world, distances(small.world, layouts), agents, torch.full_like(agents, colour))
        for colour in range(4)
    ]
    others["no memory: any colour is next"] = _mixed(small, torch.stack(toward).mean(0))
    for name, nll in others.items():
        assert nll[mask].mean() > best + 0.005, name
    certain = torch.stack(toward, 2)
    told = certain.gather(2, small.targets[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
    assert -told.gather(2, small.moves[..., None])[..., 0][mask].log().mean() < best  # who is told the task does better


def _mixed(played: Episodes, moves: torch.Tensor, share: float = 0.1) -> torch.Tensor:
    chance = (1 - share) * moves + share / 4
    return -chance.gather(2, played.moves[..., None])[..., 0].log()


def test_the_small_worlds_reference_is_that_of_the_notes(small: Episodes) -> None:
    """Notes: NLL .467, accuracy of the most probable colour .77."""
    beliefs, mask = bayes_filter(small, pretraining_tasks(small.world)), small.mask
    assert beliefs.nll[mask].mean().item() == pytest.approx(0.467, abs=0.012)
    hits = (beliefs.colours.argmax(-1) == small.targets)[mask].float().mean().item()
    assert hits == pytest.approx(0.77, abs=0.015)


def test_probabilities_are_calibrated(small: Episodes) -> None:
    """Where the filter gives a colour the chance p, it is next in the share p of cases."""
    mask = small.mask
    chances = bayes_filter(small, pretraining_tasks(small.world)).colours[mask].flatten()
    hits = torch.nn.functional.one_hot(small.targets[mask], 4).flatten().double()
    for low in (0.05, 0.23, 0.41, 0.59, 0.77):
        at = (chances >= low) & (chances < low + 0.18)
        assert at.sum() > 1000
        assert hits[at].mean().item() == pytest.approx(chances[at].mean().item(), abs=0.04)
