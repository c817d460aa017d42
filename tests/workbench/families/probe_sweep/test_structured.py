"""Maps and plans as targets of a sweep: the scores of a direct fit, controls on the same rows, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probes.folds import group_holdout
from probes.structured import lead
from workbench.errors import DataError, SpecError
from workbench.families.probe_sweep import SweepSpec, make_plan, run
from workbench.families.probe_sweep.structured import evaluate_structured
from workbench.runs import load_results
from workbench.statistics import cluster_bootstrap_difference
from workbench.worlds.grids.probes.cognitive_map import CognitiveMapProbe, map_scores
from workbench.worlds.grids.probes.map_target import read_maps
from workbench.worlds.grids.probes.plan import LinearPlanProbe, plan_scores
from workbench.worlds.grids.probes.plan_target import read_plans, write_plans

GROUPS = np.arange(120) // 4
MAP_PARAMS = {"hidden": [32, 16], "epochs": 12, "lr": 5e-3, "coordinates": "one-hot"}


@pytest.fixture(scope="module")
def grids():
    """120 grids of sizes 3 and 4 with an agent each, and activations that hold the place of the agent."""
    rng = np.random.default_rng(0)
    labels, x = [], np.zeros((120, 8))
    for row, group in enumerate(GROUPS):
        size = 3 + group % 2
        cells = np.full((size, size), "_")
        at = rng.integers(0, size, 2)
        cells[tuple(at)] = "A"
        x[row, at[0]] = x[row, 4 + at[1]] = 1
        labels.append("/".join("".join(line) for line in cells))
    return x + 0.01 * rng.normal(size=x.shape), labels


@pytest.fixture(scope="module")
def plans():
    """120 plans of 1 to 5 moves, and activations that hold the first three of them."""
    rng = np.random.default_rng(1)
    labels = ["".join(rng.choice(list("LRUD"), rng.integers(1, 6))) for _ in range(120)]
    x = np.eye(5)[read_plans(labels, 3)].reshape(120, -1)
    return x + 0.01 * rng.normal(size=x.shape), labels


def spec_of(task, **changes):
    fields = {"source": {"kind": "grid-states"}, "targets": [task], "probes": ["plan"], "holdout": 0.25}
    return SweepSpec.model_validate(fields | {"resamples": 60, "controls": []} | changes)


def cell(data, task, params, untrained=None, **changes):
    x, labels = data
    table = evaluate_structured(spec_of(task, **changes), task, params, x, labels, GROUPS, 3, untrained)
    return table.set_index(["control", "metric", "label"])


def test_maps_score_as_a_direct_fit_on_the_same_split(grids):
    x, labels = grids
    maps, test = read_maps(labels), group_holdout(GROUPS, 0.25, 3, [label.count("/") for label in labels])
    probe = CognitiveMapProbe(size=4, random_state=3, **MAP_PARAMS).fit(x[~test], maps[~test], GROUPS[~test])
    direct = map_scores(maps[test], probe.predict_proba(x[test]), GROUPS[test], 60, 3)
    direct = direct.set_index(["metric", "cell_class", "padding"])
    found = cell(grids, "map", MAP_PARAMS, per_class=True)
    numbers = ["estimate", "low", "high"]
    for ours, theirs in (
        (("none", "accuracy", ""), ("accuracy", "", "without")),
        (("none", "balanced_accuracy_padded", ""), ("balanced_accuracy", "", "with")),
        (("none", "recall", "A"), ("recall", "A", "without")),
        (("none", "manhattan", "A"), ("manhattan", "A", "with")),
    ):
        np.testing.assert_array_equal(found.loc[ours, numbers].astype(float), direct.loc[theirs, numbers])
    assert found.loc[("none", "recall", "A"), "estimate"] > 0.8, "the activations hold the agent"


@pytest.mark.parametrize("metric", ["accuracy", "accuracy_padded", "balanced_accuracy", "balanced_accuracy_padded"])
def test_differences_of_maps_are_those_of_the_estimates(grids, metric):
    x = grids[0]
    controls = ["majority", "shuffled", "untrained", "other_groups", "random_features"]
    found = cell(grids, "map", MAP_PARAMS, np.zeros_like(x), controls=controls, per_class=True)
    for label in ("", "size 3", "size 4"):
        own = found.loc[("none", metric, label)]
        assert np.isnan(own["difference"])
        for control in controls:
            row = found.loc[(control, metric, label)]
            assert row["difference"] == pytest.approx(own["estimate"] - row["estimate"], abs=1e-9)
            assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert (found.xs("balanced_accuracy", level="metric").xs("", level="label")["difference_low"].dropna() > 0).all()


def test_majority_of_maps_is_that_of_grids_of_the_same_size(grids):
    found = cell(grids, "map", MAP_PARAMS, controls=["majority"])
    assert found.loc[("majority", "balanced_accuracy_padded", ""), "estimate"] == pytest.approx(2 / 3)  # all but A
    assert found.loc[("majority", "accuracy_padded", ""), "estimate"] > 0.9


def test_other_groups_maps_are_of_the_same_size(grids):
    """Padding that is decoded without fail stays right when maps are exchanged; only the agents are misplaced."""
    x, labels = grids
    marked = np.concatenate([x, [[label.count("/")] for label in labels]], 1)
    found = cell((marked, labels), "map", MAP_PARAMS | {"epochs": 40}, controls=["other_groups"])
    own, other = (found.loc[(control, "accuracy_padded", ""), "estimate"] for control in ("none", "other_groups"))
    assert own > 0.97 and 0.85 < other < 0.95, "at most two of the 16 cells of an exchanged map are wrong"


def test_plans_score_as_a_direct_fit_on_the_same_split(plans):
    x, labels = plans
    moves, test = read_plans(labels, 4), group_holdout(GROUPS, 0.25, 3)
    said = LinearPlanProbe().fit(x[~test], moves[~test], GROUPS[~test]).predict(x[test])
    direct = plan_scores(moves[test], said, GROUPS[test], moves[~test], 60, 3)
    direct = direct.set_index(["control", "metric", "padding"])
    found = cell(plans, "plan", {"layers": 0, "horizon": 4}, controls=["majority"])
    for control in ("none", "uniform", "majority"):
        for metric in ("prefix@1", "prefix@3", "prefix@4"):
            for end, padding in (("", "without"), ("_padded", "with")):
                ours = found.loc[(control, f"{metric}{end}", ""), list(direct.columns[1:])].astype(float)
                np.testing.assert_array_equal(ours, direct.loc[(control, metric, padding)].iloc[1:].astype(float))
    assert found.loc[("none", "prefix@3_padded", ""), "estimate"] == 1.0
    assert found.loc[("none", "prefix@4", ""), "estimate"] < 0.8


def test_controls_of_plans_are_paired_on_the_same_rows(plans):
    x = plans[0]
    controls = ["shuffled", "untrained", "other_groups"]
    found = cell(plans, "plan", {"layers": 0, "horizon": 3}, np.zeros_like(x), controls=controls)
    assert set(found.index.get_level_values("control")) == {"none", *controls}
    for control in controls:
        for metric in ("prefix@1", "prefix@2_padded", "prefix@3"):
            row = found.loc[(control, metric, "")]
            assert row["difference"] == pytest.approx(
                found.loc[("none", metric, ""), "estimate"] - row["estimate"], abs=1e-9
            )
        assert found.loc[(control, "prefix@1", ""), "difference_low"] > 0.3


def test_decoders_take_their_layers_and_the_cells_seed(plans):
    params = {"layers": 2, "width": 32, "feedforward": 32, "horizon": 3, "epochs": 12, "batch_size": 16, "lr": 3e-3}
    first, again = (cell(plans, "plan", params) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert first.loc[("none", "prefix@1", ""), "estimate"] > 0.7
    other = params | {"epochs": 2}
    assert not cell(plans, "plan", other | {"random_state": 8}).equals(cell(plans, "plan", other))


def test_leads_are_paired_cluster_bootstrap_differences():
    rng = np.random.default_rng(2)
    ours, theirs = (rng.integers(0, 2, 80).astype(float) for _ in range(2))
    groups, ones = np.arange(80) // 5, np.ones((80, 1))
    found = lead((ours[:, None], ones), (theirs[:, None], ones), groups, 500, 0)
    oracle = cluster_bootstrap_difference(ours, theirs, groups, groups, resamples=500, seed=0)
    np.testing.assert_allclose(list(found.values()), [oracle.estimate, oracle.low, oracle.high], atol=1e-12)


def test_plans_are_written_as_they_are_read():
    labels = ["RRD", "L", "UDUD"]
    assert write_plans(read_plans(labels, 6)) == labels


@pytest.mark.parametrize("label", ["RXD", "", "rrd"])
def test_a_label_that_is_no_plan_is_an_error(label):
    with pytest.raises(DataError, match=r"row 1: .* is no plan; write moves by their letters, LRUD"):
        read_plans(["R", label])


def test_a_single_group_of_a_size_is_an_error(grids):
    x, _ = grids
    with pytest.raises(DataError, match="are of one group: add groups"):
        evaluate_structured(
            spec_of("map", controls=["other_groups"]), "map", MAP_PARAMS | {"epochs": 1}, x[:24],
            ["A_/__"] * 12 + ["A__/___/___"] * 12, np.repeat(range(4), 6), 3,
        )  # fmt: skip


@pytest.fixture
def map_texts(sweep_base, tmp_path):
    """Texts of a table with a column of maps, of plans and of a size."""
    import shutil

    base = shutil.copytree(sweep_base, tmp_path / "base")
    table = pd.read_csv(base / "texts.csv")
    table["grid"] = ["A_/__" if kind == "early" else "__/_A" for kind in table["kind"]]
    table["next"] = ["RD" if kind == "early" else "LLU" for kind in table["kind"]]
    table.to_csv(base / "texts.csv", index=False)
    return base


STRUCTURED = [{"column": "grid", "task": "map"}, {"column": "next", "task": "plan"}]
FIELDS = {
    "targets": [*STRUCTURED, "kind"],
    "probes": {"cognitive-map": {"kind": ["linear", "mlp"], "hidden": [[8]], "epochs": 2},
               "plan": {"layers": 0}, "mass-mean": None},
    "holdout": 0.3, "controls": ["majority", "shuffled", "untrained", "other_groups"], "sites": [1],
}  # fmt: skip


def test_maps_and_plans_of_any_source_are_swept_beside_plain_targets(sweep_fields, map_texts, tmp_path):
    path = run(SweepSpec.model_validate(sweep_fields | FIELDS), tmp_path / "runs", base=map_texts, jobs=1)
    rows = load_results(path)
    assert set(rows["status"]) == {"ok"}
    cells = rows.groupby("task")["cell"].nunique().to_dict()
    assert cells == {"map": 2, "plan": 1, "classification": 1}
    controls = {"none", "majority", "shuffled", "untrained", "other_groups"}
    of_task = rows.groupby("task")["control"].agg(set).to_dict()
    assert of_task == {"map": controls, "classification": controls, "plan": {*controls, "uniform"}}
    assert set(rows["rows"]) == {60} and rows["params"].str.startswith("{").all()
    best = rows[(rows["metric"] == "accuracy") & (rows["control"] == "none") & (rows["label"] == "")]
    assert best.pivot_table(index="layer", columns="probe", values="estimate").shape == (1, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"holdout": None}, "holdout: probes of the target 'grid' are fitted once, not in folds; add holdout: 0.2"),
        ({"controls": ["control_task"], "types": "kind"}, "controls: 'control_task' is not for the target 'grid'"),
        ({"probes": {"cognitive-map": {"kind": "mlp", "hiden": [[8]]}}}, "'hiden'; did you mean 'hidden'"),
        ({"probes": {"plan": {"layer": 1}}}, "probe 'plan' has no parameter 'layer'; did you mean 'layers'"),
        ({"probes": {"plan": {"preset": "papr"}}}, "unknown preset 'papr'; did you mean 'paper'"),
        ({"probes": ["mass-mean", "plan"]}, "none is for the map target 'grid': add one .cognitive-map"),
    ],
)
def test_what_is_not_done_with_maps_and_plans_is_said_first(sweep_fields, map_texts, changes, said):
    with pytest.raises(SpecError, match=said):
        make_plan(SweepSpec.model_validate(sweep_fields | FIELDS | changes), map_texts)
