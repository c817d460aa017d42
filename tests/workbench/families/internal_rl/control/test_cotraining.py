"""Co-training moves both parts, leaves the given base alone, and resumes bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.errors import RunError
from workbench.families.internal_rl.control.discovery import Course, co_train, controlled_pass, discover
from workbench.families.internal_rl.control.frozen import weights_digest
from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
from workbench.models.sequence_model import SequenceModel
from workbench.models.tiny import tiny_sequence_model
from workbench.models.untrained import untrained
from workbench.sites import Site
from workbench.training.loop import Schedule
from workbench.worlds.pinpad.expert import Episodes, expert_episodes
from workbench.worlds.pinpad.pinpad import Pinpad
from workbench.worlds.pinpad.tasks import pretraining_tasks

pytestmark = pytest.mark.slow

WORLD = Pinpad(size=5, colours=4, walls=0, horizon=20, subgoal=1)
SHAPE = MetacontrollerShape(d_model=16, history=4, summary=4, encoder=12, code=3, hyper=8, rank=4, switch=8)
SCHEDULE = Schedule(tokens=2_000, lr=1e-2, checkpoint_seconds=0.0)
SITE = Site(1)


def batch_of(step: int) -> Episodes:
    return expert_episodes(WORLD, pretraining_tasks(WORLD), 16, torch.Generator().manual_seed(step))


def new_metacontroller() -> Metacontroller:
    torch.manual_seed(0)
    return Metacontroller(SHAPE)


def test_both_parts_learn_and_the_given_base_stays(tmp_path: Path) -> None:
    base, metacontroller, unseen = untrained(tiny_sequence_model(world=WORLD)), new_metacontroller(), batch_of(999)

    def nats(model: SequenceModel) -> float:
        with torch.no_grad():
            return float(controlled_pass(model, SITE, metacontroller, unseen, sample=False)[1][unseen.mask].mean())

    first, schedule = nats(base), Schedule(tokens=6_000, lr=1e-2)
    together = co_train(base, SITE, metacontroller, batch_of, schedule, Course(), tmp_path)
    assert nats(together) < first - 0.01
    assert base.fingerprint == untrained(tiny_sequence_model(world=WORLD)).fingerprint != together.fingerprint
    assert weights_digest(metacontroller) != weights_digest(new_metacontroller())
    assert not any(p.requires_grad for p in together.backend.hf_model.parameters())
    assert Pinpad.of(together.world) == WORLD


def test_a_killed_co_training_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    base = tiny_sequence_model(world=WORLD)

    def dying(step: int) -> Episodes:
        if step == 4:
            raise KeyboardInterrupt
        return batch_of(step)

    first, again = new_metacontroller(), new_metacontroller()
    whole = co_train(base, SITE, first, batch_of, SCHEDULE, Course(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        co_train(base, SITE, new_metacontroller(), dying, SCHEDULE, Course(), tmp_path / "halved")
    resumed = co_train(base, SITE, again, batch_of, SCHEDULE, Course(), tmp_path / "halved")
    assert whole.fingerprint == resumed.fingerprint
    assert weights_digest(first) == weights_digest(again)


def test_a_checkpoint_of_frozen_discovery_or_another_course_is_refused(tmp_path: Path) -> None:
    base, short = tiny_sequence_model(world=WORLD), Schedule(tokens=200)
    discover(base, SITE, new_metacontroller(), batch_of, short, Course(), tmp_path)
    with pytest.raises(RunError, match="another"):
        co_train(base, SITE, new_metacontroller(), batch_of, short, Course(), tmp_path)
    with pytest.raises(RunError, match="another"):
        discover(base, SITE, new_metacontroller(), batch_of, short, Course(alpha=0.1), tmp_path)


def test_discovery_leaves_the_base_alone_and_says_so_when_it_does_not(tmp_path: Path) -> None:
    base = tiny_sequence_model(world=WORLD)
    before = weights_digest(base.backend.hf_model)
    short = Schedule(tokens=400)
    discover(base, SITE, new_metacontroller(), batch_of, short, Course(forced=True), tmp_path / "whole")
    assert weights_digest(base.backend.hf_model) == before

    def leaking(step: int) -> Episodes:
        base.backend.hf_model.requires_grad_(True)
        return batch_of(step)

    with pytest.raises(RunError, match="frozen part: base"):
        discover(base, SITE, new_metacontroller(), leaking, short, Course(), tmp_path / "leak")
