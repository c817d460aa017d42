"""A tiny grid model whose written answers come from a teacher that errs.

An untrained model writes nothing that can be read.  So what it samples is replaced by the teacher's answers, some of
them wrong and a few unreadable; prompts, activations, direct answers and everything downstream are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel
    from workbench.worlds.grids.agents.agent import GridAgent

WRONG, UNREADABLE = 0.25, 0.05


def _say(agent: GridAgent, prompt: list[int], seed: int) -> Any:
    """What the erring teacher answers at the place that a prompt shows."""
    from workbench.worlds.grids.agents.agent import GridDecision
    from workbench.worlds.grids.text import GridText, read_grid
    from workbench.worlds.grids.training.transcripts import teach
    from workbench.worlds.moves import Move

    rng = np.random.default_rng(seed)
    layout, state = read_grid(agent.model.decode(prompt))
    said = "".join(piece.text for piece in teach(layout, state, True, rng))
    if rng.random() < WRONG:
        said = said.rpartition("{")[0] + GridText().answer(Move(int(rng.integers(4))))
    if rng.random() < UNREADABLE:
        said = said.removesuffix("}")
    return GridDecision(agent.text.parse(said), said, 1, None, prompt, agent.model.encode_continuation(said))


@pytest.fixture(scope="session")
def teaching() -> Iterator[None]:
    """While this fixture lives, taught-grid says what the teacher says when it samples; other models are unchanged."""
    from workbench.worlds.grids.agents.agent import GridAgent

    genuine = GridAgent._sample

    def sample(self: GridAgent, prompts, seeds, interventions, progress):  # type: ignore[no-untyped-def]
        if Path(getattr(self.model, "name", "")).name != "taught-grid":
            return genuine(self, prompts, seeds, interventions, progress)
        return [_say(self, prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GridAgent, "_sample", sample)
        yield


@pytest.fixture(scope="session")
def taught_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Llama of 2 layers with the grid tokenizer, as a Hugging Face folder."""
    from workbench.training.recipes import Shape, new_llama
    from workbench.worlds.grids.training.transcripts import grid_tokenizer

    tokenizer = grid_tokenizer()
    folder = tmp_path_factory.mktemp("models") / "taught-grid"
    shape = Shape(layers=2, width=32, heads=2, kv_heads=2, mlp=64, positions=512)
    new_llama(shape, tokenizer, "taught-grid", seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_grid(taught_folder: Path) -> LanguageModel:
    from workbench.models import load_model

    return load_model(taught_folder, device="cpu")
