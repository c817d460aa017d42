"""The introspection page of the explorer on tiny runs of both protocols, driven without a browser."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pandas as pd
import pytest

from workbench.runs import load_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MADE = ROOT / "tests" / "workbench" / "families" / "introspection"
PAGE = "Introspection"
PREDICTION = [
    "What held",
    "Self against cross",
    "Second model",
    "Calibration",
    "Behaviour shift",
    "Probes",
    "Predictions",
]
INJECTION = ["What held", "Beside controls", "Grids", "Yes minus no", "Intentional control", "Replies", "Vectors"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a finished run of each protocol."""
    from workbench.families import get_family, run

    base = tmp_path_factory.mktemp("introspection")
    babbling, chatting = (runpy.run_path(str(MADE / name / "conftest.py")) for name in (
        "self_prediction", "concept_injection",
    ))  # fmt: skip
    (base / "babblers").mkdir()
    spec = babbling["tiny_spec"](babbling["make_babblers"](base / "babblers"))
    less = {"candidates": spec.candidates[:1], "seconds": 1, "directions": ("forward",), "layers": (1,)}
    run(get_family("self-prediction"), spec.model_copy(update=less | {"samples": 2}), base / "runs", "small")
    folder = chatting["make_chat_model"](base / "chat")
    spec = chatting["small_injection"](folder).model_copy(update={"concepts": 4, "max_new_tokens": 2})
    run(get_family("concept-injection"), spec, base / "runs", "small")
    return base / "runs"


