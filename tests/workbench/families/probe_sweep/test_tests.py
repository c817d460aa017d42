"""A sweep tested on another source: fitted to all rows of its own, and to none of the other."""

import shutil

import numpy as np
import pandas as pd
import pytest

from probes import make_probe
from workbench.activations import capture
from workbench.errors import ArtifactError, RunError, SpecError
from workbench.families.probe_sweep import SweepSpec, make_plan, run
from workbench.families.probe_sweep.report import report
from workbench.models import load_model
from workbench.runs import load_results, load_run

FAR = {"kind": "texts", "path": "far.csv", "text": "text", "group": "topic"}


@pytest.fixture(scope="module")
def base(sweep_base, tmp_path_factory):
    """The texts of the sweep, and others of the same kind."""
    folder = shutil.copytree(sweep_base, tmp_path_factory.mktemp("two") / "base")
    rng = np.random.default_rng(7)
    words = [["b", *rng.choice(list("abcde"), size=6)] for _ in range(30)]
    table = pd.DataFrame({"text": [" ".join(word) for word in words], "topic": np.arange(30) // 3})
    table["kind"] = ["early" if word[-1] in "ab" else "late" for word in words]
    table.to_csv(folder / "far.csv", index=False)
    return folder


@pytest.fixture
def fields(sweep_fields):
    return sweep_fields | {
        "targets": ["kind"], "probes": ["mass-mean"], "sites": [3], "tests": {"far": FAR},
        "controls": ["majority", "shuffled", "untrained", "bag_of_words"], "metrics": ["auroc", "recall@0.05"],
    }  # fmt: skip


def go(fields, base, tmp_path):
    return run(SweepSpec.model_validate(fields), tmp_path / "runs", "first", base=base, jobs=1)


@pytest.mark.slow
def test_a_probe_is_fitted_to_all_rows_of_the_source_and_tested_on_those_of_the_other(fields, base, tmp_path):
    path = go(fields, base, tmp_path)
    rows = load_results(path)
    far = rows[rows["label"] == "on far"]
    assert set(far["control"]) == {"none", "majority", "shuffled", "untrained", "bag_of_words"}
    assert set(far["rows"]) == {30} and set(far["groups"]) == {10}
    assert set(rows.loc[rows["label"] == "", "rows"]) == {60}

    model = load_model(base / "tiny", device="cpu")
    near, other = pd.read_csv(base / "texts.csv"), pd.read_csv(base / "far.csv")
    x, far_x = (capture(model, list(table["text"]), [3]).numpy(3) for table in (near, other))
    scores = make_probe("mass-mean").fit(x, near["kind"]).decision_function(far_x)
    late = (other["kind"] == "late").to_numpy()
    auroc = np.mean(scores[late][:, None] > scores[~late][None])
    found = far[(far["control"] == "none") & (far["metric"] == "auroc")].iloc[0]
    assert found["estimate"] == pytest.approx(auroc, abs=0.01) and found["low"] <= auroc <= found["high"]

    tables = list(report(load_run(path)))
    (table,) = [each for each in tables if each.title == "auroc on far, fitted to all rows of the source"]
    assert table.frame["auroc"].item().startswith(f"{found['estimate']:.2f}")
    assert "vs bag of words" in table.frame

    before = load_results(path)
    (file,) = path.glob("rows/tiny*.parquet")
    file.unlink()
    shutil.rmtree(path / "artifacts" / "activations" / "tiny-test-far")
    pd.testing.assert_frame_equal(load_results(go(fields, base, tmp_path)), before)


@pytest.mark.slow
def test_texts_of_a_test_that_changed_are_noticed(fields, base, tmp_path):
    base = shutil.copytree(base, tmp_path / "base")
    path = go(fields, base, tmp_path)
    next(path.glob("rows/tiny*.parquet")).unlink()
    (base / "far.csv").write_text((base / "far.csv").read_text().replace("b ", "c "))
    with pytest.raises(RunError, match=r"far\.csv has changed since"):
        go(fields, base, tmp_path)


def test_what_cannot_be_tested_on_is_said_before_anything_runs(fields, base):
    def plan(**changes):
        return make_plan(SweepSpec.model_validate(fields | changes), base)

    assert set(plan().tests) == {"far"}
    with pytest.raises(SpecError, match="tests: far: there is no label 'vowels'"):
        plan(targets=["vowels"], probes=["ridge-regression"], metrics=None)
    with pytest.raises(SpecError, match="tests: far: 60 of its texts are in the source, too"):
        plan(tests={"far": fields["source"]})
    with pytest.raises(SpecError, match="tests: far: source: cannot read"):
        plan(tests={"far": FAR | {"path": "nowhere.csv"}})


def test_saved_activations_of_another_model_are_no_test(fields, base, tmp_path):
    model, texts = load_model(base / "tiny", device="cpu"), pd.read_csv(base / "texts.csv").head(8)
    read = capture(model, list(texts["text"]), [3], labels=texts[["kind"]])
    read.save(tmp_path / "one")
    type(read)(read.activations, read.labels, read.groups, "another").save(tmp_path / "two")
    saved = {name: {"kind": "activations", "path": name} for name in ("one", "two")}
    spec = SweepSpec.model_validate(
        fields | {"source": saved["one"], "tests": {"two": saved["two"]}, "models": [], "controls": []}
    )
    with pytest.raises(ArtifactError, match="tests: two: its activations are another model's"):
        make_plan(spec, tmp_path)
    texts.to_csv(tmp_path / "far.csv", index=False)
    with pytest.raises(SpecError, match="tests: far: saved activations are tested on saved activations"):
        make_plan(spec.model_copy(update={"tests": {"far": FAR}}), tmp_path)
