"""The loop of the torch probes: seeds, early stopping, and groups that are never split."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from probes.torch_training import (
    balanced_weights,
    hold_out,
    load_network,
    network_arrays,
    resolve_device,
    seeded,
    shuffled,
    train,
)
from workbench.errors import DataError, SpecError

rows_of_groups = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=2, max_size=60)


def fitted(seed, epochs=5):
    """Weights of a small network with dropout after a few epochs on fixed data."""
    x = torch.linspace(-1, 1, 40)[:, None]
    with seeded(seed):
        net = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
        train(
            net, lambda: (((net(x[b]) - x[b] ** 2) ** 2).mean() for b in shuffled(torch.arange(40), 8)), epochs=epochs
        )
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@given(rows_of_groups, st.floats(0.05, 0.9), st.integers(0, 99))
def test_held_out_rows_are_whole_groups_and_leave_every_class_a_training_row(rows, fraction, seed):
    groups, labels = np.array(rows).T
    labels = np.unique(labels, return_inverse=True)[1]
    held = hold_out(groups, fraction, seed, labels)
    assert not set(groups[held]) & set(groups[~held])
    assert set(labels[~held]) == set(labels)
    assert held.sum() <= np.ceil(fraction * len(groups)) or len(set(groups[held])) == 1


@given(st.lists(st.integers(0, 8), min_size=2, max_size=60), st.integers(0, 99))
def test_something_is_held_out_whenever_there_are_two_groups(groups, seed):
    assert hold_out(groups, 0.1, seed).any() == (len(set(groups)) > 1)


def test_groups_may_be_text_and_seeds_change_the_split():
    groups = np.repeat([f"layout {i}" for i in range(20)], 3)
    splits = {hold_out(groups, 0.2, seed).tobytes() for seed in range(5)}
    assert len(splits) > 1
    assert all(np.frombuffer(split, dtype=bool).sum() == 12 for split in splits)


def test_equal_seeds_give_equal_weights_and_others_do_not():
    assert torch.equal(fitted(3), fitted(3))
    assert not torch.equal(fitted(3), fitted(4))


def test_training_leaves_the_global_random_stream_as_it_was():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fitted(3)
    assert torch.equal(torch.rand(3), expected)


def test_threads_that_train_at_once_do_not_take_each_others_numbers():
    alone = [fitted(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fitted, range(4)))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_early_stopping_restores_the_best_epoch():
    weight = nn.Linear(1, 1, bias=False)
    seen, losses = [], iter([3.0, 1.0, 2.0, 2.0, 0.0])

    def validate():
        seen.append(weight.weight.item())
        return next(losses)

    history = train(weight, lambda: [weight(torch.ones(1, 1)).sum()], validate, epochs=9, patience=2)
    assert history == [3.0, 1.0, 2.0, 2.0]  # two epochs without progress after the second
    assert weight.weight.item() == seen[1]


def test_dropout_is_off_while_validating():
    module = nn.Dropout(0.5)
    module.weight = nn.Parameter(torch.zeros(1))
    modes = []
    train(module, lambda: [(module.weight**2).sum()], lambda: modes.append(module.training) or 1.0, epochs=2)
    assert modes == [False, False]


def test_a_diverging_loss_is_an_error_that_says_so():
    module = nn.Linear(1, 1)
    with pytest.raises(DataError, match="diverged"):
        train(module, lambda: [module(torch.tensor([[float("nan")]])).sum()])


def test_weighted_minibatches_draw_rows_in_proportion():
    weights = torch.tensor([1.0, 0.0, 3.0])
    with seeded(0):
        drawn = torch.cat([torch.cat(list(shuffled(torch.arange(3), 2, weights))) for _ in range(2000)])
    share = drawn.bincount(minlength=3) / len(drawn)
    np.testing.assert_allclose(share, [0.25, 0.0, 0.75], atol=0.02)


def test_balanced_weights_give_every_class_the_same_total():
    labels = np.array([0] * 90 + [1] * 9 + [2])
    weights = balanced_weights(np.arange(3), labels, "balanced")
    np.testing.assert_allclose(np.bincount(labels, weights), 100 / 3)
    assert balanced_weights(np.arange(3), labels, None) is None
    with pytest.raises(SpecError, match="balanced"):
        balanced_weights(np.arange(3), labels, "even")


def test_network_arrays_round_trip_bit_for_bit():
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    load_network(second, network_arrays(first))
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


def test_an_absent_device_is_refused():
    with pytest.raises(SpecError, match="gpu9"):
        resolve_device("gpu9")
