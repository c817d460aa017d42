"""A sweep end to end on a tiny model: one capture, the numbers of a direct evaluation, resuming, failures, engines."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from probes import make_probe
from probes.evaluation import evaluate
from workbench import families
from workbench.activations import capture
from workbench.errors import ArtifactError, RunError
from workbench.families import Context, get_family
from workbench.families.probe_sweep import SweepSpec, run
from workbench.models import load_model
from workbench.models.hooked_model import HookedModel
from workbench.models.tiny import tiny_model_with_sinks
from workbench.models.untrained import untrained
from workbench.runs import load_results, load_run
from workbench.runs.engines import ENGINES, SlurmEngine

pytestmark = pytest.mark.slow


@pytest.fixture
def sweep(sweep_fields, sweep_base, tmp_path):
    """``sweep(**changes)`` runs the small sweep with changed fields, in this process, and returns its folder."""

    def go(base=sweep_base, engine="local", jobs=1, **changes):
        spec = SweepSpec.model_validate(sweep_fields | changes)
        return run(spec, tmp_path / "runs", "first", base=base, engine=engine, jobs=jobs)

    return go


@pytest.fixture
def passes(monkeypatch):
    """How many prompts went through a model, call by call (what loading asks of the model itself left out)."""
    counted = []
    forward = HookedModel.forward

    def counting(self, prompts, *arguments, **options):
        counted.append(len(prompts))
        return forward(self, prompts, *arguments, **options)

    monkeypatch.setattr(HookedModel, "forward", counting)
    return counted


def shards(path):
    return sorted(file for file in (path / "rows").iterdir() if not file.name.startswith("capture"))


def test_rows_are_those_of_a_direct_evaluation(sweep, sweep_base):
    rows = load_results(sweep())
    texts = pd.read_csv(sweep_base / "texts.csv")
    model = load_model(sweep_base / "tiny", device="cpu")
    x = capture(model, texts["text"].tolist(), [3]).numpy("3.resid_post")
    y, groups = texts["kind"].astype(str).to_numpy(str), texts["topic"].to_numpy()
    direct = evaluate(make_probe("lda", shrinkage=0.1), x, y, groups, folds=3, shuffles=1, resamples=50).table
    found = rows[(rows["probe"] == "lda") & (rows["layer"] == 3)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found[direct.columns], direct)
    assert set(found["rows"]) == {60} and set(found["groups"]) == {20}
    assert json.loads(found["params"].iloc[0]) == {"shrinkage": 0.1}


def test_the_family_runs_it_as_any_other_and_plans_its_steps(sweep_fields, sweep_base, tmp_path, monkeypatch):
    monkeypatch.chdir(sweep_base)
    family, spec = get_family("sweep"), SweepSpec.model_validate(sweep_fields)
    record = load_run(families.run(family, spec, tmp_path))
    steps = families.plan(family, spec)
    assert record.status.state == "finished" and [step.name for step in steps] == record.steps()
    context = Context(spec, record)
    pd.testing.assert_frame_equal(steps[-1].work(context), record.read(steps[-1].name))


def test_naming_the_family_loads_nothing_heavy():
    heavy = (
        "import sys, workbench.families.probe_sweep; print({'torch', 'pandas', 'plotly', 'sklearn'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", heavy], text=True).strip() == "set()"


def test_one_capture_feeds_all_cells_and_resuming_runs_no_model(sweep, passes):
    path = sweep(positions=["last", "first", -2])
    assert sum(passes) == 60, "each text goes through the model once for all counted positions"
    whole = load_results(path)
    for shard in shards(path)[::2]:
        shard.unlink()
    passes.clear()
    assert sweep(positions=["last", "first", -2]) == path and passes == []
    pd.testing.assert_frame_equal(load_results(path), whole, check_exact=True)


def test_positions_are_those_that_capture_reads(sweep, sweep_base):
    from workbench.activations import ActivationSet

    positions = {"last": "last", "mean": "mean", "two": [-3, -1], "wide": {"concatenate": [-3, -1]}, "a": {"span": "a"}}
    path = sweep(positions=positions, targets=["vowels"])
    model = load_model(sweep_base / "tiny", device="cpu")
    texts = pd.read_csv(sweep_base / "texts.csv")["text"].tolist()
    saved = {name: ActivationSet.load(path / "artifacts/activations/tiny" / name, model) for name in positions}
    two = capture(model, texts, [1, 3], [-3, -1]).numpy(1)
    np.testing.assert_allclose(saved["two"].numpy(1), two, atol=1e-5)
    np.testing.assert_allclose(saved["wide"].numpy(1), two.reshape(60, -1), atol=1e-5)
    np.testing.assert_allclose(saved["mean"].numpy(1), capture(model, texts, [1], "mean").numpy(1), atol=1e-5)
    assert len(saved["a"]) == sum(text.count("a") for text in texts)
    assert saved["two"].groups.tolist() == np.repeat(np.arange(60) // 3, 2).tolist()


@pytest.mark.parametrize("group", ["topic", None])
def test_equal_texts_are_never_on_both_sides(sweep, sweep_base, tmp_path, group):
    base = shutil.copytree(sweep_base, tmp_path / "base")
    table = pd.read_csv(base / "texts.csv")
    table.loc[59, "text"] = table.loc[0, "text"]
    table.to_csv(base / "texts.csv", index=False)
    rows = load_results(sweep(base=base, source={"kind": "texts", "path": "texts.csv", "text": "text", "group": group}))
    assert set(rows["groups"]) == {19 if group else 59}


@pytest.mark.parametrize("sinks", ["leave out", "keep"])
def test_rows_read_at_attention_sinks_go_into_no_probe_and_no_control(sweep, sweep_base, tmp_path, sinks):
    base, model = shutil.copytree(sweep_base, tmp_path / "base"), tiny_model_with_sinks()
    for part in (model.backend.hf_model, model.tokenizer):
        part.save_pretrained(base / "tiny")
    texts = pd.read_csv(base / "texts.csv")
    source = {"kind": "texts", "path": "texts.csv", "text": "text", "group": "topic", "sinks": sinks}
    rows = load_results(
        sweep(base=base, source=source, positions=["all"], targets=["vowels"], controls=["majority", "untrained"])
    )
    tokens = sum(len(model.encode(text)) for text in texts["text"])
    at_sinks = sum(1 + text.split().count("z") for text in texts["text"])
    assert set(rows["rows"]) == {tokens - at_sinks * (sinks == "leave out")} and "untrained" in set(rows["control"])


def test_untrained_model_is_a_control_on_the_same_rows(sweep, sweep_base):
    rows = load_results(sweep(controls=["untrained"], targets=["vowels"]))
    found = rows[(rows["layer"] == 1) & (rows["control"] == "untrained") & (rows["metric"] == "r2")].iloc[0]
    texts = pd.read_csv(sweep_base / "texts.csv")
    untrained_model = untrained(load_model(sweep_base / "tiny", device="cpu"), 0)
    x = capture(untrained_model, texts["text"].tolist(), [1]).numpy(1)
    direct = evaluate(
        make_probe("ridge-regression", alphas=[1.0, 10.0]), x, texts["vowels"].to_numpy(), texts["topic"].to_numpy(),
        folds=3, controls=(), resamples=50,
    )  # fmt: skip
    assert found["estimate"] == pytest.approx(direct.interval("r2").estimate, abs=1e-6)


def test_a_failing_cell_is_recorded_and_the_rest_go_on(sweep):
    targets = [{"column": "kind", "task": "regression"}, "vowels"]
    path = sweep(targets=targets)
    rows = load_results(path)
    assert rows.groupby("target")["status"].agg(set).to_dict() == {"kind": {"failed"}, "vowels": {"ok"}}
    assert "holds no numbers" in rows[rows["status"] == "failed"]["error"].iloc[0]
    status = load_run(path).status
    assert status.state == "failed" and status.error.startswith("2 of 4 cells failed, such as tiny_1-resid_post")


def test_missing_labels_are_left_out(sweep, sweep_base, tmp_path):
    base = shutil.copytree(sweep_base, tmp_path / "base")
    table = pd.read_csv(base / "texts.csv")
    table.loc[:8, "kind"] = None
    table.to_csv(base / "texts.csv", index=False)
    rows = load_results(sweep(base=base))
    assert rows.groupby("target")["rows"].agg(set).to_dict() == {"kind": {51}, "vowels": {60}}


def test_texts_or_weights_that_changed_since_the_capture_are_noticed(sweep, sweep_base, tmp_path):
    from workbench.models.tiny import tiny_hf_model

    base = shutil.copytree(sweep_base, tmp_path / "base")
    path = sweep(base=base)
    shards(path)[0].unlink()
    good = (base / "texts.csv").read_text()
    (base / "texts.csv").write_text(good.replace(" b ", " c "))
    with pytest.raises(RunError, match=r"texts.csv has changed since .* choose another --name"):
        sweep(base=base)
    (base / "texts.csv").write_text(good)
    tiny_hf_model("llama", seed=4).save_pretrained(base / "tiny")
    with pytest.raises(RunError, match=r"another model: fingerprint .* there and .* here"):
        sweep(base=base)


def _remove(path):
    shutil.rmtree(path / "artifacts" / "activations")


def _remove_record(path):
    (path / "artifacts" / "capture-tiny.json").unlink()


def _damage(path):
    (file,) = path.glob("artifacts/activations/**/*.safetensors")
    data = bytearray(file.read_bytes())
    data[-9] ^= 4
    file.write_bytes(data)


@pytest.mark.parametrize("spoil", [_remove, _remove_record, _damage])
def test_a_capture_that_was_lost_or_damaged_is_made_again(sweep, passes, spoil):
    path = sweep()
    whole = load_results(path)
    spoil(path)
    shards(path)[0].unlink()
    passes.clear()
    sweep()
    assert sum(passes) == 60
    pd.testing.assert_frame_equal(load_results(path), whole, check_exact=True)


def test_a_capture_is_not_made_again_by_another_model(sweep, sweep_base, tmp_path):
    from workbench.models.tiny import tiny_hf_model

    base = shutil.copytree(sweep_base, tmp_path / "base")
    _damage(sweep(base=base))
    tiny_hf_model("llama", seed=4).save_pretrained(base / "tiny")
    with pytest.raises(RunError, match="was begun with another model"):
        sweep(base=base)


def test_saved_activations_are_read_where_they_lie(sweep, sweep_base, tmp_path):
    texts = pd.read_csv(sweep_base / "texts.csv")
    model = load_model(sweep_base / "tiny", device="cpu")
    capture(model, texts["text"].tolist(), [1, 3], labels=texts, groups="topic").save(tmp_path / "saved")
    from_texts = load_results(sweep())
    shutil.rmtree(tmp_path / "runs")
    path = sweep(base=tmp_path, source={"kind": "activations", "path": "saved"}, models=[])
    assert not (path / "artifacts" / "activations").exists()
    ours = load_results(path)
    pd.testing.assert_series_equal(ours["estimate"], from_texts["estimate"])
    assert ours["model"].str.endswith("tiny").all()
    (file,) = (tmp_path / "saved").glob("shards/*.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    shards(path)[0].unlink()
    with pytest.raises(ArtifactError, match=r"000000\.safetensors is not what was written there"):
        sweep(base=tmp_path, source={"kind": "activations", "path": "saved"}, models=[])


def test_code_lengths_and_scores_of_classes_are_rows_as_well(sweep):
    rows = load_results(sweep(mdl=True, per_class=True, targets=["kind"], probes=["mass-mean"], holdout=0.3))
    part = rows[rows["layer"] == 3].set_index(["metric", "control", "label"])["estimate"]
    assert part["codelength", "none", ""] < part["codelength", "shuffled", ""]
    assert part["compression", "none", ""] == pytest.approx(60 / part["codelength", "none", ""])  # 60 rows, 1 bit each
    assert part["support"].sum() == pytest.approx(18, abs=3), "a third of the rows is held out"
    assert set(rows[rows["metric"] == "recall"]["label"]) == {"early", "late"}


def test_random_probes_take_the_cells_seed(sweep):
    path = sweep(targets=["kind"], sites=[1], probes={"mlp": {"hidden": [[4]], "epochs": 2}}, seeds=[0, 1], holdout=0.3)
    rows = load_results(path)
    loss = rows[(rows["metric"] == "log_loss") & (rows["control"] == "none")].set_index("seed")["estimate"]
    assert loss[0] != loss[1]


def test_slurm_jobs_give_the_rows_that_this_process_gives(sweep, tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    here = load_results(sweep(sites=[1]))
    shutil.rmtree(tmp_path / "runs")
    monkeypatch.setitem(ENGINES, "slurm", lambda folder, jobs, _: SlurmEngine(folder / "jobs", jobs, cluster="local"))
    there = load_results(sweep(sites=[1], engine="slurm"))
    pd.testing.assert_frame_equal(there.drop(columns="error"), here.drop(columns="error"))
