"""Reinforcement: it learns, resumes bit for bit, spends its whole budget, and leaves the frozen parts alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from workbench.errors import DataError, RunError, SpecError
from workbench.families.internal_rl.control.frozen import frozen, trainable_copy, weights_digest
from workbench.families.internal_rl.control.internal_rl import CodePolicy, advantages, clipped_objective
from workbench.families.internal_rl.control.learners import ActionLearner, CodeLearner, new_policy
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.families.internal_rl.control.reinforce import Reinforcement, Trial, play_trials, reinforce
from workbench.models.sequence_model import SequenceModel
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site
from workbench.worlds.pinpad.pinpad import Pinpad

pytestmark = pytest.mark.slow

WORLD = Pinpad(size=3, colours=2, walls=0, horizon=5, subgoal=1)
SITE = Site(1)
TASK = torch.tensor([0])
SMALL = Reinforcement(updates=4, batch=16, epochs=2, lr=1e-2, checkpoint_seconds=0.0)


@pytest.fixture
def base() -> SequenceModel:
    return tiny_sequence_model(world=WORLD)


@pytest.fixture
def metacontroller() -> Metacontroller:
    torch.manual_seed(0)
    return Metacontroller(MetacontrollerShape(d_model=16, history=4, summary=4, encoder=8, code=2, hyper=8, rank=4))


@pytest.fixture
def learner(base: SequenceModel, metacontroller: Metacontroller) -> CodeLearner:
    return CodeLearner(base, SITE, metacontroller, new_policy(metacontroller, width=8), TASK)


@dataclass
class Bandit:
    """One code an episode, rewarded when it lies near a place: what can be learnt must be learnt."""

    policy: CodePolicy
    base: nn.Module = field(default_factory=lambda: nn.Linear(2, 2))
    spoil: Callable[[nn.Module], None] = lambda _: None
    reward: float = 1.0

    @property
    def module(self) -> nn.Module:
        return self.policy

    @property
    def frozen(self) -> dict[str, nn.Module]:
        return {"base": self.base}

    device = torch.device("cpu")

    def play(self, episodes: int, generator: torch.Generator, greedy: bool = False) -> Trial:
        seen = torch.ones(episodes, 1, 2)
        mean, _ = self.policy(seen)
        noise = 0.0 if greedy else torch.randn(mean.shape, generator=generator)
        z = mean + self.policy.log_std.exp() * noise
        near = ((z[:, 0] - torch.tensor([1.5, -1.0])).norm(dim=-1) < 0.7).float() * self.reward
        return Trial(near, near, self.policy.log_prob(mean, z), torch.ones(episodes, 1) > 0, (seen, z))

    def log_prob(self, trial: Trial, rows: torch.Tensor, choices: int) -> torch.Tensor:
        self.spoil(self.base)
        seen, z = (each[rows] for each in trial.record)
        return self.policy.log_prob(self.policy(seen)[0], z)

    def measures(self) -> dict[str, float]:
        return {"std": float(self.policy.log_std.detach().exp().mean())}


def new_bandit(**options: object) -> Bandit:
    torch.manual_seed(3)
    return Bandit(CodePolicy(2, 2, 16), **options)


# ---- the formulas


def test_advantages_equal_the_formula_over_the_whole_batch() -> None:
    returns = np.array([0.0, 1.0, 0.0, 0.0, 3.0])
    wanted = (returns - returns.mean()) / (np.sqrt(((returns - returns.mean()) ** 2).mean()) + 1e-3)
    assert advantages(torch.tensor(returns)).numpy() == pytest.approx(wanted)
    assert advantages(torch.zeros(4)).tolist() == [0.0] * 4  # nothing to tell apart: no gradient, and no NaN


def test_the_clipped_objective_equals_a_plain_loop_over_the_choices() -> None:
    generator = torch.Generator().manual_seed(0)
    new, old, gain = (torch.randn(6, 3, generator=generator) for _ in range(3))
    mask = torch.rand(6, 3, generator=generator) < 0.6
    terms = []
    for i, t in mask.nonzero().tolist():
        ratio, a = float((new[i, t] - old[i, t]).exp()), float(gain[i, t])
        terms.append(min(ratio * a, min(max(ratio, 0.8), 1.2) * a))
    assert float(clipped_objective(new, old, gain, mask)) == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_chunks_of_a_batch_add_up_to_the_gradient_of_the_whole(tmp_path: Path) -> None:
    whole, parts = new_bandit(), new_bandit()
    one = Reinforcement(updates=1, batch=50, epochs=1, max_norm=1e9)
    reinforce(whole, one, tmp_path / "whole")
    reinforce(parts, replace(one, chunk=7), tmp_path / "parts")
    for a, b in zip(whole.policy.parameters(), parts.policy.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


# ---- learning


def test_a_policy_over_codes_learns_a_bandit(tmp_path: Path) -> None:
    bandit = new_bandit()
    curve = reinforce(bandit, Reinforcement(updates=40, batch=256, epochs=4, lr=1e-2), tmp_path)
    assert curve[0]["success"] < 0.15 and curve[-1]["success"] > 0.9
    assert curve[-1]["std"] < curve[0]["std"] == 1.0
    assert [row["episodes"] for row in curve] == [256.0 * (u + 1) for u in range(40)]
    assert play_trials(bandit, 10, greedy=True)[0].success.all()


def test_raw_actions_learn_a_task_of_one_colour(base: SequenceModel, tmp_path: Path) -> None:
    copy = trainable_copy(base, "raw")
    curve = reinforce(ActionLearner(copy, TASK), Reinforcement(updates=30, batch=128, lr=3e-3), tmp_path)
    assert np.mean([row["success"] for row in curve[-5:]]) > curve[0]["success"] + 0.15
    assert base.fingerprint == tiny_sequence_model(world=WORLD).fingerprint


def test_random_codes_play_the_same_budget_and_learn_nothing(learner: CodeLearner, tmp_path: Path) -> None:
    curve = reinforce(replace(learner, policy=None), SMALL, tmp_path)
    assert [row["episodes"] for row in curve] == [16, 32, 48, 64]
    assert {row["std"] for row in curve} == {1.0}


def test_forced_switching_decides_at_every_step(learner: CodeLearner) -> None:
    trial = play_trials(replace(learner, always=True), 20)[0]
    free = play_trials(learner, 20)[0]
    lengths = trial.mask.sum(1)
    assert (trial.record.time[trial.mask] == (trial.mask.cumsum(1) - 1)[trial.mask]).all()
    assert int(lengths.max()) == WORLD.horizon and free.mask.sum() < trial.mask.sum()


# ---- frozen parts


def test_a_gradient_that_leaks_into_the_base_is_caught(tmp_path: Path) -> None:
    def leak(base: nn.Module) -> None:
        base.requires_grad_(True)
        base(torch.ones(1, 2)).sum().backward()

    with pytest.raises(RunError, match=r"gradient reached a frozen part: base\.weight"):
        reinforce(new_bandit(spoil=leak), SMALL, tmp_path)


def test_a_base_that_changes_by_one_bit_is_caught(tmp_path: Path) -> None:
    def nudge(base: nn.Module) -> None:
        base.weight.data[0, 0] = torch.nextafter(base.weight.data[0, 0], torch.tensor(9.0))

    with pytest.raises(RunError, match="the weights of base"):
        reinforce(new_bandit(spoil=nudge), SMALL, tmp_path)


def test_what_learns_may_not_be_a_part_of_what_is_frozen(base: SequenceModel, tmp_path: Path) -> None:
    class Owned(ActionLearner):
        frozen = property(lambda self: {"base": self.module})

    with pytest.raises(RunError, match="'base' shares weights"):
        reinforce(Owned(base, TASK), SMALL, tmp_path)


def test_internal_rl_changes_the_policy_and_neither_base_nor_metacontroller(
    learner: CodeLearner, tmp_path: Path
) -> None:
    before = {name: weights_digest(part) for name, part in learner.frozen.items()}
    policy = weights_digest(learner.policy)
    reinforce(learner, SMALL, tmp_path)
    assert {name: weights_digest(part) for name, part in learner.frozen.items()} == before
    assert weights_digest(learner.policy) != policy
    assert all(p.grad is None for part in learner.frozen.values() for p in part.parameters())
    assert all(p.requires_grad for p in learner.metacontroller.parameters())  # as it was before


def test_frozen_gives_the_first_error_and_thaws() -> None:
    part = nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), frozen({"part": part}):
        part.weight.data += 1
        raise ZeroDivisionError
    assert part.weight.requires_grad


# ---- resuming, budget, errors


@pytest.mark.parametrize("method", ["codes", "forced", "raw", "random"])
def test_a_killed_reinforcement_goes_on_to_the_same_weights_bit_for_bit(
    base: SequenceModel, metacontroller: Metacontroller, tmp_path: Path, method: str
) -> None:
    def new() -> CodeLearner | ActionLearner:
        if method == "raw":
            return ActionLearner(trainable_copy(base, "raw"), TASK)
        policy = None if method == "random" else new_policy(metacontroller, width=8)
        return CodeLearner(base, SITE, metacontroller, policy, TASK, always=method == "forced")

    def die(row: dict[str, float]) -> None:
        if row["update"] == 2:
            raise KeyboardInterrupt

    whole, again, killed = new(), new(), new()
    curve = reinforce(whole, SMALL, tmp_path / "whole", seed=7)
    with pytest.raises(KeyboardInterrupt):
        reinforce(killed, SMALL, tmp_path / "killed", seed=7, report=die)
    updates: list[float] = []
    resumed = reinforce(again, SMALL, tmp_path / "killed", seed=7, report=lambda row: updates.append(row["update"]))
    assert updates == [2, 3]  # the update that was not saved is made again
    assert resumed == curve
    if whole.module is not None and again.module is not None:
        assert weights_digest(whole.module) == weights_digest(again.module)


def test_a_finished_reinforcement_gives_its_curve_without_playing(learner: CodeLearner, tmp_path: Path) -> None:
    curve = reinforce(learner, SMALL, tmp_path)
    fresh = replace(learner, policy=new_policy(learner.metacontroller, seed=5, width=8))
    assert reinforce(fresh, SMALL, tmp_path, report=pytest.fail) == curve
    assert weights_digest(fresh.policy) == weights_digest(learner.policy)


def test_batches_depend_on_seed_and_update_only(learner: CodeLearner, tmp_path: Path) -> None:
    still = replace(SMALL, lr=0.0)
    a = reinforce(learner, still, tmp_path / "a", seed=1)
    b = reinforce(learner, replace(still, epochs=1), tmp_path / "b", seed=1)
    c = reinforce(learner, still, tmp_path / "c", seed=2)
    assert a == b != c
    assert len({(row["progress"], row["decisions"]) for row in a}) > 1


def test_a_checkpoint_of_another_metacontroller_or_seed_is_refused(learner: CodeLearner, tmp_path: Path) -> None:
    reinforce(learner, SMALL, tmp_path, seed=1)
    with pytest.raises(RunError, match="another"):
        reinforce(learner, SMALL, tmp_path, seed=2)
    with torch.no_grad():
        learner.metacontroller.hyper.up[0, 0, 0] += 1
    with pytest.raises(RunError, match="another"):
        reinforce(learner, SMALL, tmp_path, seed=1)


def test_the_whole_budget_is_spent_also_when_nothing_is_rewarded(tmp_path: Path) -> None:
    bandit = new_bandit(reward=0.0)
    before = weights_digest(bandit.policy)
    curve = reinforce(bandit, SMALL, tmp_path)
    assert len(curve) == SMALL.updates and {row["success"] for row in curve} == {0.0}
    assert weights_digest(bandit.policy) == before  # no reward, no direction


def test_divergence_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="diverged"):
        reinforce(new_bandit(reward=float("nan")), SMALL, tmp_path)


def test_evaluation_meets_every_method_with_the_same_worlds(base: SequenceModel, learner: CodeLearner) -> None:
    codes = play_trials(learner, 10, seed=4, batch=6)
    raw = play_trials(ActionLearner(base, TASK), 10, seed=4, batch=6)
    assert [len(trial.returns) for trial in codes] == [6, 4]
    for ours, theirs in zip(codes, raw, strict=True):
        assert torch.equal(ours.episodes.agents[:, 0], theirs.episodes.agents[:, 0])
        assert torch.equal(ours.episodes.objects, theirs.episodes.objects)
    assert not torch.equal(raw[0].episodes.objects[:4], raw[1].episodes.objects)


def test_a_metacontroller_of_another_width_is_refused(base: SequenceModel) -> None:
    wide = Metacontroller(MetacontrollerShape(d_model=8))
    with pytest.raises(SpecError, match="width 8"):
        CodeLearner(base, SITE, wide, None, TASK)
