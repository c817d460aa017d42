"""From a sweep file to cells: every combination once, and mistakes that name the field and the nearest valid name."""

import importlib

import pytest
from pydantic import ValidationError

from workbench.activations.sources import Source
from workbench.errors import SiteError, SpecError
from workbench.families.probe_sweep import SweepSpec, make_plan, sources
from workbench.sites import Site


def plan_of(fields, base, **changes):
    return make_plan(SweepSpec.model_validate(fields | changes), base)


def test_cells_are_every_combination_once(sweep_fields, sweep_base):
    plan = plan_of(
        sweep_fields, sweep_base, sites=["all"], positions=["last", "mean"], seeds=[0, 1],
        probes={"logistic": {"C": [0.1, 1.0], "max_iter": 50}, "ridge-regression": None},
    )  # fmt: skip
    # 4 layers x 2 positions x 2 seeds x (2 penalties on the classes + 1 probe on the numbers)
    assert len(plan.cells) == 4 * 2 * 2 * 3
    assert len({cell.name for cell in plan.cells}) == len(plan.cells)
    logistic = [cell.values["params"] for cell in plan.cells if cell.values["probe"] == "logistic"]
    assert {tuple(params.items()) for params in logistic} == {
        (("C", 0.1), ("max_iter", 50)), (("C", 1.0), ("max_iter", 50)),
    }  # fmt: skip


def test_probes_meet_targets_of_their_task_only(sweep_fields, sweep_base):
    plan = plan_of(sweep_fields, sweep_base)
    assert {(cell.values["probe"], cell.values["target"]) for cell in plan.cells} == {
        ("mass-mean", "kind"), ("lda", "kind"), ("ridge-regression", "vowels"),
    }  # fmt: skip


def test_task_can_be_overridden(sweep_fields, sweep_base):
    plan = plan_of(sweep_fields, sweep_base, targets=[{"column": "vowels", "task": "classification"}])
    assert {cell.values["probe"] for cell in plan.cells} == {"mass-mean", "lda"}


def test_stars_stand_for_columns(sweep_fields, sweep_base):
    assert {cell.values["target"] for cell in plan_of(sweep_fields, sweep_base, targets=["k*", "kind"]).cells} == {
        "kind"
    }


def test_a_negative_layer_of_a_sweep_is_the_models_true_one(sweep_fields, sweep_base):
    plan = plan_of(sweep_fields, sweep_base, sites=[-1, "-4.mlp_out", 3])
    assert plan.captures[0].sites == (Site(3), Site(0, "mlp_out"))
    assert {cell.values["layer"] for cell in plan.cells} == {0, 3}


def test_a_list_within_a_list_is_one_value(sweep_fields, sweep_base):
    plan = plan_of(sweep_fields, sweep_base, targets=["kind"], probes={"mlp": {"hidden": [[8], [8, 4]], "epochs": 2}})
    assert [cell.values["params"]["hidden"] for cell in plan.cells[:2]] == [[8], [8, 4]]


def test_untrained_models_are_models_of_their_own(sweep_fields, sweep_base):
    plan = plan_of(sweep_fields, sweep_base, models=["tiny", {"model": "tiny", "untrained": 1}])
    assert [capture.key for capture in plan.captures] == ["tiny", "tiny-untrained-1"]
    assert {cell.values["model"] for cell in plan.cells} == {"tiny", "tiny-untrained-1"}


