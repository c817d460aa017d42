from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from steering import SteeringVector
from workbench.models.interventions import Where
from workbench.sites import Site


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def vector() -> SteeringVector:
    return SteeringVector(
        Site(3), torch.linspace(-1, 2, 8), fingerprint="model-a", name="east", metadata={"runs": 65, "note": "é"}
    )


@pytest.fixture
def model() -> SimpleNamespace:
    """Stands for a LanguageModel: the attributes that a vector asks of it."""
    return SimpleNamespace(fingerprint="model-a", basis="raw", precision="float32", d_model=8, n_layers=6)


@pytest.fixture(scope="session")  # no state, and hypothesis tests may use it
def make_where() -> Callable[..., Where]:
    """A batch whose row r has prompt_lengths[r] tokens and is right-padded from lengths[r] on (padding: -1)."""

    def make(lengths: list[int], prompt_lengths: list[int], rows: list[int] | None = None) -> Where:
        batch, width = len(lengths), max(lengths)
        positions = torch.arange(width).repeat(batch, 1)
        positions[positions >= torch.tensor(lengths)[:, None]] = -1
        row = torch.tensor(rows if rows is not None else range(batch))[:, None].expand(batch, width)
        return Where(positions, row.clone(), torch.tensor(prompt_lengths)[:, None].expand(batch, width).clone())

    return make
