"""What discovery trains on: the expert's episodes, of which a share begins midway."""

from __future__ import annotations

import torch

from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.expert import expert_batches
from workbench.worlds.pinpad.tasks import pretraining_tasks


def test_a_share_of_the_episodes_begins_midway_and_all_end_at_the_task_s_end(empty_run: InternalRLRun) -> None:
    tasks = pretraining_tasks(empty_run.world)
    whole = InternalRLRun(empty_run.spec.model_copy(update={"begun_midway": 0.0}), empty_run.folder)
    batches, wholes = expert_batches(empty_run, "discovery", 0), expert_batches(whole, "discovery", 0)
    begun = 0
    for step in range(8):
        some, all_of = batches(step), wholes(step)
        assert torch.equal(some.tasks, all_of.tasks) and bool((some.lengths >= 1).all())
        ends = some.lengths - 1
        rows = torch.arange(len(ends))
        assert torch.equal(some.targets[rows, ends], some.tasks[:, -1])
        later = some.lengths < all_of.lengths
        assert bool((some.lengths[later] >= 4).all())
        assert torch.equal(some.agents[~later, 0], all_of.agents[~later, 0])
        begun += int(later.sum())
    assert 0.3 < begun / (8 * len(rows)) < 0.55  # half, but for those of no more than four steps
    assert bool((tasks[:, None] == some.tasks).all(-1).any(0).all())


def test_a_batch_depends_on_seed_name_and_step_alone(empty_run: InternalRLRun) -> None:
    one, two = expert_batches(empty_run, "discovery", 0), expert_batches(empty_run, "discovery", 0)
    later = two(11)
    assert [torch.equal(one(step).agents, two(step).agents) for step in (0, 11)] == [True, True]
    assert torch.equal(later.moves, one(11).moves)
