"""A run folder keeps what was finished, says how far it is, and fails in one clear line."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.errors import DataError, RunError, SpecError, WorkbenchWarning
from workbench.models.tiny import tiny_model
from workbench.provenance import provenance
from workbench.runs import RunFolder, export_run, list_runs, load_run, spec_hash


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_run_lies_under_its_experiment_and_spec_hash_with_the_documented_files(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.plan(["a"])
        run.write("a", frame)
    assert run.path == tmp_path / "east" / spec_hash(spec)
    assert files(run.path) == {
        ".lock",
        "spec.json",
        "provenance.json",
        "plan.json",
        "status.json",
        "rows/a.parquet",
        "checksums.jsonl",
        "log.txt",
    }
    assert json.loads((run.path / "spec.json").read_text()) == spec


def test_rows_come_in_the_order_of_the_plan_whatever_order_they_finish_in(tmp_path, spec):
    with RunFolder.open(tmp_path, "east", spec) as run:
        assert run.plan(step for step in ["z", "a", "m"]) == ["z", "a", "m"]
        for step in ["m", "extra", "z", "a", "before"]:
            run.write(step, pd.DataFrame({"step": [step]}))
        assert run.steps() == ["z", "a", "m", "before", "extra"]
        assert run.rows()["step"].tolist() == ["z", "a", "m", "before", "extra"]
        assert run.plan(["z", "a", "m"]) == []
        assert run.read("m")["step"].tolist() == ["m"]


def test_unit_is_finished_only_once_and_a_missing_one_is_named(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.write("layer=1", frame)
        with pytest.raises(RunError, match="'layer=1' is finished already"):
            run.write("layer=1", frame)
        with pytest.raises(RunError, match=r"'layer=2' .* is not finished; did you mean 'layer=1'"):
            run.read("layer=2")
        with pytest.raises(DataError, match="step 'layer=3' cannot be a table"):
            run.write("layer=3", pd.DataFrame({"x": [1, "a"]}))
        assert not run.done("layer=3")


def test_same_spec_resumes_and_another_names_the_first_differing_key(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec, name="first") as run:
        run.write("a", frame)
    with RunFolder.open(tmp_path, "east", dict(reversed(spec.items())), name="first") as run:
        assert run.done("a")
    other = spec | {"model": {"name": "tiny", "dtype": "bfloat16"}}
    with pytest.raises(RunError, match=r"another spec: model\.dtype is 'float32' there and 'bfloat16' here"):
        RunFolder.open(tmp_path, "east", other, name="first")
    with pytest.raises(SpecError, match="JSON"):
        RunFolder.open(tmp_path, "east", {"x": float("nan")})


def test_folder_with_rows_of_an_unknown_spec_is_not_taken_over(tmp_path, spec, finished_run):
    (finished_run / "spec.json").unlink()
    with pytest.raises(RunError, match=r"has rows but no spec\.json"):
        RunFolder.open(finished_run.parents[1], "east", spec, name="first")


def test_status_goes_from_running_to_finished_with_times_and_progress(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.plan(["a", "b"])
        run.write("a", frame)
        halfway = load_run(run.path).status
        assert (halfway.state, halfway.done, halfway.total, halfway.finished) == ("running", 1, 2, None)
        run.write("b", frame)
    status = load_run(run.path).status
    assert (status.state, status.done, status.total, status.error) == ("finished", 2, 2, None)
    assert status.created == status.started <= halfway.updated <= status.finished


@pytest.mark.parametrize(
    ("error", "state", "line"),
    [
        (ZeroDivisionError("no\nrows"), "failed", "ZeroDivisionError: no rows"),
        (DataError("values is empty"), "failed", "values is empty"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
    ],
)
def test_error_in_the_block_is_recorded_seen_and_forgotten_on_success(tmp_path, spec, frame, error, state, line):
    with pytest.raises(type(error)), RunFolder.open(tmp_path, "east", spec) as run:
        run.write("a", frame)
        raise error
    status = load_run(run.path).status
    assert (status.state, status.error, status.done) == (state, line, 1)
    with RunFolder.open(tmp_path, "east", spec) as run:
        assert run.status.error is None
    after = load_run(run.path).status
    assert (after.state, after.error, after.created) == ("finished", None, status.created)


def test_leaving_with_planned_steps_undone_is_not_finished(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.plan(["a", "b"])
        run.write("a", frame)
    assert load_run(run.path).status.state == "interrupted"


def test_closed_run_refuses_to_write_but_reads(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.write("a", frame)
    run.close()
    for call in (lambda: run.write("b", frame), lambda: run.log("x"), lambda: run.save_tensors("v", {})):
        with pytest.raises(RunError, match="is not open in this process"):
            call()
    assert len(run.rows()) == 2


def test_tensors_come_back_exactly_with_their_metadata(tmp_path, spec):
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {"view": base.T, "row": base[1], "half": base.to(torch.bfloat16), "numpy": np.arange(3, dtype=np.int64)}
    metadata = {"site": "blocks.1.hook_resid_post", "basis": "raw", "layers": [1, 2], "norm": 0.5}
    with RunFolder.open(tmp_path, "east", spec) as run:
        path = run.save_tensors("vector", tensors, metadata)
        first = path.read_bytes()
        run.save_tensors("vector", tensors, dict(reversed(metadata.items())))
        assert path.read_bytes() == first
        loaded, notes = run.load_tensors("vector")
    assert notes == metadata
    assert set(loaded) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], torch.as_tensor(tensor))
        assert loaded[name].dtype == torch.as_tensor(tensor).dtype


def test_artifacts_that_are_missing_broken_or_no_tensors_are_named(tmp_path, spec):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.save_tensors("vector", {"u": torch.zeros(3)}).write_bytes(b"junk")
        with pytest.raises(RunError, match=r"vector\.safetensors is broken"):
            run.load_tensors("vector")
        with pytest.raises(RunError, match=r"no artifact 'vektor\.safetensors'; did you mean 'vector\.safetensors'"):
            run.load_tensors("vektor")
        with pytest.raises(DataError, match="'u' cannot be saved as a tensor"):
            run.save_tensors("bad", {"u": object()})
        assert run.artifacts == ["vector.safetensors"]


def test_tables_json_and_figures_are_kept_beside_the_rows(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.save_table("summary", frame)
        run.write_json("words", {"more": ("a", "b")})
        (run.path / "figures" / "entropy.html").write_text("<html></html>")
        pd.testing.assert_frame_equal(run.load_table("summary"), frame)
        assert run.read_json("words") == {"more": ["a", "b"]}
        assert run.artifacts == ["summary.parquet", "words.json"]
        assert run.figures == [run.path / "figures" / "entropy.html"]
        assert run.rows().empty
        with pytest.raises(SpecError, match="artifact 'bad' cannot be written as JSON"):
            run.write_json("bad", object())


def test_log_has_one_dated_line_a_message(tmp_path, spec):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.log("first\nsecond é \ud800")
    lines = (run.path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines[1:]] == ["first", "   second é \\ud800", "finished"]


def test_broken_shard_is_named_by_readers_and_done_again_by_the_writer(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.plan(["a", "b"])
        run.write("a", frame)
        run.write("b", frame)
    shard = run.path / "rows" / "a.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(RunError, match=r"a\.parquet is broken"):
        load_run(run.path).rows()
    with RunFolder.open(tmp_path, "east", spec) as run:
        assert not run.done("a")
        assert run.status.done == 1
        assert shard.with_name("a.parquet.broken").exists()
        assert run.plan(["a", "b"]) == ["a"]
        run.write("a", frame)
        assert len(run.rows()) == 4
    assert "'a' is done again" in (run.path / "log.txt").read_text()


def test_leftover_temporary_files_are_not_rows_and_go_on_opening(tmp_path, spec, frame):
    with RunFolder.open(tmp_path, "east", spec) as run:
        run.write("a", frame)
    leftover = run.path / "rows" / ".b.parquet.123.tmp"
    leftover.write_bytes(b"half")
    assert load_run(run.path).steps() == ["a"]
    with RunFolder.open(tmp_path, "east", spec) as run:
        assert not leftover.exists()
        assert run.steps() == ["a"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "the disk is full: cannot write .*b.parquet; what is finished is intact"),
        (errno.EROFS, "cannot write .*b.parquet: the folder is read-only"),
        (errno.EIO, "cannot write .*b.parquet: Input/output error"),
    ],
)
def test_refused_write_is_one_line_and_finished_steps_stay(tmp_path, spec, frame, monkeypatch, call, code, said):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    with pytest.raises(RunError, match=said) as caught, RunFolder.open(tmp_path, "east", spec) as run:
        run.write("a", frame)
        monkeypatch.setattr(os, call, refuse)
        run.write("b", frame)
    assert "\n" not in str(caught.value)
    assert any("state of the run could not be written" in note for note in caught.value.__notes__)
    monkeypatch.undo()
    assert not list(run.path.rglob("*.tmp"))
    assert load_run(run.path).status.state == "interrupted"
    with RunFolder.open(tmp_path, "east", spec) as run:
        assert [run.done(step) for step in ("a", "b")] == [True, False]
        run.write("b", frame)
        assert len(run.rows()) == 4


def test_disk_that_fills_while_the_bytes_are_written_leaves_no_half_file(tmp_path, spec, frame, monkeypatch):
    def fill(path, data):
        path.open("wb").write(bytes(data)[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    run = RunFolder.open(tmp_path, "east", spec)
    with monkeypatch.context() as patch, pytest.raises(RunError, match="the disk is full"):
        patch.setattr(Path, "write_bytes", fill)
        run.save_tensors("vector", {"u": torch.zeros(3)})
    assert run.artifacts == []
    assert not list(run.path.rglob("*.tmp"))
    run.close()


def test_disk_full_at_the_end_is_an_error_and_the_lock_is_free(tmp_path, spec, frame, monkeypatch):
    with pytest.raises(RunError, match="the disk is full"), RunFolder.open(tmp_path, "east", spec) as run:
        run.write("a", frame)
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    monkeypatch.undo()
    assert load_run(run.path).status.state == "interrupted"


def test_folder_that_cannot_be_made_is_one_clear_line(tmp_path, spec):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a file stands in its place"):
        RunFolder.open(tmp_path / "file", "east", spec)
    with pytest.raises(RunError, match="cannot write /proc/"):
        RunFolder.open("/proc/runs", "east", spec)


def test_read_only_folder_is_one_clear_line(tmp_path, spec, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RunError, match="the folder is read-only or not yours; choose another place"):
        RunFolder.open(tmp_path / "runs", "east", spec)


def test_provenance_is_kept_and_only_a_session_on_something_else_is_added(tmp_path, spec):
    first = {"started": "t0", "command": ["x"], "versions": {"torch": "1"}}
    for record in (first, first | {"started": "t1"}, first | {"started": "t2", "versions": {"torch": "2"}}):
        with RunFolder.open(tmp_path, "east", spec, provenance=record) as run:
            pass
    record = load_run(run.path).provenance
    assert record == first | {"resumed": [{"started": "t2", "command": ["x"], "versions": {"torch": "2"}}]}


def test_provenance_is_looked_up_when_not_given(tmp_path, spec):
    with RunFolder.open(tmp_path, "east", spec) as run:
        pass
    assert "python" in load_run(run.path).provenance["versions"]


def made_of(fingerprint="a", **other):
    """A provenance that says no more than the model."""
    return {"model": {"name": "tiny", "fingerprint": fingerprint, "backend": "hf", "dtype": "float32"} | other}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (made_of("b"), "fingerprint a there and b here"),
        (made_of(dtype="bfloat16"), "dtype float32 there and bfloat16 here"),
        (made_of(backend="nnsight"), "back end hf there and nnsight here"),
    ],
)
def test_a_run_is_one_model_and_another_is_refused_before_anything_changes(tmp_path, spec, frame, now, said):
    with RunFolder.open(tmp_path, "east", spec, "first", made_of()) as run:
        run.write("a", frame)
    before = {path: path.read_bytes() for path in run.path.rglob("*.json*")}
    with pytest.raises(RunError, match=f"another model: {said}; a run is one model, choose another name"):
        RunFolder.open(tmp_path, "east", spec, "first", now)
    assert {path: path.read_bytes() for path in run.path.rglob("*.json*")} == before
    for same in (made_of(name="elsewhere"), {}, {"model": None}):
        with RunFolder.open(tmp_path, "east", spec, "first", same) as run:
            assert run.done("a")


def test_further_models_of_a_run_stay_the_same_too(tmp_path, spec):
    model, other, third = (tiny_model("llama", seed) for seed in range(3))
    with RunFolder.open(tmp_path, "east", spec, "first", provenance(model)) as run:
        run.uses(other, "judge")
    with RunFolder.open(tmp_path, "east", spec, "first", provenance(model)) as run:
        run.uses(other, "judge")
        run.uses(third, "second")
        with pytest.raises(RunError, match="another model: fingerprint"):
            run.uses(third, "judge")
    made = load_run(run.path).provenance
    assert made["models"]["judge"] == provenance(other)["model"] and "resumed" not in made


def test_an_edited_spec_is_said_by_readers_and_refused_by_the_writer(tmp_path, finished_run, spec):
    path, root = finished_run / "spec.json", finished_run.parents[1]
    path.write_text(json.dumps(spec, sort_keys=True))  # the same values
    assert load_run(finished_run).edited is None
    edited = spec | {"seed": 5}
    path.write_text(json.dumps(edited))
    said = "spec.json was edited: it is not the spec that was run"
    assert load_run(finished_run).edited == said and list_runs(root)["error"][0] == said
    with pytest.warns(WorkbenchWarning, match=f"east/first: {said}"):
        export_run(finished_run, tmp_path)
    for given, why in ((spec, r" \(seed is 5 there and 0 here\)"), (edited, "")):
        with pytest.raises(RunError, match=f"spec.json was edited{why}: it is not the spec that was run"):
            RunFolder.open(root, "east", given, name="first")
    path.write_text(json.dumps(spec))
    with RunFolder.open(root, "east", spec, name="first") as run:
        assert run.plan(["b", "a"]) == []


def with_artifacts(root, spec, frame):
    """A run of two steps, each of which writes every kind of artifact, and an artifact of no step."""
    with RunFolder.open(root, "east", spec, "first", {}) as run:
        for step in run.plan(["a", "b"]):
            run.save_tensors(f"tensors-{step}", {"u": torch.arange(50.0)})
            run.save_table(f"table-{step}", frame)
            run.write_json(f"data-{step}", {"step": step})
            run.write(step, frame)
        run.write_json("chosen", [step for step in ("a", "b") if run.done(step)])
    return run.path


def flip(path):
    """Two bytes in the middle are others."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    data[len(data) // 2 + 3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [Path.unlink, flip], ids=["lost", "flipped"])
