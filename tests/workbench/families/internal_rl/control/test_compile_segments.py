"""CompILE: masks that are a partition, the formulas of its loss, and cuts where the behaviour changes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.families.internal_rl.control.compile_segments import (
    SegmentCourse,
    SegmentModel,
    _end_kl,
    _loss,
    discover_segments,
    segment_masks,
    segmented_pass,
)
from workbench.families.internal_rl.control.frozen import weights_digest
from workbench.families.internal_rl.control.learners import CodeLearner
from workbench.families.internal_rl.control.metacontroller import MetacontrollerShape
from workbench.families.internal_rl.control.reinforce import play_trials
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site
from workbench.training.loop import Schedule
from workbench.worlds.pinpad.expert import Episodes, expert_episodes
from workbench.worlds.pinpad.pinpad import Pinpad
from workbench.worlds.pinpad.tasks import pretraining_tasks

pytestmark = pytest.mark.slow

WORLD = Pinpad(size=5, colours=4, walls=0, horizon=20, subgoal=1)
SHAPE = MetacontrollerShape(d_model=16, history=4, summary=4, encoder=12, code=3, hyper=8, rank=4, switch=8)
SITE = Site(1)


def episodes_of(seed: int, n: int = 16) -> Episodes:
    return expert_episodes(WORLD, pretraining_tasks(WORLD), n, torch.Generator().manual_seed(seed))


@pytest.fixture
def segments() -> SegmentModel:
    torch.manual_seed(0)
    return SegmentModel(SHAPE)


# ---- masks


@given(st.lists(st.integers(1, 11), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_masks_of_hard_ends_are_the_segments_between_them(at: list[int]) -> None:
    ends = torch.nn.functional.one_hot(torch.tensor(at), 12).float()[None]
    masks = segment_masks(ends)[0]
    for t in range(12):
        segment = 0  # a segment is over once its end has come; what ends before it begins is empty
        while segment < len(at) and t >= at[segment]:
            segment += 1
        assert masks[:, t].tolist() == [float(i == segment) for i in range(len(at) + 1)]


@given(st.integers(0, 1000), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_soft_masks_sum_to_one_and_equal_the_formula(seed: int, n_ends: int) -> None:
    ends = torch.randn(2, n_ends, 7, generator=torch.Generator().manual_seed(seed)).mul(2).softmax(-1).double()
    masks = segment_masks(ends)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 7, dtype=torch.double), rtol=0, atol=1e-6)
    for row, i, t in product(range(2), range(n_ends + 1), range(7)):
        ended = [float(ends[row, j, : t + 1].sum()) for j in range(n_ends)]
        wanted = 1.0 if i == n_ends else 1 - ended[i]
        for j in range(i):
            wanted *= ended[j]
        assert float(masks[row, i, t]) == pytest.approx(wanted, abs=1e-6)


def test_soft_masks_are_the_chance_of_each_segment_under_independent_ends() -> None:
    ends = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    chance = torch.zeros(3, 4)
    for a, b in product(range(4), repeat=2):
        hard = segment_masks(torch.nn.functional.one_hot(torch.tensor([[a, b]]), 4).float())[0]
        chance += ends[0, a] * ends[1, b] * hard
    torch.testing.assert_close(segment_masks(ends[None])[0], chance)


# ---- one pass


def test_without_sampling_each_step_has_one_code_and_padding_no_cut(segments: SegmentModel) -> None:
    episodes = episodes_of(0)
    found, nll = segmented_pass(tiny_sequence_model(world=WORLD), SITE, segments, episodes, sample=False)
    assert set(found.masks.unique().tolist()) <= {0.0, 1.0}
    chosen = found.masks.argmax(1)
    torch.testing.assert_close(found.z, found.codes[torch.arange(16)[:, None], chosen])
    cut = found.beta[:, 1:] > 0.5
    assert torch.equal(cut, chosen[:, 1:] != chosen[:, :-1]) and (found.beta[:, 0] == 1).all()
    assert not (cut & ~episodes.mask[:, 1:]).any()
    assert nll.shape == episodes.moves.shape


def test_a_code_reads_its_own_segment_only(segments: SegmentModel) -> None:
    torch.manual_seed(2)
    e, mask = torch.randn(1, 12, 16), torch.ones(1, 12) > 0
    found = segments(e, mask, sample=False)
    spans = [(int(m[0].nonzero().min()), int(m[0].nonzero().max())) for m in found.masks.split(1, 1) if m.any()]
    for other in range(12):
        changed = e.clone()
        changed[0, other] += torch.randn(16)  # one number on all units would be normed away
        x, begun = segments.controller.seen(changed), found.masks[:, :1] * 0
        for i, (start, stop) in enumerate(spans):
            begun = (torch.arange(12) >= start).float()[None]
            code = segments.code(segments._encode(x, begun)[:, stop])[0, :3]
            same = torch.allclose(code, found.mu[0, _used(found.masks)[i]], atol=1e-6)
            assert same == (not start <= other <= stop)


def _used(masks: torch.Tensor) -> list[int]:
    return [i for i in range(masks.shape[1]) if masks[0, i].any()]


def test_the_loss_equals_its_formula(segments: SegmentModel) -> None:
    episodes, course = episodes_of(3), SegmentCourse(alpha=0.3, end_weight=0.2, segment_length=4.0)
    found, nll = segmented_pass(
        tiny_sequence_model(world=WORLD), SITE, segments, episodes, torch.Generator().manual_seed(0)
    )
    mask, moves = episodes.mask, int(episodes.mask.sum())
    gauss = torch.distributions.Normal(found.mu, found.log_sigma.exp())
    kl = torch.distributions.kl_divergence(gauss, torch.distributions.Normal(0.0, 1.0)).sum()
    ends = 0.0
    for row in range(16):
        times = torch.arange(1, int(episodes.lengths[row]))
        prior = torch.distributions.Poisson(4.0).log_prob(times.float())
        q = torch.distributions.Categorical(logits=found.end_logits[row, 0, times])
        ends += torch.distributions.kl_divergence(q, torch.distributions.Categorical(logits=prior)).item()
    cuts = mask.clone()
    cuts[:, 0] = False
    p, target = found.probability[cuts], found.beta[cuts].clamp(0, 1)
    imitation = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    wanted = (nll[mask].sum() + 0.3 * kl + 0.2 * 4 * ends) / moves + imitation
    assert _loss(found, nll, mask, course).item() == pytest.approx(wanted.item(), rel=1e-4)
    assert _end_kl(found.end_logits[:, 0], 4.0).sum().item() == pytest.approx(ends, rel=1e-4)


def test_the_cuts_do_not_learn_from_their_imitation(segments: SegmentModel) -> None:
    found = segments(torch.randn(4, 9, 16), torch.ones(4, 9) > 0, torch.Generator().manual_seed(0))
    found.probability.sum().backward()
    assert segments.controller.switch_out.weight.grad.abs().sum() > 0
    assert all(p.grad is None for part in (segments.read, segments.end, segments.code) for p in part.parameters())


# ---- training


def test_discovery_explains_unseen_episodes_leaves_the_base_alone_and_plays(
    segments: SegmentModel, tmp_path: Path
) -> None:
    model, unseen = tiny_sequence_model(world=WORLD), episodes_of(999, 64)
    before = weights_digest(model.backend.hf_model)

    def nats() -> float:
        with torch.no_grad():
            return float(segmented_pass(model, SITE, segments, unseen, sample=False)[1][unseen.mask].mean())

    first = nats()
    schedule = Schedule(tokens=8_000, lr=1e-2, weight_decay=0.0)
    course = SegmentCourse(alpha=0.01, end_weight=0.01)
    discover_segments(model, SITE, segments, lambda step: episodes_of(step, 24), schedule, course, tmp_path)
    assert nats() < first - 0.05
    assert weights_digest(model.backend.hf_model) == before
    learner = CodeLearner(model, SITE, segments.controller, None, torch.tensor([0, 2, 1]))
    trial = play_trials(learner, 30)[0]
    assert (trial.mask.sum(1) >= 1).all()


def test_a_killed_discovery_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    model = tiny_sequence_model(world=WORLD)
    schedule = Schedule(tokens=1_500, lr=1e-2, checkpoint_seconds=0.0)

    def new() -> SegmentModel:
        torch.manual_seed(5)
        return SegmentModel(SHAPE)

    def run(segments: SegmentModel, folder: str, die: bool) -> None:
        def batch(step: int) -> Episodes:
            if die and step == 4:
                raise KeyboardInterrupt
            return episodes_of(step)

        discover_segments(model, SITE, segments, batch, schedule, SegmentCourse(), tmp_path / folder)

    whole, killed, again = new(), new(), new()
    run(whole, "whole", die=False)
    with pytest.raises(KeyboardInterrupt):
        run(killed, "halved", die=True)
    run(again, "halved", die=False)
    assert weights_digest(whole) == weights_digest(again) != weights_digest(killed)
