"""The plan decoder: its sizes, its one shot, and that it reads plans that no linear probe can."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

import workbench.worlds.grids.probes.plan as module
from workbench.errors import DataError, SpecError
from workbench.worlds.grids.probes.plan import PAD, LinearPlanProbe, PlanDecoder, next_moves, plan_scores

SMALL = {"horizon": 3, "width": 32, "heads": 4, "feedforward": 64, "lr": 3e-3, "batch_size": 64, "epochs": 12}


@pytest.fixture(scope="module")
def episodes():
    """Steps of 250 episodes of one to eight moves; the last of three activations holds the plan, the others noise."""
    rng = np.random.default_rng(0)
    plans = np.concatenate([next_moves(rng.integers(0, 4, rng.integers(1, 9)), 3)[:4] for _ in range(250)])
    groups = np.repeat(np.arange(250), 4)[: len(plans)]
    codes = np.eye(5)[plans].reshape(len(plans), 15)
    X = rng.normal(size=(len(plans), 3, 16))
    X[:, 2, :15] += 4 * codes
    return X.reshape(len(plans), -1).astype(np.float32), plans, groups


def test_a_plan_is_decoded_far_above_the_majority(episodes):
    X, plans, groups = episodes
    test = groups >= 180
    decoder = PlanDecoder(**SMALL).fit(X[~test], plans[~test], groups[~test])
    table = plan_scores(plans[test], decoder.predict(X[test]), groups[test], training=plans[~test])
    lead = table[(table.control == "majority") & (table.padding == "with")]
    assert (lead.difference_low > 0.2).all()


def test_shuffled_plans_are_no_better_than_the_majority(episodes):
    X, plans, groups = episodes
    test, plans = groups >= 120, plans[np.random.default_rng(1).permutation(len(plans))]
    decoder = PlanDecoder(**SMALL | {"epochs": 10}).fit(X[~test], plans[~test], groups[~test])
    table = plan_scores(plans[test], decoder.predict(X[test]), groups[test], training=plans[~test])
    lead = table[(table.control == "majority") & (table.padding == "with") & (table.steps == 1)]
    assert lead.difference.item() < 0.05


def test_it_reads_a_plan_that_no_linear_probe_can():
    rng = np.random.default_rng(0)
    plans = rng.integers(0, 2, size=(1600, 2))
    X = rng.normal(size=(1600, 3, 6))
    X[:, 2, :2] = np.sign(X[:, 2, :2])
    X[:, 2, 2:4] = X[:, 2, :2] * (2 * plans - 1)  # the product of two features is the move
    X = X.reshape(1600, 18)
    small = SMALL | {"horizon": 2, "epochs": 25}
    decoder = PlanDecoder(**small).fit(X[:1200], plans[:1200])
    linear = LinearPlanProbe().fit(X[:1200], plans[:1200])
    assert (decoder.predict(X[1200:]) == plans[1200:]).mean() > 0.9
    assert (linear.predict(X[1200:]) == plans[1200:]).mean() < 0.6


def test_the_paper_preset_has_the_papers_sizes():
    decoder = PlanDecoder.preset("paper", layers=4)
    network = decoder._network(3 * 16)
    assert network.into_memory[0].weight.shape == (1024, 16)
    assert len(network.decoder.layers) == 4
    layer = network.decoder.layers[0]
    assert (layer.self_attn.num_heads, layer.linear1.out_features, layer.dropout.p) == (8, 4096, 0.1)
    assert network.queries.shape == (10, 1024) and network.head.out_features == 5
    with pytest.raises(SpecError, match="did you mean 'paper'"):
        PlanDecoder.preset("papr")


def test_queries_see_each_other_in_both_directions():
    decoder = PlanDecoder(**SMALL)
    torch.manual_seed(0)
    network, x = decoder._network(12).eval(), torch.randn(2, 12)
    with torch.no_grad():
        before = network(x)
        network.queries[2] += 1
        after = network(x)
    assert not torch.allclose(before[:, 0], after[:, 0])  # the last query reaches the first step: no causal mask


def test_the_three_activations_are_told_apart():
    decoder = PlanDecoder(**SMALL)
    torch.manual_seed(0)
    network, x = decoder._network(12).eval(), torch.randn(2, 3, 4)
    with torch.no_grad():
        assert not torch.allclose(network(x.flatten(1)), network(x.flip(1).flatten(1)))


def test_equal_seeds_give_equal_plans_and_arrays_restore_them_bit_for_bit(episodes):
    X, plans, groups = episodes
    X, plans, groups = X[:80], plans[:80], groups[:80]
    first, second = (PlanDecoder(**SMALL | {"epochs": 2}).fit(X, plans, groups) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    np.testing.assert_allclose(first.predict_proba(X).sum(-1), 1, atol=1e-5)
    other = PlanDecoder(**first.get_params())
    other._load_arrays(first._arrays())
    np.testing.assert_array_equal(other.predict_proba(X), first.predict_proba(X))


def test_early_stopping_holds_out_the_groups_it_is_given(episodes, monkeypatch):
    X, plans, groups = episodes
    asked = []
    original = module.hold_out
    monkeypatch.setattr(module, "hold_out", lambda g, *rest: asked.append(g) or original(g, *rest))
    PlanDecoder(**SMALL | {"epochs": 1}).fit(X, plans, groups)
    np.testing.assert_array_equal(asked[0], groups)


def test_the_linear_baseline_is_a_ridge_regression_a_step(episodes):
    X, plans, _ = episodes
    probe = LinearPlanProbe(alphas=(30.0,)).fit(X, plans)
    Z = (X - X.mean(0)) / X.std(0)
    for step in range(3):
        scores = Ridge(30.0).fit(Z, np.eye(5)[plans[:, step]]).predict(Z)
        assert (probe.predict(X)[:, step] == scores.argmax(1)).mean() > 0.999


def test_input_that_does_not_fit_is_refused(episodes):
    X, plans, _ = episodes
    with pytest.raises(DataError, match="n_activations=5"):
        PlanDecoder(n_activations=5, horizon=3).fit(X, plans)
    with pytest.raises(SpecError, match="multiple of heads=5"):
        PlanDecoder(**SMALL | {"heads": 5}).fit(X, plans)
    with pytest.raises(DataError, match=r"\[10, 10\] integers"):
        PlanDecoder().fit(X[:10], plans[:10])
    with pytest.raises(DataError, match="a move follows a PAD"):
        LinearPlanProbe().fit(X[:1], [[PAD, 0, 0]])
