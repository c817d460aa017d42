"""One smoke-sized run of a tiny grid model that a teacher speaks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.families.goal_directedness import GOAL_DIRECTEDNESS, GoalSpec
from workbench.models.language_model import LanguageModel

PROPERTIES = ("agent_row", "goal_right", "wall_up", "move")  # a few of the plain properties, to save time


@pytest.fixture(scope="session")
def few_properties(teaching: None) -> Iterator[None]:
    from workbench.families.goal_directedness import probe_steps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_steps, "PROPERTIES", {name: probe_steps.PROPERTIES[name] for name in PROPERTIES})
        yield


@pytest.fixture(scope="session")
def small_spec(taught_folder: Path) -> GoalSpec:
    return GoalSpec(
        model=str(taught_folder), device="cpu", wording="short", sizes=(7, 9), densities=(0.4, 1.0), layouts=2,
        rollouts=2, structures=2, structure_sizes=(7,),
        max_new_tokens=48, probe_layouts=8, map_size=9, holdout=0.3, hidden=(16,), probe_epochs=2,
        plan_decoders=(1,), plan_width=16, plan_epochs=1, plan_steps=6, multipliers=(-2.0, 2.0), random_directions=1,
        causal_states=40,
    )  # fmt: skip


@pytest.fixture(scope="session")
def goal_run(small_spec: GoalSpec, few_properties: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.families import run

    return run(GOAL_DIRECTEDNESS, small_spec, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def goal_data(small_spec: GoalSpec, tiny_grid: LanguageModel, teaching: None):  # type: ignore[no-untyped-def]
    """The states that the run probes, played without the run."""
    from workbench.families.goal_directedness.probing import ProbeData
    from workbench.worlds.grids.agents.probed_states import play_states

    return ProbeData(small_spec, play_states(tiny_grid, small_spec))
