"""The cognitive map probe: its split first layer, its sampling, and what each kind can and cannot learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import workbench.worlds.grids.probes.cognitive_map as module
from workbench.errors import DataError, SpecError
from workbench.worlds.grids.probes.cells import CELLS, PADDING, cell_class
from workbench.worlds.grids.probes.cognitive_map import CognitiveMapProbe, MapNetwork, _Fitting, cell_coordinates

SMALL = {"size": 5, "hidden": (64, 32), "lr": 5e-3, "epochs": 30, "batch_size": 32, "patience": 8}


def states_of(n_states, seed=0):
    """Maps of 5 x 5 with an agent and a goal on walls and floor; H is a random linear image of the whole map."""
    rng = np.random.default_rng(seed)
    maps = (rng.random((n_states, 5, 5)) < 0.3).astype(np.int64)
    for state in maps:
        a, g = rng.choice(25, 2, replace=False)
        state[divmod(a, 5)], state[divmod(g, 5)] = cell_class("A"), cell_class("G")
    onehot = np.eye(4)[maps].reshape(n_states, -1)
    image = np.random.default_rng(99).normal(size=(100, 64))
    H = onehot @ image + 0.3 * rng.normal(size=(n_states, 64))
    return H.astype(np.float32), maps, np.arange(n_states) // 5


def test_the_split_first_layer_equals_an_explicit_concatenation():
    torch.manual_seed(0)
    features, coordinates = torch.randn(6, 10), cell_coordinates(5, one_hot=True)
    network = MapNetwork(10, 10, (16, 8), 4, dropout=0.1).eval()
    whole = torch.nn.Linear(20, 16)
    whole.weight.data = torch.cat([network.state_layer.weight, network.coordinate_layer.weight], 1).detach()
    whole.bias.data = network.state_layer.bias.detach()
    rows = torch.cat([features[:, None].expand(-1, 25, -1), coordinates.expand(6, -1, -1)], -1)  # [6, 25, 20]
    expected = network.rest(whole(rows))
    torch.testing.assert_close(network.every_cell(features, coordinates), expected, atol=1e-5, rtol=0)
    states, cells = torch.randint(6, (40,)), torch.randint(25, (40,))
    picked = network(features, coordinates, states, cells)
    torch.testing.assert_close(picked, expected[states, cells], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [1, 7, 15])
def test_raw_coordinates_are_standardised_rows_and_columns(size):
    rows, columns = np.divmod(np.arange(size**2), size)
    expected = np.stack([rows, columns], 1) - rows.mean()
    np.testing.assert_allclose(cell_coordinates(size, False), expected / (rows.std() or 1), atol=1e-5)


def test_a_map_that_only_the_mlp_can_decode():
    H, maps, groups = states_of(900)
    test = groups >= 140
    accuracy = {}
    for kind in ("linear", "mlp"):
        probe = CognitiveMapProbe(kind=kind, coordinates="one-hot", **SMALL).fit(H[~test], maps[~test], groups[~test])
        recalls = [(probe.predict(H[test]) == c)[maps[test] == c].mean() for c in np.unique(maps)]
        accuracy[kind] = np.mean(recalls)
    assert accuracy["mlp"] > accuracy["linear"] + 0.2
    assert accuracy["linear"] < 0.45  # four classes: .25 is chance


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_both_kinds_decode_a_map_that_is_a_sum_of_state_and_cell(kind):
    rng = np.random.default_rng(0)
    bright = rng.normal(size=300)
    height = cell_coordinates(5, False).numpy()[:, 0].reshape(5, 5)
    maps = (bright[:, None, None] + height > 0).astype(np.int64)
    H = np.outer(bright, rng.normal(size=12)) + 0.05 * rng.normal(size=(300, 12))
    probe = CognitiveMapProbe(kind=kind, **SMALL | {"lr": 2e-2}).fit(H[:200], maps[:200])
    assert (probe.predict(H[200:]) == maps[200:]).mean() > 0.93


def test_shuffled_maps_are_at_chance():
    H, maps, groups = states_of(600)
    maps = maps[np.random.default_rng(1).permutation(600)]
    test = groups >= 80
    probe = CognitiveMapProbe(**SMALL | {"epochs": 10}).fit(H[~test], maps[~test], groups[~test])
    decoded = probe.predict(H[test])
    assert abs(np.mean([(decoded == c)[maps[test] == c].mean() for c in range(4)]) - 0.25) < 0.06


def test_a_minibatch_counts_every_class_as_often_as_the_others():
    H, maps, _ = states_of(60)
    maps[:, 4] = PADDING
    probe = CognitiveMapProbe(**SMALL | {"cells_per_state": 400, "padding": False})
    probe.classes_, probe.n_features_in_ = np.arange(4), 64
    fitting = _Fitting(probe, torch.from_numpy(H), torch.from_numpy(maps.reshape(60, -1)), np.zeros(60, bool))
    torch.manual_seed(0)
    cells, times = fitting.draw(torch.arange(32))
    assert len(cells.unique()) == len(cells) and times.sum() == 32 * 400
    share = np.bincount(maps[:32].ravel()[cells], times, minlength=len(CELLS)) / int(times.sum())
    np.testing.assert_allclose(share[:4], 0.25, atol=0.02)
    assert share[PADDING] == 0


def test_counting_a_cell_twice_is_computing_it_twice():
    H, maps, _ = states_of(8)
    probe = CognitiveMapProbe(**SMALL | {"epochs": 1}).fit(H, maps)
    fitting = _Fitting(probe, torch.from_numpy(H), torch.from_numpy(maps.reshape(8, -1)), np.zeros(8, bool))
    cells, times = torch.tensor([3, 40, 77]), torch.tensor([1, 4, 2])
    repeated = cells.repeat_interleave(times)
    states = torch.arange(8)
    torch.testing.assert_close(
        fitting.loss(states, cells, times), fitting.loss(states, repeated, torch.ones_like(repeated))
    )


class _Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_states_times_cells_times_features_is_never_built():
    H, maps = np.random.default_rng(0).normal(size=(200, 96)), np.full((200, 15, 15), PADDING)
    maps[:, :5, :5] = states_of(200)[1]
    with _Largest() as largest:
        probe = CognitiveMapProbe(hidden=(16,), epochs=1).fit(H, maps)
        probe.predict(H)
    assert 64 * 225 * 16 <= largest.numel < 200 * 225 * 96 / 10


def test_unseen_classes_have_probability_zero_and_rows_sum_to_one():
    H, maps, _ = states_of(40)
    proba = CognitiveMapProbe(**SMALL | {"epochs": 1}).fit(H, maps).predict_proba(H)
    assert proba.shape == (40, 5, 5, len(CELLS))
    assert (proba[..., 4:] == 0).all()
    np.testing.assert_allclose(proba.sum(-1), 1, atol=1e-5)


def test_padding_left_out_is_never_decoded_and_not_learned_from():
    H, maps, _ = states_of(60)
    maps[:, :, 4] = PADDING
    with_padding = CognitiveMapProbe(**SMALL | {"epochs": 5}).fit(H, maps)
    without = CognitiveMapProbe(**SMALL | {"epochs": 5, "padding": False}).fit(H, maps)
    assert PADDING in with_padding.classes_ and PADDING not in without.classes_
    assert (without.predict_proba(H)[..., PADDING] == 0).all()


def test_equal_seeds_give_equal_maps_and_arrays_restore_them_bit_for_bit():
    H, maps, groups = states_of(60)
    first, second = (CognitiveMapProbe(**SMALL | {"epochs": 2}).fit(H, maps, groups) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(H), second.predict_proba(H))
    other = CognitiveMapProbe(**first.get_params())
    other._load_arrays(first._arrays())
    np.testing.assert_array_equal(other.predict_proba(H), first.predict_proba(H))


def test_one_group_alone_is_fitted_without_holding_out():
    H, maps, _ = states_of(20)
    probe = CognitiveMapProbe(**SMALL | {"epochs": 2}).fit(H, maps, np.zeros(20))
    assert probe.history_ == [] and probe.predict(H).shape == maps.shape


def test_early_stopping_holds_out_the_groups_it_is_given(monkeypatch):
    H, maps, groups = states_of(40)
    asked = []
    original = module.hold_out
    monkeypatch.setattr(module, "hold_out", lambda g, *rest: asked.append(g) or original(g, *rest))
    CognitiveMapProbe(**SMALL | {"epochs": 1}).fit(torch.from_numpy(H).bfloat16(), torch.from_numpy(maps), groups)
    np.testing.assert_array_equal(asked[0], groups)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "lineal"}, "did you mean 'linear'"),
        ({"coordinates": "polar"}, "coordinates"),
        ({"hidden": ()}, "hidden"),
    ],
)
def test_unusable_hyperparameters_are_named(changes, says):
    H, maps, _ = states_of(10)
    with pytest.raises(SpecError, match=says):
        CognitiveMapProbe(**SMALL | changes).fit(H, maps)


def test_maps_that_do_not_fit_are_refused():
    H, maps, _ = states_of(10)
    with pytest.raises(DataError, match=r"\(10, 15, 15\) integers are needed"):
        CognitiveMapProbe().fit(H, maps)
    with pytest.raises(DataError, match="cells are 0 to 6"):
        CognitiveMapProbe(size=5).fit(H, maps + 7)
    with pytest.raises(DataError, match="nothing is left"):
        CognitiveMapProbe(size=5, padding=False).fit(H, np.full_like(maps, PADDING))