def charts(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def shown_as(protocol):
    """What the page calls a protocol."""
    return protocol.replace("-", " ").capitalize()


def titles(app):
    return [chart["layout"]["title"]["text"] for chart in charts(app)]


def tables(app):
    return [each.value for each in app.dataframe]


def test_every_tab_of_both_protocols_shows_something_and_no_error(open_app, runs):
    for protocol, views in (("self-prediction", PREDICTION), ("concept-injection", INJECTION)):
        for view in views:
            app = open_app(runs, page=PAGE, protocol=shown_as(protocol), view=view)
            assert not app.error and not app.info, (view, [each.value for each in (*app.error, *app.info)])
            assert [tab.label for tab in app.tabs] == views
            assert len(app.dataframe) + len(charts(app)), view


def test_what_held_is_the_table_of_the_run(open_app, runs):
    for protocol in ("self-prediction", "concept-injection"):
        own = load_run(runs / protocol / "small").load_table("claims")
        shown, *_ = tables(open_app(runs, page=PAGE, protocol=shown_as(protocol)))
        assert shown["claim"].tolist() == own["claim"].tolist()
        assert shown["held"].tolist() == ["yes" if held else "no" for held in own["held"]]


def test_numbers_beside_the_figure_are_those_of_the_tables(open_app, runs):
    run = load_run(runs / "self-prediction" / "small")
    levels, differences = tables(open_app(runs, page=PAGE, view="Self against cross", metric="balanced accuracy"))
    own = run.load_table("accuracy").query("target == 'first' and predictor == 'self' and split == 'held_out'")
    row = own[(own["task"] == "") & (own["metric"] == "balanced_accuracy")].iloc[0]
    shown = levels[(levels["predicting"] == "M1") & (levels["by"] == "self-trained")]["tasks never finetuned on"].item()
    assert shown == f"{row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    own = run.load_table("comparisons")
    own = own[(own["comparison"] == "self less cross") & (own["metric"] == "balanced_accuracy")]
    row = own[(own["target"] == "first") & (own["split"] == "held_out")].iloc[0]
    shown = differences[differences["difference"] == "self-trained less cross-trained"].iloc[0]
    assert shown["predicting"] == "M1" and shown["model"] == "M2"
    assert shown["tasks never finetuned on"] == (
        f"{row['estimate']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], p {row['p']:.4f}"
    )


def test_false_positives_and_control_vectors_stand_beside_the_injected_concept(open_app, runs):
    shown, *_ = tables(open_app(runs, page=PAGE, protocol="Concept injection", view="Beside controls"))
    own = load_run(runs / "concept-injection" / "small").load_table("held_out").iloc[0]
    first = shown.iloc[0]
    for title, name in (("no injection", "none"), ("random", "random"), ("shuffled", "shuffled")):
        assert first[title] == f"{own[name]:.2f} [{own[f'{name}_low']:.2f}, {own[f'{name}_high']:.2f}]"
    drawn = titles(open_app(runs, page=PAGE, protocol="Concept injection", view="Grids"))
    assert len(drawn) == 1 and "detects and names" in drawn[0]


def test_predictions_are_filtered_as_the_address_says(open_app, runs):
    run = load_run(runs / "self-prediction" / "small")
    app = open_app(runs, page=PAGE, view="Predictions", predictor="self-trained", task="beasts", verdict="right")
    own = run.load_table("predictions")
    own = own[(own["target"] == "first") & (own["predictor"] == "self") & (own["task"] == "beasts")]
    (shown,) = tables(app)
    assert len(shown) == int(own["correct"].sum()) and set(shown["right"]) <= {"yes"}
    app.selectbox(key="introspection-verdict").set_value("all").run()
    assert len(tables(app)[0]) == len(own)


def test_a_cell_of_replies_is_shown_beside_the_same_seeds_without_injection(open_app, runs):
    run = load_run(runs / "concept-injection" / "small")
    cell = {"kind": "naming", "layer": "1", "asked": "standard", "vector": "random vector", "multiplier": "4"}
    app = open_app(runs, page=PAGE, protocol="Concept injection", view="Replies", **cell)
    (shown,) = tables(app)
    own = run.read("naming-1")
    own = own[(own["vector"] == "random") & (own["multiplier"] == 4.0)].set_index("concept")["text"]
    plain = run.read("naming-none").set_index("concept")["text"]
    assert shown["reply"].tolist() == own.loc[shown["concept"]].tolist() and len(shown) == 4
    assert shown["without injection"].tolist() == plain.loc[shown["concept"]].tolist()
    assert app.code[0].value.startswith("Trial 1. A thought has been injected")
    app.selectbox(key="introspection-keep").set_value("names the concept").run()
    assert len(tables(app)[0]) == int(
        run.read("naming-1").query("vector == 'random' and multiplier == 4")["names"].sum()
    )


def test_a_protocol_that_was_not_run_says_how_to_run_it(open_app, runs, tmp_path):
    shutil.copytree(runs / "concept-injection", tmp_path / "concept-injection")
    app = open_app(tmp_path, page=PAGE)
    assert app.radio(key="introspection-protocol").value == "concept-injection"  # the one that there is
    app.radio(key="introspection-protocol").set_value("self-prediction").run()
    assert "No run of self-prediction is finished" in app.info[0].value
    assert app.code[0].value == "workbench run introspection self-prediction --preset smoke"


def test_broken_and_missing_tables_are_messages_of_their_tab(open_app, runs, tmp_path):
    artifacts = Path(shutil.copytree(runs / "self-prediction", tmp_path / "self-prediction")) / "small" / "artifacts"
    (artifacts / "predictions.parquet").write_bytes(b"cut off")
    (artifacts / "claims.parquet").unlink()
    path = artifacts / "accuracy.parquet"
    pd.read_parquet(path).drop(columns="learner").to_parquet(path)
    (artifacts.parent / "checksums.jsonl").unlink()  # as in runs of before
    said = {}
    for view in ("What held", "Self against cross", "Predictions", "Calibration"):
        app = open_app(tmp_path, page=PAGE, view=view)
        said[view] = " ".join(each.value for each in (*app.error, *app.info))
    assert "no table of claims" in said["What held"] and "predictions.parquet" in said["Predictions"]
    assert "needs the column 'learner'" in said["Self against cross"] and said["Calibration"] == ""