def test_names_of_cells_are_file_names_whatever_the_values(sweep_fields, sweep_base):
    from workbench.runs.names import check_name

    probes = {"mlp": {"hidden": [[512] * 60], "device": "../cpu"}}
    for cell in plan_of(sweep_fields, sweep_base, targets=["kind"], probes=probes).cells:
        check_name(cell.name, "cell")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": {"kind": "text", "path": "x"}}, "unknown kind 'text'; did you mean 'texts'"),
        ({"source": {"kind": "texts", "path": "text.csv", "text": "text"}}, "cannot read"),
        ({"source": {"kind": "texts", "path": "texts.csv", "text": "txt"}}, "did you mean 'text'"),
        ({"source": {"kind": "texts", "path": "texts.csv", "txt": "text"}}, "no field 'txt'; did you mean 'text'"),
        ({"source": {"kind": "texts", "path": "tiny", "text": "text"}}, "not a table that can be read"),
        ({"targets": ["kinds"]}, "no label 'kinds'; did you mean 'kind'"),
        ({"targets": ["text"]}, "no label 'text'"),
        ({"probes": {"logistc": None}}, "unknown probe 'logistc'; did you mean 'logistic'"),
        ({"probes": {"logistic": {"Cs": 1}}}, "no parameter 'Cs'"),
        ({"probes": {"logistic": None}}, "none is for the regression target 'vowels': add one .ridge-regression"),
        ({"sites": [4]}, r"sites of tiny: blocks.4.hook_resid_post does not exist: the model has layers 0 to 3"),
        (
            {"sites": ["-5.mlp_out"]},
            r"sites of tiny: blocks.-5.hook_mlp_out does not exist: the model has layers 0 to 3",
        ),
        ({"positions": ["lats"]}, "position 'lats': unknown positions 'lats'; did you mean 'last'"),
        ({"positions": {"p": {"spam": "x"}}}, "position 'p': it has no field 'spam'; did you mean 'span'"),
        ({"models": []}, "models: name at least one"),
        ({"models": ["tiny", "tiny"]}, "would have the same files"),
        ({"backend": "transformerlens"}, "unknown back end 'transformerlens'; did you mean 'transformer_lens'"),
        ({"dtype": "flaot32"}, "unknown dtype 'flaot32'"),
        ({"device": "tpu7x"}, "unknown device 'tpu7x'"),
        (
            {"metrics": ["accuarcy"]},
            "metrics, for the target 'kind': unknown metric 'accuarcy'; did you mean 'accuracy",
        ),
        ({"metrics": ["accuracy"]}, "metrics, for the target 'vowels': 'accuracy' is of classes"),
        ({"targets": [{"column": "kind", "task": "classificaton"}]}, "unknown task 'classificaton'; did you mean"),
        ({"controls": ["control_task"], "types": "topics"}, "types: there is no label 'topics'"),
        ({"probes": {"logistic": {"C": [1.0, -1.0]}}}, "probes: logistic {'C': -1.0}: "),
        ({"probes": {"mlp": {"epochs": 0}}}, "probes: mlp {'epochs': 0}: "),
        ({"probes": {"lda": {"shrinkage": "some"}}}, "probes: lda {'shrinkage': 'some'}: "),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(sweep_fields, sweep_base, changes, said):
    with pytest.raises((SpecError, SiteError), match=said):
        plan_of(sweep_fields, sweep_base, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sights": [1]}, "no field 'sights'; did you mean 'sites'"),
        ({"sites": ["3.resid_pots"]}, "did you mean 'resid_post'"),
        ({"sites": ["all.mlp"]}, "unknown component 'mlp'"),
        ({"targets": [{"colum": "kind"}]}, "a column has no field 'colum'; did you mean 'column'"),
        ({"models": [{"model": "tiny", "untraind": 0}]}, "did you mean 'untrained'"),
        ({"controls": ["majorty"]}, "unknown control 'majorty'; did you mean 'majority'"),
        ({"controls": ["control_task"]}, "go together"),
        ({"probes": {"logistic": 3}}, "logistic needs parameters and values"),
        ({"source": "texts.csv"}, "write kind and options"),
        ({"positions": {"a b": "last"}}, "name it"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"seeds": [0, 1, 0]}, "0 stands twice"),
        ({"sites": [1, "1"]}, "'1' stands twice"),
        ({"targets": ["kind", "kind"]}, "stands twice"),
        ({"positions": ["last", "last"]}, "'last' stands twice"),
        ({"probes": ["lda", "lda"]}, "'lda' stands twice"),
        ({"probes": {"logistic": {"C": [1, 1.0]}}}, "logistic: C: 1.0 stands twice"),
        ({"controls": ["majority", "majority"]}, "'majority' stands twice"),
    ],
)
def test_fields_are_checked_before_anything_is_read(sweep_fields, changes, said):
    with pytest.raises(ValidationError, match=said):
        SweepSpec.model_validate(sweep_fields | changes)


def test_a_source_that_cannot_know_its_labels_needs_their_task(sweep_fields, sweep_base, monkeypatch):
    monkeypatch.setitem(sources(), "blind", lambda: importlib.import_module("blind_source").BLIND)
    import sys
    from types import ModuleType

    module = ModuleType("blind_source")
    vars(module)["BLIND"] = lambda options, **_: {}
    monkeypatch.setitem(sys.modules, "blind_source", module)
    with pytest.raises(SpecError, match="task: classification"):
        plan_of(sweep_fields, sweep_base, source={"kind": "blind"})
    plan = plan_of(sweep_fields, sweep_base, source={"kind": "blind"},
                   targets=[{"column": "x", "task": "regression"}])  # fmt: skip
    assert len(plan.cells) == 2 and isinstance(plan.source, Source)
