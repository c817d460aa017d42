"""Internal RL's rollouts: decisions laid out by episode, scored again to the same numbers, cached equal to uncached."""

from __future__ import annotations

import pytest
import torch

from steering.stateful import Carried
from workbench.families.internal_rl.control.internal_rl import CodedControl
from workbench.families.internal_rl.control.learners import CodeLearner, new_policy
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.families.internal_rl.control.reinforce import Trial, play_trials
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site
from workbench.worlds.pinpad.pinpad import Pinpad, begin, draw_layouts
from workbench.worlds.pinpad.play import Played, play_pinpad

pytestmark = pytest.mark.slow

WORLD = Pinpad(size=5, colours=3, walls=2, horizon=14, subgoal=1)
SITE, TASK, N = Site(1), torch.tensor([0, 2]), 40
SHAPE = MetacontrollerShape(d_model=16, history=4, summary=4, encoder=8, code=3, hyper=8, rank=4, switch=8)


@pytest.fixture
def learner() -> CodeLearner:
    torch.manual_seed(1)
    metacontroller = Metacontroller(SHAPE)
    with torch.no_grad():
        metacontroller.hyper.up.mul_(20)  # a control that can be seen
        metacontroller.switch_out.weight.mul_(50)
        x, past, z = (torch.randn(500, size) for size in (16, SHAPE.history, SHAPE.code))
        metacontroller.switch_out.bias.zero_()
        logits = metacontroller.switch(metacontroller.seen(x), past.tanh(), z).logit(eps=1e-6)
        metacontroller.switch_out.bias.sub_(logits.median())  # a switch that opens about every other time
    policy = new_policy(metacontroller, seed=2, width=12)
    with torch.no_grad():
        policy.mean.weight.normal_(generator=torch.Generator().manual_seed(0))
        policy.log_std.copy_(torch.tensor([-0.5, 0.0, 0.3]))
    return CodeLearner(tiny_sequence_model(world=WORLD), SITE, metacontroller, policy, TASK)


@pytest.fixture
def trial(learner: CodeLearner) -> Trial:
    return play_trials(learner, N, seed=3)[0]


def test_log_probs_of_whole_sequences_equal_those_of_the_rollout(learner: CodeLearner, trial: Trial) -> None:
    assert trial.mask.sum(1).max() > 2, "the recurrence must matter"
    again = learner.log_prob(trial, torch.arange(N), trial.mask.shape[1])
    torch.testing.assert_close(again[trial.mask], trial.log_prob[trial.mask], rtol=0, atol=1e-5)
    some = learner.log_prob(trial, torch.tensor([8, 5]), 2)
    torch.testing.assert_close(some, again[[8, 5], :2])


def test_log_probs_equal_the_gaussian_formula(learner: CodeLearner, trial: Trial) -> None:
    made, policy = trial.record, learner.policy
    mean, _ = policy(made.seen)
    std = policy.log_std.exp()
    wanted = -0.5 * ((made.z - mean) / std) ** 2 - std.log() - 0.5 * torch.log(torch.tensor(2 * torch.pi))
    torch.testing.assert_close(trial.log_prob[trial.mask], wanted.sum(-1)[trial.mask], atol=1e-5, rtol=0)


def test_decisions_lie_in_order_at_the_start_of_their_rows_and_before_the_end(trial: Trial) -> None:
    made, lengths = trial.record, trial.episodes.lengths
    for row in range(N):
        n = int(made.mask[row].sum())
        times = made.time[row, :n].tolist()
        assert not made.mask[row, n:].any() and times[0] == 0
        assert times == sorted(set(times)) and times[-1] < lengths[row]
    assert len(set(lengths.tolist())) > 3 and len(set(made.mask.sum(1).tolist())) > 2


def test_without_lengths_decisions_after_an_episode_s_end_are_there_too(learner: CodeLearner) -> None:
    control, played = _play(learner, always=True)
    everything, within = control.decisions(N), control.decisions(N, played.episodes.lengths)
    assert everything.mask.sum() > within.mask.sum() == played.episodes.lengths.sum()


