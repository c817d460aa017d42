"""Discovery: its loss is the formula, its course the shares it says, it resumes exactly and leaves the base alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from workbench.errors import RunError
from workbench.families.internal_rl.control.discovery import (
    Course,
    controlled_pass,
    discover,
    discovery_loss,
)
from workbench.families.internal_rl.control.frozen import weights_digest
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.models.sequence_model import SequenceModel
from workbench.models.tiny import tiny_sequence_model
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.training.loop import Schedule
from workbench.worlds.pinpad.expert import Episodes, expert_episodes
from workbench.worlds.pinpad.pinpad import Pinpad
from workbench.worlds.pinpad.tasks import pretraining_tasks

pytestmark = pytest.mark.slow

WORLD = Pinpad(size=5, colours=4, walls=0, horizon=20, subgoal=1)
SHAPE = MetacontrollerShape(d_model=16, history=4, summary=4, encoder=12, code=3, hyper=8, rank=4, switch=8)
SITE, SHORT = Site(1), Schedule(tokens=1_500, lr=1e-2, checkpoint_seconds=0.0)


def batch_of(step: int) -> Episodes:
    return expert_episodes(WORLD, pretraining_tasks(WORLD), 16, torch.Generator().manual_seed(step))


def new_metacontroller() -> Metacontroller:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Metacontroller(SHAPE)


@pytest.fixture(scope="module")
def base() -> SequenceModel:
    return tiny_sequence_model(world=WORLD)


# ---- the course


def test_gates_go_from_random_to_the_one_asked_for() -> None:
    course = Course(random_share=0.25, random_rate=0.4, gate="learned")
    assert [course.gate_at(done) for done in (0.0, 0.2499, 0.25, 1.0)] == [0.4, 0.4, "learned", "learned"]
    assert {Course(forced=True).gate_at(done) for done in (0.0, 0.5, 1.0)} == {"always"}
    assert Course(random_share=0, gate="learned").gate_at(0.0) == "learned"  # the paper's


def test_alpha_is_tiny_then_rises_by_equal_factors_and_then_stays() -> None:
    course = Course(alpha=0.05, random_share=0.2, alpha_random=1e-5, alpha_start=1e-3, alpha_peak=0.1, peak_at=0.6)
    assert course.alpha_at(0.0) == course.alpha_at(0.199) == 1e-5
    rising = [course.alpha_at(done) for done in (0.2, 0.3, 0.4, 0.5)]
    assert rising == pytest.approx([1e-3, 1e-3 * 100**0.25, 1e-2, 1e-3 * 100**0.75])
    assert course.alpha_at(0.5999) == pytest.approx(0.1, rel=1e-2)
    assert course.alpha_at(0.6) == course.alpha_at(1.0) == 0.05


def test_the_rate_begins_again_when_the_switch_takes_over() -> None:
    assert Course(random_share=0.3).of(SHORT).restart == 0.3 and Course(forced=True).of(SHORT).restart is None
    again = Course(random_share=0.3).of(replace(SHORT, warmup=0.0, lr=1.0))
    assert again.rate(0.299) == pytest.approx(0.1, abs=0.01) and again.rate(0.3) == pytest.approx(1.0)


# ---- the loss


@pytest.mark.parametrize(("done", "gate", "alpha"), [(0.1, 0.2, 1e-4), (0.9, "sampled", 0.15)])
def test_the_loss_is_the_formula_over_the_moves_that_were_made(
    base, done: float, gate: str | float, alpha: float
) -> None:
    m, episodes, course = new_metacontroller(), batch_of(3), Course(mirrored=False)
    generator = torch.Generator()
    loss, moves = discovery_loss(base, SITE, m, episodes, course, 5, 7, done, generator)
    assert moves == int(episodes.lengths.sum())
    noise = torch.Generator().manual_seed(derive_seed(5, "discovery", 7))
    e = base.forward(episodes.observations[:, :-1], sites=[SITE]).activations[SITE]
    found = m(e, episodes.mask, gate, noise)
    up, down = m.hyper.factors(found.z)
    steered = e + (up @ down @ e[..., None])[..., 0]
    logits = base.backend.forward(episodes.observations[:, :-1], hooks={SITE: lambda _: steered})
    total = 0.0
    for row, n in enumerate(episodes.lengths.tolist()):
        for t in range(n):
            posterior = Independent(Normal(found.mu[row, t], found.log_sigma[row, t].exp()), 1)
            prior = Independent(Normal(torch.zeros(SHAPE.code), torch.ones(SHAPE.code)), 1)
            nats = -logits[row, t].log_softmax(-1)[episodes.moves[row, t]]
            total += (nats + alpha * kl_divergence(posterior, prior)).item()
    assert loss.item() == pytest.approx(total / moves, rel=1e-4)


def test_the_kl_counts_at_every_step_and_not_only_where_the_gate_opens(base) -> None:
    m, episodes = new_metacontroller(), batch_of(3)
    with torch.no_grad():
        m.switch_out.weight.zero_()
        m.switch_out.bias.fill_(-30.0)  # never opens after the start
        course = Course(random_share=0.0, gate="hard", alpha=1.0, peak_at=0.0, mirrored=False)
        shut, _ = discovery_loss(base, SITE, m, episodes, course, 0, 0, 0.5, torch.Generator())
        nll, _ = discovery_loss(base, SITE, m, episodes, replace(course, alpha=0.0), 0, 0, 0.5, torch.Generator())
        found, _ = controlled_pass(base, SITE, m, episodes, "hard")
    assert (shut - nll).item() == pytest.approx(float(found.kl[episodes.mask].mean()), rel=1e-4)
    assert found.kl[:, 1:][episodes.mask[:, 1:]].min() > 0.1


def test_noise_depends_on_seed_and_step_alone(base) -> None:
    m, episodes, course, generator = new_metacontroller(), batch_of(0), Course(), torch.Generator()

    def loss(seed: int, step: int) -> float:
        return discovery_loss(base, SITE, m, episodes, course, seed, step, 0.5, generator)[0].item()

    assert loss(1, 2) == loss(1, 2) and len({loss(1, 2), loss(1, 3), loss(2, 2)}) == 3


def test_a_controlled_pass_without_draws_is_the_same_every_time(base) -> None:
    m, episodes = new_metacontroller(), batch_of(1)
    with torch.no_grad():
        (a, nll), (b, again) = (controlled_pass(base, SITE, m, episodes, "hard", sample=False) for _ in range(2))
    assert torch.equal(a.z, b.z) and torch.equal(nll, again) and nll.shape == episodes.moves.shape


# ---- training


def test_discovery_lowers_the_loss_and_leaves_the_base_alone(base, tmp_path: Path) -> None:
    m, before, unseen = new_metacontroller(), weights_digest(base.backend.hf_model), batch_of(999)

    def nats() -> float:
        with torch.no_grad():
            return float(controlled_pass(base, SITE, m, unseen, "always", sample=False)[1][unseen.mask].mean())

    first, seen = nats(), []
    discover(base, SITE, m, batch_of, replace(SHORT, tokens=8_000), Course(), tmp_path, report=seen.append)
    assert nats() < first - 0.03
    assert weights_digest(base.backend.hf_model) == before and seen[-1]["done"] == 1.0
    assert all(p.grad is None for p in base.backend.hf_model.parameters())


@pytest.mark.parametrize("step", [1, 5])  # while the gate is random, and after the switch took over
def test_a_killed_discovery_goes_on_to_the_same_weights_bit_for_bit(base, tmp_path: Path, step: int) -> None:
    def dying(at: int) -> Episodes:
        if at == step:
            raise KeyboardInterrupt
        return batch_of(at)

    whole, again = new_metacontroller(), new_metacontroller()
    discover(base, SITE, whole, batch_of, SHORT, Course(), tmp_path / "whole", seed=3)
    with pytest.raises(KeyboardInterrupt):
        discover(base, SITE, new_metacontroller(), dying, SHORT, Course(), tmp_path / "killed", seed=3)
    steps: list[int] = []

    def counted(at: int) -> Episodes:
        steps.append(at)
        return batch_of(at)

    discover(base, SITE, again, counted, SHORT, Course(), tmp_path / "killed", seed=3)
    assert steps[0] == step and weights_digest(again) == weights_digest(whole) != weights_digest(new_metacontroller())


@pytest.mark.parametrize("change", ["seed", "course", "site", "identity", "base"])
def test_a_checkpoint_of_another_discovery_is_refused(base, tmp_path: Path, change: str) -> None:
    short = replace(SHORT, tokens=200)
    discover(base, SITE, new_metacontroller(), batch_of, short, Course(), tmp_path, seed=1, batch=16)
    with pytest.raises(RunError, match="another"):
        discover(
            tiny_sequence_model(seed=9, world=WORLD) if change == "base" else base,
            Site(0) if change == "site" else SITE, new_metacontroller(), batch_of, short,
            Course(alpha=0.2) if change == "course" else Course(), tmp_path, seed=2 if change == "seed" else 1,
            batch=8 if change == "identity" else 16,
        )  # fmt: skip
