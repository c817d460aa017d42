"""One smoke-sized EAST run, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def east_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from workbench.families import run
    from workbench.families.east import EAST, PRESETS

    return run(EAST, PRESETS["smoke"], tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def sweep_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and texts of letters.

    ``kind`` says where the last letter is in the alphabet, ``vowels`` how many vowels there are (and a half).
    """
    import numpy as np
    import pandas as pd

    from workbench.models.tiny import tiny_model

    base = tmp_path_factory.mktemp("sweep")
    model = tiny_model("llama", seed=3)
    model.backend.hf_model.save_pretrained(base / "tiny")
    model.tokenizer.save_pretrained(base / "tiny")
    rng = np.random.default_rng(0)
    words = [["a", *rng.choice(list("abcde"), size=rng.integers(4, 9))] for _ in range(60)]
    table = pd.DataFrame({"text": [" ".join(word) for word in words]})
    table["kind"] = ["early" if word[-1] in "ab" else "late" for word in words]
    table["vowels"] = [float(sum(letter in "ae" for letter in word)) + 0.5 for word in words]
    table["topic"] = np.arange(60) // 3
    table.to_csv(base / "texts.csv", index=False)
    return base


@pytest.fixture
def sweep_fields() -> dict[str, object]:
    """The fields of a small sweep on ``sweep_base``: 2 sites x (2 probes of classes, 1 of numbers) x 1 position."""
    return {
        "source": {"kind": "texts", "path": "texts.csv", "text": "text", "group": "topic"},
        "models": ["tiny"],
        "device": "cpu",
        "sites": [1, "3.resid_post"],
        "targets": ["kind", "vowels"],
        "probes": {"mass-mean": None, "lda": {"shrinkage": 0.1}, "ridge-regression": {"alphas": [[1.0, 10.0]]}},
        "folds": 3,
        "shuffles": 1,
        "resamples": 50,
    }
