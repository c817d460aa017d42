"""The causal check on a model that is known: its head reads the fitted direction as RIGHT, its opposite as LEFT."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.errors import DataError
from workbench.families.goal_directedness.causal import _Decision, _flattened, _Tested, causal_rows, choose_places
from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.sites import Site
from workbench.worlds.grids.agents.probed_states import agent_of
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.maze_sets import probe_layouts
from workbench.worlds.moves import Move

LAYER = 1  # the last of the tiny model


@pytest.fixture(scope="module")
def places(goal_data) -> pd.DataFrame:
    steps = goal_data.steps.assign(group=goal_data.groups, test=goal_data.test)
    return choose_places(goal_data.spec, steps, probe_layouts(goal_data.spec).layouts)


@pytest.fixture(scope="module")
def layouts(small_spec):
    return probe_layouts(small_spec).layouts


def where(places: pd.DataFrame, layouts) -> list:
    return [(layouts[p.layout], State((p.row, p.column))) for p in places.itertuples()]


@pytest.fixture(scope="module")
def reader(tiny_grid, small_spec, places, layouts) -> LanguageModel:
    """The tiny model, its logits of RIGHT and LEFT plus and minus the component along the direction."""
    decision = _Decision(tiny_grid, agent_of(tiny_grid, small_spec, "direct"), Site(LAYER))
    x, right = decision.read(where(places, layouts)), places["right"].to_numpy()
    known = ~places["test"].to_numpy()
    unit = x[known & right].mean(0) - x[known & ~right].mean(0)
    hf_model = copy.deepcopy(tiny_grid.backend.hf_model)
    head = torch.zeros_like(hf_model.lm_head.weight)
    for move, sign in ((Move.RIGHT, 1), (Move.LEFT, -1)):
        (token,) = tiny_grid.encode_continuation(f" {int(move)}")
        head[token] = sign * torch.from_numpy(unit / np.linalg.norm(unit))
    hf_model.lm_head.weight = torch.nn.Parameter(head, requires_grad=False)
    return LanguageModel(HuggingFaceBackend(hf_model), tiny_grid.tokenizer, "reader")


@pytest.fixture(scope="module")
def table(reader, small_spec, places, layouts) -> pd.DataFrame:
    spec = small_spec.model_copy(update={"multipliers": (-2.0, -1.0, 1.0, 2.0), "random_directions": 3})
    rows = causal_rows(reader, spec, LAYER, places, layouts)
    return pd.DataFrame(rows).set_index(["kind", "direction", "multiplier", "metric"])


def test_places_are_distinct_and_on_one_side_of_the_goal(goal_data, places, layouts) -> None:
    assert not places.duplicated(["layout", "row", "column", "has_key"]).any()
    goals = np.array([layouts[i].goal[1] for i in places["layout"]])
    assert (goals != places["column"]).all() and (places["right"] == (goals > places["column"])).all()
    assert len(places) == goal_data.spec.causal_states and places["test"].sum() == 12  # 30% of 40
    merged = places.merge(goal_data.steps.assign(held=goal_data.test), on=["layout", "rollout", "step"])
    assert (merged["test"] == merged["held"]).all()


def test_steering_along_the_direction_moves_the_agent_that_way(table: pd.DataFrame) -> None:
    shift = [table.loc[("steer", "probe", dose, "shift")] for dose in (-2.0, -1.0, 1.0, 2.0)]
    estimates = [row["estimate"] for row in shift]
    assert estimates == sorted(estimates) and estimates[1] < 0 < estimates[2]
    assert shift[0]["high"] < 0 < shift[-1]["low"]
    lead = table.loc[("steer", "probe less random", 2.0, "shift")]
    random = table.loc[("steer", "random", 2.0, "shift"), "estimate"]
    assert lead["estimate"] == pytest.approx(estimates[-1] - random) and lead["low"] > 0


def test_doses_are_lengths_as_shares_of_the_norm_at_the_decision(reader, small_spec, places, layouts) -> None:
    spec = small_spec.model_copy(update={"multipliers": None, "doses": (-0.3, 0.6)})
    table = pd.DataFrame(causal_rows(reader, spec, LAYER, places, layouts))
    known = places[~places["test"]]
    x = _Decision(reader, agent_of(reader, spec, "direct"), Site(LAYER)).read(where(known, layouts))
    right = known["right"].to_numpy()
    length, norms = np.linalg.norm(x[right].mean(0) - x[~right].mean(0)), np.sort(np.linalg.norm(x, axis=1))
    norm = norms[(len(norms) - 1) // 2]
    steered = table[table["kind"] == "steer"].drop_duplicates("dose").set_index("dose")["multiplier"]
    assert steered.to_dict() == pytest.approx({-0.3: -0.3 * norm / length, 0.6: 0.6 * norm / length}, rel=1e-4)
    raw = small_spec.model_copy(update={"multipliers": tuple(steered)})
    same = pd.DataFrame(causal_rows(reader, raw, LAYER, places, layouts))
    columns = ["multiplier", "dose", "estimate", "low", "high"]
    np.testing.assert_allclose(table[columns].fillna(0), same[columns].fillna(0), atol=1e-5)


def test_erasing_the_direction_closes_the_gap_and_a_random_one_does_not(reader, small_spec, places, layouts) -> None:
    known = places[~places["test"]]  # measured where it was fitted: there the classes' means become equal
    both = pd.concat([known, known.assign(test=True)], ignore_index=True)
    spec = small_spec.model_copy(update={"multipliers": (1.0,), "random_directions": 3, "top_p": 1.0})
    table = pd.DataFrame(causal_rows(reader, spec, LAYER, both, layouts))
    gap = table[(table["metric"] == "gap") & (table["kind"] != "steer")].set_index("direction")["estimate"]
    assert gap["none"] > 0
    assert abs(gap["probe"]) < 0.25 * gap["none"] and gap["random"] > 0.5 * gap["none"]
    assert gap["probe less random"] == pytest.approx(gap["probe"] - gap["random"])


def test_the_unsteered_agent_differs_from_itself_by_nothing(table: pd.DataFrame) -> None:
    for metric in ("shift", "accuracy_change"):
        row = table.loc[("none", "none", 0.0, metric)]
        assert (row["estimate"], row["low"], row["high"]) == (0, 0, 0)


def test_accuracy_and_its_change_are_means_over_the_tested_places(reader, small_spec, places, layouts, table) -> None:
    tested = where(places[places["test"]], layouts)
    p = agent_of(reader, small_spec, "direct").probabilities(tested)
    best = [sum(p[i, move] for move in layout.optimal_moves(state)) for i, (layout, state) in enumerate(tested)]
    assert table.loc[("none", "none", 0.0, "accuracy"), "estimate"] == pytest.approx(np.mean(best))
    steered = table.loc[("steer", "probe", 2.0, "accuracy"), "estimate"]
    assert table.loc[("steer", "probe", 2.0, "accuracy_change"), "estimate"] == pytest.approx(steered - np.mean(best))


def test_only_the_token_before_the_move_is_read_and_changed(tiny_grid, small_spec, places, layouts) -> None:
    decision = _Decision(tiny_grid, agent_of(tiny_grid, small_spec, "direct"), Site(0))
    assert tiny_grid.decode(decision.agent.opening) == '{"action":'
    (place,) = where(places, layouts)[:1]
    prompt = decision.agent.prompt(*place)
    z = tiny_grid.forward([prompt + decision.agent.opening], [0]).activations[Site(0)][0, -1]
    torch.testing.assert_close(torch.from_numpy(decision.read([place])[0]), z, rtol=1e-4, atol=1e-4)
    seen = []

    class Watched:
        site, scope = decision.site, decision.scope

        def __call__(self, activation, where):
            touched = self.scope.mask(where)
            seen.extend((where.positions - where.prompt_lengths)[touched].tolist())
            return activation

    _Tested(decision, [place]).play(Watched())
    assert set(seen) == {len(decision.agent.opening) - 1}


def test_a_random_direction_is_erased_to_its_mean_as_leace_does() -> None:
    rng = np.random.default_rng(0)
    x, v = rng.normal(size=(9, 6)) + 5, rng.normal(size=6)
    v /= np.linalg.norm(v)
    matrix, bias = _flattened(v, x.mean(0))
    found = x @ matrix.T + bias
    assert found @ v == pytest.approx(np.full(9, x.mean(0) @ v)) and found.mean(0) == pytest.approx(x.mean(0))
    assert found - np.outer(found @ v, v) == pytest.approx(x - np.outer(x @ v, v))


def test_dose_zero_equals_unsteered_bit_for_bit(tiny_grid, small_spec, places, layouts) -> None:
    decision = _Decision(tiny_grid, agent_of(tiny_grid, small_spec, "direct"), Site(0))
    some, d = _Tested(decision, where(places, layouts)[:5]), tiny_grid.d_model
    plain = some.play()
    for intervention in (decision.add(np.ones(d), 0.0), decision.affine(np.eye(d), np.zeros(d))):
        steered = some.play(intervention)
        assert all(np.array_equal(a, b) for a, b in zip(plain, steered, strict=True))
    moved = some.play(decision.add(np.random.default_rng(0).normal(size=d), 5.0))
    assert not np.array_equal(plain[0], moved[0])


def test_places_that_cannot_be_measured_are_one_clear_error(tiny_grid, small_spec, places, layouts) -> None:
    for few in (places[~places["test"]], places[places["test"] | places["right"]]):
        with pytest.raises(DataError, match=r"causal check: .* raise causal_states or probe_layouts"):
            causal_rows(tiny_grid, small_spec, 0, few.reset_index(drop=True), layouts)