@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("tensors-b.safetensors", lambda run: run.load_tensors("tensors-b")),
        ("tensors-b.safetensors", lambda run: run.load_arrays("tensors-b")),
        ("table-b.parquet", lambda run: run.load_table("table-b")),
        ("data-b.json", lambda run: run.read_json("data-b")),
    ],
)
def test_a_lost_or_broken_artifact_is_named_and_made_again_by_its_step(tmp_path, spec, frame, harm, file, read):
    path = with_artifacts(tmp_path, spec, frame)
    whole = (path / "artifacts" / file).read_bytes()
    harm(path / "artifacts" / file)
    with pytest.raises(RunError, match=f"{file}. *|{file} is broken") as caught:
        read(load_run(path))
    assert "\n" not in str(caught.value)
    with RunFolder.open(tmp_path, "east", spec, "first", {}) as run:
        assert run.plan(["a", "b"]) == ["b"]
    assert with_artifacts(tmp_path, spec, frame) == path
    assert (path / "artifacts" / file).read_bytes() == whole and load_run(path).status.state == "finished"
    with RunFolder.open(tmp_path, "east", spec, "first", {}) as run:
        assert run.plan(["a", "b"]) == []


def test_rows_of_another_schema_put_in_place_are_named_and_made_again(tmp_path, spec, frame):
    path = with_artifacts(tmp_path, spec, frame)
    pd.DataFrame({"other": [1]}).to_parquet(path / "rows" / "a.parquet")
    for read in (load_run(path).rows, lambda: load_run(path).read("a")):
        with pytest.raises(RunError, match=r"rows/a\.parquet is broken"):
            read()
    assert len(load_run(with_artifacts(tmp_path, spec, frame)).rows()) == 4


def test_an_artifact_of_no_step_is_checked_and_may_be_written_again(tmp_path, spec, frame):
    path = with_artifacts(tmp_path, spec, frame)
    flip(path / "artifacts" / "chosen.json")
    with pytest.raises(RunError, match=r"chosen\.json is broken"):
        load_run(path).read_json("chosen")
    with_artifacts(tmp_path, spec, frame)
    assert load_run(path).read_json("chosen") == ["a", "b"]


def test_checksums_cut_short_or_gone_leave_files_unchecked_and_the_run_readable(tmp_path, spec, frame):
    path = with_artifacts(tmp_path, spec, frame)
    sums = path / "checksums.jsonl"
    sums.write_bytes(sums.read_bytes()[:-30])
    assert load_run(path).read_json("chosen") == ["a", "b"]
    with_artifacts(tmp_path, spec, frame)
    sums.unlink()
    with RunFolder.open(tmp_path, "east", spec, "first", {}) as run:
        assert run.plan(["a", "b"]) == [] and len(run.rows()) == 4
