"""What recipes share: the loss, budgets, seeded models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from workbench.errors import SpecError
from workbench.training.loop import Schedule
from workbench.training.recipes import Shape, new_llama, preset_of, scaled, soft_cross_entropy
from workbench.worlds.grids.training.transcripts import grid_tokenizer

TINY = Shape(layers=1, width=16, heads=2, kv_heads=1, mlp=24, positions=64)


def test_loss_is_the_weighted_kl_divergence_from_the_targets() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(5, 11)))
    ids = torch.from_numpy(np.stack([rng.choice(11, 3, replace=False) for _ in range(5)]))
    p = torch.from_numpy(rng.dirichlet(np.ones(3), size=5))
    weights = torch.tensor([1.0, 0.5, 0.1, 1.0, 0.0], dtype=torch.float64)
    full = torch.zeros_like(logits).scatter(1, ids, p)
    each = F.kl_div(logits.log_softmax(-1), full, reduction="none").sum(-1)
    wanted = (each * weights).sum() / weights.sum()
    assert soft_cross_entropy(logits, ids, p, weights).item() == pytest.approx(wanted.item(), rel=1e-4)


def test_a_perfect_model_has_no_loss_and_unused_candidates_cost_nothing() -> None:
    ids, p = torch.tensor([[2, 4, 0, 0]]), torch.tensor([[0.5, 0.5, 0.0, 0.0]])  # padded as the grid writer pads
    logits = torch.full((1, 6), -40.0)
    logits[0, [2, 4]] = 0.0
    assert soft_cross_entropy(logits, ids, p, torch.ones(1)).item() == pytest.approx(0, abs=1e-5)


def test_scaled_stages_keep_their_shares() -> None:
    schedules = [Schedule(tokens=300, lr=1.0), Schedule(tokens=100, lr=2.0)]
    assert [each.tokens for each in scaled(schedules, 40)] == [30, 10] and scaled(schedules, None) == schedules
    assert [each.lr for each in scaled(schedules, 40)] == [1.0, 2.0]


def test_a_new_model_follows_from_its_seed_and_shape() -> None:
    tokenizer = grid_tokenizer()
    one, same, other = (new_llama(TINY, tokenizer, "x", seed) for seed in (0, 0, 1))
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs) and not all(torch.equal(a, c) for a, _, c in pairs)
    assert (one.config.num_hidden_layers, one.config.hidden_size, one.config.num_key_value_heads) == (1, 16, 1)
    assert one.config.vocab_size == len(tokenizer) and one.config.eos_token_id == tokenizer.eos_token_id


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="unknown preset 'cup'; did you mean 'cpu'"):
        preset_of({"cpu": 1, "gpu": 2}, "cup")
