"""A run of the whole protocol on tiny models with two tasks of their own, and tables that scoring is tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

TASKS = {
    "words": "split: train\nproperties: [first_character, starts_with_vowel]\nmax_new_tokens: 4\n",
    "beasts": "split: held_out\nproperties: [first_character, starts_with_vowel]\nmax_new_tokens: 4\n",
}
SLOTS = 'prompts: ["Go on: {items}"]\nslots: {items: {list: %s, count: [2, 3]}}\n'


def make_babblers(base: Path) -> Path:
    """``tasks`` and models ``m1`` and ``m2`` in a folder: random, of large weights, so that their answers vary."""
    import torch

    from workbench.training.recipes import Shape, new_llama
    from workbench.worlds.questions.training.transcripts import babbler_tokenizer

    tokenizer = babbler_tokenizer()
    for seed, name in enumerate(("m1", "m2")):
        model = new_llama(Shape(layers=2, width=32, heads=2, kv_heads=2, mlp=64, positions=256), tokenizer, name, seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(12 if weight.ndim > 1 else 1)
        model.save_pretrained(base / name)
        tokenizer.save_pretrained(base / name)
    (base / "tasks").mkdir()
    for name, text in TASKS.items():
        (base / "tasks" / f"{name}.yaml").write_text(text + SLOTS % ("animals" if name == "beasts" else "colours"))
    return base


def tiny_spec(babblers: Path) -> Any:
    """The spec of a run on them."""
    from workbench.families.introspection.self_prediction.spec import PRESETS, SelfPredictionSpec

    values = PRESETS["smoke"].model_dump() | {
        "model": str(babblers / "m1"), "candidates": (str(babblers / "m2"), "copy"), "lr": 0.02,
        "object_lr": 0.05, "tasks_path": str(babblers / "tasks"), "device": "cpu", "train_prompts": 16,
        "test_prompts": 12, "seconds": 2, "layers": (0, 1), "epochs": 3,
    }  # fmt: skip
    return SelfPredictionSpec.model_validate(values)


@pytest.fixture(scope="session")
def tiny_babblers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_babblers(tmp_path_factory.mktemp("tiny-babblers"))


@pytest.fixture(scope="session")
def tiny_self_prediction(tiny_babblers: Path) -> Any:
    return tiny_spec(tiny_babblers)


@pytest.fixture(scope="session")
def self_prediction_run(tiny_self_prediction: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run."""
    from workbench.families import get_family, run

    return run(get_family("self-prediction"), tiny_self_prediction, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def answered():
    """``answered(values, task="t", split="train", property="p")`` makes a table of values, one item each."""

    def make(values: list[str | None], task: str = "t", split: str = "train", property: str = "p") -> pd.DataFrame:
        ids = [f"{task}-{k}" for k in range(len(values))]
        rows = {"task": task, "split": split, "role": "test", "id": ids, "property": property}
        return pd.DataFrame(rows | {"value": pd.array(values, dtype="string")})

    return make
