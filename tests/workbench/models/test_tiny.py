from __future__ import annotations

import pytest
import torch

from workbench.errors import ModelError
from workbench.models.tiny import tiny_hf_model, tiny_model


def test_tiny_models_are_seeded_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    a, b, c = tiny_hf_model("gpt2"), tiny_hf_model("gpt2"), tiny_hf_model("gpt2", seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(a.lm_head.weight, b.lm_head.weight) and not torch.equal(a.lm_head.weight, c.lm_head.weight)


def test_an_unknown_shape_gets_the_nearest_name() -> None:
    with pytest.raises(ModelError, match="did you mean 'mistral'"):
        tiny_model("mistrl")
