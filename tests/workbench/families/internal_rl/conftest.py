"""A tiny untrained base in small worlds, and one whole run on it, one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.families import run
from workbench.families.internal_rl import INTERNAL_RL, InternalRLSpec
from workbench.families.internal_rl.context import InternalRLRun
from workbench.families.internal_rl.spec import RL_TASKS
from workbench.runs import RunFolder
from workbench.worlds.pinpad.pinpad import Pinpad

SMALL = Pinpad(size=5, colours=4, walls=1, horizon=20, distance=2, subgoal=1, observation="relative")


@pytest.fixture(scope="session")
def pinpad_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.models.tiny import tiny_sequence_model

    folder = tmp_path_factory.mktemp("models") / "tiny-base"
    tiny_sequence_model(world=SMALL).backend.hf_model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def internal_spec(pinpad_base_folder: Path) -> InternalRLSpec:
    return InternalRLSpec(
        base=str(pinpad_base_folder), recipe="smoke", device="cpu", seeds=2, baseline_seeds=1, jobs=1, episodes=24,
        held_out_episodes=32, probe_episodes=30, folds=2, history=(0.0, 1.0), history_tokens=1500, layer=1, rank=2,
        controller_tokens=1500, tokens=1500, batch=16, memory=4, hidden=8, hyper=4, code=2, alphas=(0.05, 0.5),
        sweep_tokens=500, updates=2, rl_batch=16, rl_epochs=2, policy_width=8, shown=2, seen_length=3, tasks=RL_TASKS,
    )  # fmt: skip


@pytest.fixture(scope="session")
def internal_run(internal_spec: InternalRLSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(INTERNAL_RL, internal_spec, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def empty_run(internal_spec: InternalRLSpec, tmp_path: Path) -> InternalRLRun:
    """A run in an empty folder."""
    with RunFolder.open(tmp_path, "internal-rl", internal_spec) as folder:
        return InternalRLRun(internal_spec, folder)