@pytest.mark.parametrize("always", [False, True])
def test_a_cached_rollout_under_control_equals_a_full_pass_with_its_codes(learner: CodeLearner, always: bool) -> None:
    control, played = _play(learner, always=always)
    episodes, mask = played.episodes, played.episodes.mask
    made = control.decisions(N, episodes.lengths)
    steps = episodes.moves.shape[1]
    held, kept = made.held(steps), []

    def hook(e: torch.Tensor) -> torch.Tensor:
        kept.append((e, learner.metacontroller.hyper(e, held)))
        return kept[0][1]

    logits = learner.model.backend.forward(episodes.observations[:, :-1], hooks={SITE: hook})
    again = logits.log_softmax(-1).gather(-1, episodes.moves[..., None])[..., 0]
    torch.testing.assert_close(again[mask], played.logprobs[mask], atol=1e-5, rtol=0)
    # what the policy saw at its decisions are the activations of the full pass
    seen = learner.metacontroller.seen(kept[0][0])
    rows, at = made.mask.nonzero(as_tuple=True)
    torch.testing.assert_close(made.seen[rows, at], seen[rows, made.time[rows, at]], atol=1e-5, rtol=0)
    assert (kept[0][0] - kept[0][1]).abs().max() > 0.1, "a control that does nothing would prove nothing"


def test_the_switches_of_a_rollout_are_those_of_the_whole_sequence(learner: CodeLearner) -> None:
    control, played = _play(learner)
    episodes, m = played.episodes, learner.metacontroller
    made = control.decisions(N, episodes.lengths)
    steps = episodes.moves.shape[1]
    kept: list[torch.Tensor] = []
    learner.model.backend.forward(episodes.observations[:, :-1], hooks={SITE: lambda e: kept.append(m.seen(e)) or e})
    past = torch.nn.functional.pad(m.history(kept[0])[0], (0, 0, 1, -1))
    before = torch.nn.functional.pad(made.held(steps), (0, 0, 1, -1))
    p = m.switch(kept[0].flatten(0, 1), past.flatten(0, 1), before.flatten(0, 1)).view(N, steps)
    wanted = p > 0.5
    wanted[:, 0] = True
    clear = episodes.mask & ((p - 0.5).abs() > 1e-4)
    assert torch.equal((wanted & clear), made.switches(steps) & clear)
    assert 0.05 < wanted[clear].float().mean() < 0.95


def test_a_rollout_without_a_cache_draws_the_same_codes_and_makes_the_same_moves(learner: CodeLearner) -> None:
    (control, cached), (other, whole) = _play(learner), _play(learner, cached=False)
    assert torch.equal(cached.episodes.moves, whole.episodes.moves)
    lengths = cached.episodes.lengths
    made, again = control.decisions(N, lengths), other.decisions(N, lengths)
    assert torch.equal(made.time, again.time) and torch.equal(made.mask, again.mask)
    torch.testing.assert_close(made.z, again.z, atol=1e-4, rtol=0)


def test_mean_codes_are_the_policy_s_means_and_need_no_luck(learner: CodeLearner) -> None:
    made = play_trials(learner, N, seed=3, greedy=True)[0].record
    mean, _ = learner.policy(made.seen)
    torch.testing.assert_close(made.z[made.mask], mean[made.mask], atol=1e-5, rtol=0)


def test_held_codes_change_at_switches_only(trial: Trial) -> None:
    steps = trial.episodes.moves.shape[1]
    held, switches = trial.record.held(steps), trial.record.switches(steps)
    changed = (held[:, 1:] != held[:, :-1]).any(-1)
    assert torch.equal(changed, switches[:, 1:])
    assert torch.equal(held[switches], trial.record.z[trial.mask])


def test_a_new_policy_is_seeded_and_starts_near_the_prior(learner: CodeLearner) -> None:
    before = torch.random.get_rng_state()
    a, b, c = (new_policy(learner.metacontroller, seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y)
    assert not torch.equal(a.recurrent.weight_ih_l0, c.recurrent.weight_ih_l0)
    mean, _ = a(torch.randn(4, 3, 16))
    assert mean.abs().max() == 0 and a.log_std.abs().max() == 0


def _play(learner: CodeLearner, always: bool = False, cached: bool = True) -> tuple[CodedControl, Played]:
    """Episodes of a learner and the control that was in force."""
    generator = torch.Generator().manual_seed(9)
    control = CodedControl(SITE, learner.metacontroller, learner.policy, generator, always)
    state = begin(WORLD, draw_layouts(WORLD, N, generator), TASK.expand(N, -1))
    with torch.no_grad():
        return control, play_pinpad(learner.model, state, generator, [Carried(control, N)], cached=cached)
