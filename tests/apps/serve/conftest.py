"""A server of the shipped bandit agent with four vectors and two probes, and the same model here to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.apps.serve.serving import Served, serving

MODEL = "bandit-agent"


@pytest.fixture(scope="session")
def vectors(bandit_model: Any) -> dict[str, Any]:
    """Random directions, at two layers."""
    import torch

    from steering import SteeringVector

    made = {}
    for number, name in enumerate("abcd"):
        direction = torch.randn(bandit_model.d_model, generator=torch.Generator().manual_seed(number))
        made[name] = SteeringVector(1 + number % 2, direction, name=name).for_model(bandit_model)
    return made


@pytest.fixture(scope="session")
def probes(bandit_model: Any) -> dict[str, Any]:
    """One of two classes and one of three, fitted on noise."""
    from probes import make_probe

    draws = np.random.default_rng(0)
    made = {}
    for name, classes in {"two": 2, "three": 3}.items():
        X = draws.normal(size=(60, bandit_model.d_model))
        made[name] = make_probe("mass-mean").fit(X, np.arange(60) % classes)
    return made


@pytest.fixture(scope="session")
def shelf_options(
    bandit_model: Any, vectors: dict[str, Any], probes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The options that name them; the last vector lies in a folder."""
    from probes import save_probe

    folder = tmp_path_factory.mktemp("shelf")
    (folder / "more").mkdir()
    words = []
    for name, vector in vectors.items():
        path = folder / "more" / "d.safetensors" if name == "d" else folder / f"{name}.safetensors"
        vector.save(path)
        words += ["--vectors", str(path.parent)] if name == "d" else ["--vector", f"{name}={path}"]
    for name, probe in probes.items():
        path = folder / f"probe-{name}.safetensors"
        save_probe(
            probe, path, site=2, basis=bandit_model.basis, fingerprint=bandit_model.fingerprint,
            precision=bandit_model.precision,
        )  # fmt: skip
        words += ["--probe", f"{name}={path}"]
    return words


@pytest.fixture(scope="session")
def server(shelf_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests that leave it as it was."""
    log = tmp_path_factory.mktemp("serve") / "log"
    with serving(log, "--model", MODEL, *shelf_options) as served:
        yield served
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def endless(bandit_model: Any) -> str:
    """A prompt that the model, when it is greedy, goes on with for ever."""
    for number in range(20):
        prompt = f"Button {number} paid"
        ((found,),) = bandit_model.generate([prompt], max_new_tokens=400, temperature=0)
        if found.finish == "length":
            return prompt
    raise AssertionError("the model ends every prompt")
