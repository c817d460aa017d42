"""A whole run: its tables, what it does when it is killed, and that side by side gives what one by one gives."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from tests.killing import all_end, kill_run, python
from workbench.errors import MissingExtraError, ModelError, SiteError, SpecError
from workbench.families import plan, run
from workbench.families.internal_rl import INTERNAL_RL, InternalRLSpec
from workbench.families.internal_rl import reinforcement as reinforcement_module
from workbench.families.internal_rl.discovery import site_of
from workbench.families.internal_rl.reinforcement import _chosen
from workbench.families.internal_rl.spec import METHODS, RL_TASKS
from workbench.runs import load_run
from workbench.sites import Site

pytestmark = pytest.mark.slow

ESTIMATE = ("estimate", "low", "high")
TABLES = {
    "base": ("model", "measure", *ESTIMATE),
    "beliefs": ("model", "share", "site", "layer", "control", "measure", *ESTIMATE),
    "controllers": ("site", "layer", "control", "task", "measure", *ESTIMATE),
    "discovery": ("condition", "seed", "alpha", "measure", *ESTIMATE),
    "discovery_over_seeds": ("condition", "seeds", "measure", *ESTIMATE),
    "rate_distortion": ("condition", "alpha", "seed", "kl", "nll", "hard_nll", "switches"),
    "curves": ("method", "task", "seed", "update", "episodes", "success", "progress", "decisions", "std"),
    "final": ("method", "task", "seeds", "measure", *ESTIMATE),
    "final_by_seed": ("method", "task", "seed", "measure", *ESTIMATE),
    "gates": ("stage", "measure", "value", "low", "high", "bar", "passed", "where"),
    "claims": ("claim", "on", "held", "evidence", *ESTIMATE),
    "episodes": ("task", "episode", "step", "agent", "next", "move", "target", "subgoal", "gate", "switched", "segment",
                 "code_0", "code_1", "success", "progress", "chosen", "played", "sequence", "size", "colours", "walls"),
}  # fmt: skip


@pytest.fixture(scope="module")
def record(internal_run: Path):
    return load_run(internal_run)


def same(a, b) -> None:
    """Both runs have the same rows and tables, bit for bit."""
    assert sorted(a.steps()) == sorted(b.steps())
    for step in a.steps():
        pd.testing.assert_frame_equal(a.read(step), b.read(step), check_exact=True, obj=step)
    for name in TABLES:
        pd.testing.assert_frame_equal(a.load_table(name), b.load_table(name), check_exact=True, obj=name)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_there_with_its_columns(record, name: str) -> None:
    table = record.load_table(name)
    assert len(table) and set(table.columns) == set(TABLES[name])


def test_the_plan_names_the_steps_that_a_run_does(record, internal_spec: InternalRLSpec) -> None:
    assert [step.name for step in plan(INTERNAL_RL, internal_spec)] == record.steps()
    assert record.status.state == "finished"


def test_every_method_meets_the_expert_in_the_same_worlds(record, internal_spec: InternalRLSpec) -> None:
    final = record.load_table("final")
    for task in ("held-out", "seen transitions"):
        success = final[(final["task"] == task) & (final["measure"] == "success")].set_index("method")
        assert set(success.index) == {*METHODS, "expert"}
        assert success.loc["internal RL", "seeds"] == 2 and success.loc["CompILE", "seeds"] == 1
        assert success["estimate"].max() == success.loc["expert", "estimate"] > 0.5
    relative = final[(final["method"] == "expert") & (final["measure"] == "relative")]
    assert (relative["estimate"] == 1).all()


def test_every_probe_stands_beside_its_bounds(record) -> None:
    beliefs = record.load_table("beliefs")
    of_base = beliefs[(beliefs["model"] == "base") & (beliefs["measure"] == "accuracy")]
    for _, at in of_base.groupby("layer"):
        assert set(at["control"]) == {"none", "majority", "shuffled", "untrained", "bayes"}
        assert at["estimate"].max() == at.set_index("control").loc["bayes", "estimate"]
    assert set(of_base["layer"]) == {0, 1, 2, 3}
    assert set(beliefs.loc[beliefs["model"] == "second base", "share"]) == {0.0, 1.0}


def test_the_failed_gate_is_named(record) -> None:
    gates, summary = record.load_table("gates"), record.read_json("summary")
    assert list(gates["stage"].unique()) == ["base", "controllers", "discovery"]
    failed = gates[~gates["passed"]]
    assert len(failed) and len(summary["failed_gates"]) == len(failed)
    assert summary["first_failed_gate"].startswith("base: gap")  # an untrained base knows nothing
    assert not record.load_table("claims")["held"].all()


def test_every_claim_of_the_paper_is_judged(record) -> None:
    table = record.load_table("claims")
    assert list(table["claim"].unique()) == [claim.name for claim in INTERNAL_RL.claims()]
    for method in set(METHODS) - {"internal RL"}:
        assert list(table.loc[table["claim"] == f"internal RL above {method}", "on"]) == [*RL_TASKS]


def test_shown_episodes_are_walks(record) -> None:
    episodes = record.load_table("episodes")
    for _, steps in episodes.groupby(["task", "episode"]):
        assert (steps["agent"].to_numpy()[1:] == steps["next"].to_numpy()[:-1]).all()
        assert steps["gate"].iloc[0] == 1 and (steps["segment"].diff().dropna() == steps["switched"].iloc[1:]).all()
        held = ~steps["switched"].to_numpy()[1:]
        codes = steps[["code_0", "code_1"]].to_numpy()
        assert (codes[1:][held] == codes[:-1][held]).all() and (codes[1:][~held] != codes[:-1][~held]).all()


def test_shown_episodes_say_whether_they_were_picked(record) -> None:
    episodes = record.load_table("episodes")
    for task, steps in episodes.groupby("task"):
        each = steps.groupby("episode")[["chosen", "progress", "played", "sequence"]].first()
        assert each["chosen"].tolist() == ["first", "farthest"] and (each["played"] == 256).all()
        assert set(each["sequence"]) == {"0,1,2,3" if task == "held-out" else "0,2,1"}
        reached = steps.groupby("episode")["target"].nunique()
        assert (reached <= each["progress"] + 1).all()  # a picked episode is not passed off as a usual one


def test_one_shown_episode_still_means_one_of_each_kind() -> None:
    assert _chosen(torch.tensor([3, 0, 1]), 1) == [(0, "first"), (2, "farthest")]
    assert _chosen(torch.tensor([0, 0, 5, 1, 5]), 4) == [(0, "first"), (1, "first"), (2, "farthest"), (4, "farthest")]


def test_an_interrupted_run_goes_on_to_the_same_tables(
    record, internal_spec: InternalRLSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = internal_spec.model_copy(update={"methods": ("internal RL",), "alphas": (), "history": (), "seeds": 1})
    genuine = reinforcement_module.reinforce

    def killed(*args, **options):
        genuine(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reinforcement_module, "reinforce", killed)
        with pytest.raises(KeyboardInterrupt):
            run(INTERNAL_RL, small, tmp_path, "small")
    halfway = load_run(tmp_path / "internal-rl" / "small")
    assert halfway.status.state == "interrupted" and "discovery-frozen-0" in halfway.steps()
    again = load_run(run(INTERNAL_RL, small, tmp_path, "small"))
    for step in again.steps():
        if step != "shown":
            pd.testing.assert_frame_equal(again.read(step), record.read(step), check_exact=True)


def test_a_run_of_two_processes_that_is_killed_and_resumed_equals_one_process(
    record, internal_spec: InternalRLSpec, tmp_path: Path
) -> None:
    spec = internal_spec.model_copy(update={"jobs": 2})
    code = (
        "import sys; from workbench.families import get_family, run; f = get_family('internal-rl')\n"
        "run(f, f.spec.model_validate_json(sys.argv[1]), sys.argv[2], 'killed')"
    )
    folder = tmp_path / "internal-rl" / "killed"
    workers = kill_run(folder, 2, python(code, spec.model_dump_json(), tmp_path), kind="discovery-*")
    assert workers  # the work was done elsewhere...
    assert all_end(workers)  # ...and nobody goes on without the owner of the folder
    assert json.loads((folder / "status.json").read_text())["state"] == "running"  # it had no time to say otherwise
    same(load_run(run(INTERNAL_RL, spec, tmp_path, "killed")), record)


def test_a_failed_gate_can_stop_the_run(internal_spec: InternalRLSpec, tmp_path: Path) -> None:
    spec = internal_spec.model_copy(
        update={"methods": ("internal RL",), "alphas": (), "history": (), "seeds": 1, "stop_at_gate": True}
    )
    found = load_run(run(INTERNAL_RL, spec, tmp_path))
    assert not [step for step in found.steps() if step.startswith(("rl-", "ceiling", "shown"))]
    assert found.status.state == "finished" and "final.parquet" not in found.artifacts
    assert found.read_json("summary")["first_failed_gate"].startswith("base: gap")


def test_what_cannot_be_run_is_refused_before_a_folder_is_made(
    internal_spec: InternalRLSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpecError, match=r"layer 3 does not exist: .* has layers 0 to 2"):
        run(INTERNAL_RL, internal_spec.model_copy(update={"layer": 3}), tmp_path / "new")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="tensorboard"):
        run(INTERNAL_RL, internal_spec.model_copy(update={"tensorboard": True}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_negative_layer_is_the_true_one_of_the_base_model() -> None:
    base = SimpleNamespace(n_layers=3)
    assert site_of(SimpleNamespace(spec=SimpleNamespace(layer=-1), base=base)) == Site(2)  # type: ignore[arg-type]
    with pytest.raises(SiteError, match="layers 0 to 2"):
        site_of(SimpleNamespace(spec=SimpleNamespace(layer=3), base=base))  # type: ignore[arg-type]


def test_without_a_layer_the_site_is_where_supervised_controllers_are_best_on_the_held_out_task() -> None:
    rows = [
        {"site": str(site), "layer": depth, "control": control, "task": task, "measure": "success", "estimate": value}
        for depth, site in enumerate((Site(0, "resid_pre"), Site(0), Site(1)))
        for control, task, value in (
            ("supervised", "held-out", (0.1, 0.6, 0.6)[depth]),
            ("supervised", "pretraining", depth / 2),
            ("random", "held-out", depth / 2),
        )
    ]
    run = SimpleNamespace(spec=SimpleNamespace(layer=None), gather=lambda kind: pd.DataFrame(rows))
    assert site_of(run) == Site(0)  # type: ignore[arg-type]


def test_a_base_of_another_kind_is_one_clear_error(internal_spec: InternalRLSpec, tmp_path: Path) -> None:
    spec = internal_spec.model_copy(update={"base": "grid-agent"})
    with pytest.raises(ModelError, match="grid-agent reads text, not observations"):
        run(INTERNAL_RL, spec, tmp_path)
