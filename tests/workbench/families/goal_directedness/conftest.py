"""A tiny grid model whose written answers come from a teacher that errs, and one smoke-sized run of it.

An untrained model writes nothing that can be read.  So what it samples is replaced by the teacher's answers, some of
them wrong and a few unreadable; prompts, activations, direct answers and everything downstream are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from workbench.families.goal_directedness import GoalSpec
from workbench.models.language_model import LanguageModel
from workbench.worlds.grids.agents.agent import GridAgent, GridDecision
from workbench.worlds.grids.text import GridText, read_grid
from workbench.worlds.grids.training.transcripts import grid_tokenizer, teach
from workbench.worlds.moves import Move

WRONG, UNREADABLE = 0.25, 0.05
TARGETS = ("agent_row", "goal_right", "wall_up", "move")  # a few of the plain properties, to save time


def say(agent: GridAgent, prompt: list[int], seed: int) -> GridDecision:
    """What the erring teacher answers at the place that a prompt shows."""
    rng = np.random.default_rng(seed)
    layout, state = read_grid(agent.model.decode(prompt))
    pieces = teach(layout, state, True, rng)
    said = "".join(piece.text for piece in pieces)
    if rng.random() < WRONG:
        said = said.rpartition("{")[0] + GridText().answer(Move(int(rng.integers(4))))
    if rng.random() < UNREADABLE:
        said = said.removesuffix("}")
    return GridDecision(agent.text.parse(said), said, 1, None, prompt, agent.model.encode_continuation(said))


@pytest.fixture(scope="session")
def teaching() -> Iterator[None]:
    """While this fixture lives, taught-grid says what the teacher says when it samples; other models are unchanged."""
    from workbench.families.goal_directedness import probe_units

    genuine = GridAgent._sample

    def sample(self: GridAgent, prompts, seeds, interventions, progress):
        if Path(getattr(self.model, "name", "")).name != "taught-grid":
            return genuine(self, prompts, seeds, interventions, progress)
        return [say(self, prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GridAgent, "_sample", sample)
        patch.setattr(probe_units, "TARGETS", {name: probe_units.TARGETS[name] for name in TARGETS})
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Llama of 2 layers with the grid tokenizer, as a Hugging Face folder."""
    from workbench.training.recipes import Shape, new_llama

    tokenizer = grid_tokenizer()
    folder = tmp_path_factory.mktemp("models") / "taught-grid"
    shape = Shape(layers=2, width=32, heads=2, kv_heads=2, mlp=64, positions=512)
    new_llama(shape, tokenizer, "taught-grid", seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_grid(tiny_folder: Path) -> LanguageModel:
    from workbench.models import load_model

    return load_model(tiny_folder, device="cpu")


@pytest.fixture(scope="session")
def small_spec(tiny_folder: Path) -> GoalSpec:
    return GoalSpec(
        model=str(tiny_folder), device="cpu", sizes=(7, 9), densities=(0.4, 1.0), layouts=2, rollouts=2, structures=2,
        structure_sizes=(7,), max_new_tokens=48, probe_layouts=8, map_size=9, holdout=0.3, hidden=(16,), probe_epochs=2,
        plan_decoders=(1,), plan_width=16, plan_epochs=1, plan_steps=6, multipliers=(-2.0, 2.0), random_directions=1,
        causal_states=40,
    )  # fmt: skip


@pytest.fixture(scope="session")
def goal_run(small_spec: GoalSpec, teaching: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.families import goal_directedness

    return goal_directedness.run(small_spec, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def goal_data(small_spec: GoalSpec, tiny_grid: LanguageModel, teaching: None):  # type: ignore[no-untyped-def]
    """The states that the run probes, played without the run."""
    from workbench.families.goal_directedness.probing import ProbeData
    from workbench.families.goal_directedness.states import play_states

    return ProbeData(small_spec, play_states(tiny_grid, small_spec))
