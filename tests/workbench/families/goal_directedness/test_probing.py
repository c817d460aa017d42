"""Probes of a run: nothing is on both sides, controls are controls, and what is there to be read is read."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import DataError
from workbench.families.goal_directedness.probing import (
    ProbeData,
    balanced_cell_accuracy,
    cell_accuracy,
    decode_maps,
    decode_plans,
    distance_rows,
    map_controls,
    map_rows,
    plan_rows,
    prefix_right,
    target_rows,
    without_walls,
)
from workbench.worlds.grids.agents.probed_states import PROPERTIES
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.maze_sets import probe_layouts
from workbench.worlds.grids.probes.cognitive_map import CELLS, PADDING, locate
from workbench.worlds.grids.text import GridText, read_grid
from workbench.worlds.moves import Move


def told(data: ProbeData, seed: int = 0, **columns: np.ndarray) -> np.ndarray:
    """Features [states, 3 * 16] of noise in which some columns are what is to be read."""
    h = np.random.default_rng(seed).normal(size=(len(data.steps), 48)).astype(np.float32)
    for k, values in enumerate(columns.values()):
        h[:, k] = values
    return h


def test_neither_a_layout_nor_a_rendered_state_is_on_both_sides(goal_data: ProbeData) -> None:
    test, steps = goal_data.test, goal_data.steps
    assert not set(steps["layout"][test]) & set(steps["layout"][~test])
    states = np.array(goal_data.pictures)
    assert not set(states[test]) & set(states[~test])
    for size in (7, 9):
        share = test[goal_data.sizes == size].mean()
        assert 0.15 < share < 0.45  # 0.3 were asked for, in whole groups


def test_other_grids_are_never_of_the_same_group_or_of_another_size(goal_data: ProbeData) -> None:
    rows = np.arange(goal_data.test.sum(), dtype=float)
    marked = np.broadcast_to(rows[:, None, None, None], (len(rows), 9, 9, len(CELLS))).copy()
    partner = dict(map_controls(goal_data, marked))["other grids"][:, 0, 0, 0].astype(int)
    group, size = goal_data.groups[goal_data.test], goal_data.sizes[goal_data.test]
    assert (group[partner] != group).all() and (size[partner] == size).all()


def test_majority_maps_are_the_class_shares_of_the_training_maps_of_the_same_size(goal_data: ProbeData) -> None:
    n = int(goal_data.test.sum())
    majority = dict(map_controls(goal_data, np.zeros((n, 9, 9, len(CELLS)))))["majority"]
    for row, size in enumerate(goal_data.sizes[goal_data.test]):
        known = goal_data.maps[(goal_data.sizes == size) & ~goal_data.test]
        for cell in ((1, 1), (3, 2), (8, 8)):
            shares = [np.mean(known[:, *cell] == k) for k in range(len(CELLS))]
            assert majority[row, *cell] == pytest.approx(shares)
    border = majority[:, 0, 0].argmax(-1)
    assert (border == CELLS.index("#")).all()


def test_cell_accuracy_counts_the_cells_inside_the_grid(goal_data: ProbeData) -> None:
    true = goal_data.maps[goal_data.test]
    perfect = np.eye(len(CELLS))[true]
    assert (cell_accuracy(goal_data, perfect) == 1).all()
    perfect[:, 0, 0] = np.eye(len(CELLS))[CELLS.index("_")]  # a corner of wall
    perfect[true == PADDING] = np.eye(len(CELLS))[CELLS.index("_")]  # padding does not count
    size = goal_data.sizes[goal_data.test]
    assert cell_accuracy(goal_data, perfect) == pytest.approx(1 - 1 / size**2)
    table = map_rows(goal_data, perfect, {"probe": "mlp"}).set_index(["metric", "padding"])["estimate"]
    assert table["accuracy", "without"] == pytest.approx(1 - len(size) / (size**2).sum())


def test_maps_are_read_where_they_are_and_shuffling_leaves_only_the_size(goal_data: ProbeData) -> None:
    spec = goal_data.spec.model_copy(update={"hidden": (64,), "probe_epochs": 150})
    data = ProbeData(spec, goal_data.steps)
    row = PROPERTIES["agent_row"](data)
    h = np.concatenate([0.1 * told(data), np.eye(9)[row], np.eye(2)[data.sizes // 2 - 3]], axis=1).astype(np.float32)
    found, loss = decode_maps(data, h, "mlp")
    other, chance = decode_maps(data, h, "mlp", shuffle=True)
    assert 0 < loss < chance
    padding = data.maps[data.test] == PADDING
    for proba in (found, other):  # partners are of the same size
        assert ((proba.argmax(-1) == PADDING) == padding).mean() > 0.9
    off = [np.abs(locate(proba, "A")[:, 0] - row[data.test]).mean() for proba in (found, other)]
    assert off[0] < 0.5 * off[1]
    rows = data.sizes == 7
    assert decode_maps(data, h, "linear", rows=rows)[0].shape == ((rows & data.test).sum(), 9, 9, len(CELLS))


def test_plans_are_read_where_they_are_and_not_from_shuffled_pairs(goal_data: ProbeData) -> None:
    h = told(goal_data)
    h[:, :30] += 6 * np.eye(5)[goal_data.plans].reshape(len(h), -1)
    right, true = {}, goal_data.plans[goal_data.test]
    for shuffle in (False, True):
        proba = decode_plans(goal_data, h, 0, shuffle=shuffle)
        right[shuffle] = prefix_right(goal_data, proba)
        wanted = [
            [(p.argmax(-1)[: n + 1] == t[: n + 1]).all() for n in range(6)] for p, t in zip(proba, true, strict=True)
        ]
        assert right[shuffle].tolist() == wanted
    assert right[False][:, 0].mean() > 0.8 > 0.6 > right[True][:, 0].mean()
    table = plan_rows(goal_data, proba, {"control": "shuffled", "decoder": 0})
    assert set(table["control"]) == {"shuffled"} and len(table) == 12  # 6 prefixes, PAD counted or not
    own = plan_rows(goal_data, proba, {"control": "none", "decoder": 0})
    assert set(own["control"]) == {"none", "uniform", "majority"}


def test_the_decoder_of_plans_reads_each_activation(goal_data: ProbeData) -> None:
    proba = decode_plans(goal_data, told(goal_data), 1)
    assert proba.shape == (goal_data.test.sum(), 6, 5) and proba.sum(-1) == pytest.approx(1)


def test_distance_and_properties_are_read_above_the_untrained_and_the_shuffled(goal_data: ProbeData) -> None:
    y = PROPERTIES["goal_right"](goal_data)
    h, noise = told(goal_data, a=goal_data.steps["distance"], b=2 * y), told(goal_data, seed=1)
    distance = distance_rows(goal_data, h, noise).set_index(["metric", "control"])
    assert distance.loc[("r2", "none"), "estimate"] > 0.9
    assert (distance.loc["r2"].drop("none")["difference_low"] > 0.3).all()
    side = target_rows(goal_data, h, noise, "goal_right", mdl=True).set_index(["metric", "control"])
    assert side.loc[("accuracy", "none"), "estimate"] == 1
    assert side.loc[("compression", "none"), "estimate"] > 1.5 > side.loc[("compression", "shuffled"), "estimate"]


def test_properties_say_what_the_layouts_say(goal_data: ProbeData) -> None:
    layouts, steps = probe_layouts(goal_data.spec).layouts, goal_data.steps
    values = {name: target(goal_data) for name, target in PROPERTIES.items()}
    for i, row in enumerate(steps.itertuples()):
        layout, state = layouts[row.layout], State((row.row, row.column))
        assert (values["goal_row"][i], values["goal_column"][i]) == layout.goal
        assert (values["agent_row"][i], values["agent_column"][i]) == state.cell
        for move in Move:
            assert values[f"wall_{move.name.lower()}"][i] == (layout.after(state, move) == state)
        side = np.sign(layout.goal[1] - row.column)
        assert values["goal_right"][i] == {-1: 0, 0: -1, 1: 1}[side]
        assert values["move"][i] == row.move


def test_classes_of_a_single_group_are_left_out_and_a_constant_is_an_error(goal_data: ProbeData, monkeypatch) -> None:
    rare = goal_data.groups == goal_data.groups[0]
    monkeypatch.setitem(PROPERTIES, "rare", lambda data: np.where(rare, 7, data.groups % 2))
    found = target_rows(goal_data, told(goal_data), told(goal_data, 1), "rare")
    assert found["estimate"].notna().any()
    monkeypatch.setitem(PROPERTIES, "rare", lambda data: np.where(rare, 7, 1))
    with pytest.raises(DataError, match="rare: fewer than two classes occur in several groups"):
        target_rows(goal_data, told(goal_data), told(goal_data, 1), "rare")


def test_balanced_cell_accuracy_is_the_mean_recall_of_the_classes_of_each_state(goal_data: ProbeData) -> None:
    true = goal_data.maps[goal_data.test]
    assert (balanced_cell_accuracy(goal_data, np.eye(len(CELLS))[true]) == 1).all()
    walls = np.eye(len(CELLS))[np.full_like(true, CELLS.index("#"))]  # says wall everywhere
    classes = [len(set(state.ravel()) - {PADDING}) for state in true]
    assert balanced_cell_accuracy(goal_data, walls) == pytest.approx(1 / np.array(classes))
    assert cell_accuracy(goal_data, walls).mean() > balanced_cell_accuracy(goal_data, walls).mean()


def test_the_control_without_walls_keeps_all_but_the_walls(goal_data: ProbeData) -> None:
    true, bare = goal_data.maps[goal_data.test], without_walls(goal_data).argmax(-1)
    wall = true == CELLS.index("#")
    assert (bare[wall] == CELLS.index("_")).all() and (bare[~wall] == true[~wall]).all()


def test_maps_are_the_pictures_that_the_agent_was_shown(goal_data, small_spec) -> None:
    layouts = probe_layouts(small_spec).layouts
    maps = goal_data.maps
    assert maps.shape == (len(goal_data.steps), 9, 9)
    for row, cells in zip(goal_data.steps.itertuples(), maps, strict=True):
        picture = GridText().picture(layouts[row.layout], State((row.row, row.column)))
        shown, _ = read_grid(picture)
        drawn = ["".join(CELLS[c] for c in line).rstrip() for line in cells if (line != PADDING).any()]
        assert drawn == ["".join(line.split()[1:]) for line in picture.splitlines()[1:]]
        assert np.argwhere(cells == CELLS.index("A")).tolist() == [[row.row, row.column]]
        assert (cells == PADDING).sum() == 81 - shown.size**2
