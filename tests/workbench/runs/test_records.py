"""Readers show what is there, and one broken folder does not hide the others."""

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.cli.runs import _facts
from workbench.errors import RunError
from workbench.runs import RunFolder, list_runs, load_results, load_run
from workbench.views.run_list import described


def test_record_gives_everything_back_without_the_lock(finished_run, spec, frame):
    record = load_run(finished_run)
    assert (record.experiment, record.name, record.spec) == ("east", "first", spec)
    assert record.status.state == "finished"
    assert record.rows()["step"].tolist() == ["b", "b", "a", "a"]
    pd.testing.assert_frame_equal(load_results(str(finished_run)), record.rows())
    pd.testing.assert_frame_equal(record.load_table("summary"), frame)
    assert record.artifacts == ["summary.parquet", "vector.safetensors", "words.json"]
    assert [path.name for path in record.figures] == ["entropy.html"]
    assert record.load_tensors("vector")[1] == {"site": "blocks.1.hook_resid_post"}
    assert record.read_json("words") == {"more": ["uncertain"]}


def test_reading_changes_no_file(finished_run):
    def state():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in finished_run.rglob("*")}

    before = state()
    load_run(finished_run).rows()
    list_runs(finished_run.parents[1])
    assert state() == before


def test_run_that_is_not_there_suggests_its_neighbour(finished_run):
    with pytest.raises(RunError, match=r"there is no run folder .*frist; did you mean 'first'"):
        load_run(finished_run.with_name("frist"))
    with pytest.raises(RunError, match="there is no run folder"):
        load_run(finished_run / "no" / "where")


def test_list_has_one_row_a_run_in_order(tmp_path, frame):
    for experiment, name in (("introspection", "x"), ("east", "b"), ("east", "a")):
        with RunFolder.open(tmp_path, experiment, {}, name=name) as run:
            for step in run.plan(["u"]):
                run.write(step, frame)
    found = list_runs(tmp_path)
    assert found["name"].tolist() == ["a", "b", "x"]
    assert set(found["status"]) == {"finished"}
    assert found[["done", "total"]].eq(1).all(axis=None)
    assert load_run(found["path"][2]).experiment == "introspection"


def test_no_runs_give_an_empty_list_with_the_same_columns(tmp_path, finished_run):
    for root in (tmp_path / "nowhere", tmp_path / "empty"):
        assert list_runs(root).empty
        assert list(list_runs(root).columns) == list(list_runs(finished_run.parents[1]).columns)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("spec.json", None, r"spec\.json is missing"),
        ("spec.json", "[1]", "must hold an object"),
        ("provenance.json", '{"half', r"provenance\.json cannot be read"),
        ("status.json", None, r"status\.json is missing"),
        ("status.json", "", r"status\.json cannot be read"),
        ("status.json", '{"state": "running"}', "is not a run's status"),
        ("status.json", '{"state": "odd", "created": "", "started": "", "updated": ""}', "state is 'odd'"),
        ("plan.json", "[" * 100_000, r"plan\.json cannot be read"),
        ("plan.json", "[]", "must hold an object"),
        ("plan.json", '{"steps": 3}', "must be a list of names"),
        ("plan.json", '{"units": 5}', r"plan\.json is not a run's plan"),
        ("provenance.json", '{"model": "x"}', r"provenance\.json is not .*: model must hold an object"),
        ("provenance.json", '{"resumed": [1]}', r"provenance\.json is not .*: resumed and models must hold objects"),
        (
            "status.json",
            '{"state": "failed", "created": "", "started": "", "updated": "", "total": "x"}',
            r"status\.json is not a run's status: total is 'x'",
        ),
        ("status.json", b"\xff\xfe\x00", r"status\.json cannot be read"),
    ],
)
def test_broken_folder_is_listed_as_broken_with_the_reason(finished_run, file, text, said):
    root = finished_run.parents[1]
    with RunFolder.open(root, "east", {}, name="good"):
        pass
    path = finished_run / file
    path.unlink()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = list_runs(root).set_index("name")
    assert found["status"].to_dict() == {"first": "broken", "good": "finished"}
    assert pd.Series([found["error"]["first"]]).str.contains(said).all(), found["error"]["first"]


def test_folder_made_by_a_writer_killed_at_once_is_listed_and_can_be_opened(tmp_path, spec):
    (tmp_path / "east" / "first").mkdir(parents=True)
    assert list_runs(tmp_path)["status"].tolist() == ["broken"]
    with RunFolder.open(tmp_path, "east", spec, name="first"):
        pass
    assert list_runs(tmp_path)["status"].tolist() == ["finished"]


def test_stray_files_and_hidden_folders_are_no_runs(finished_run):
    root = finished_run.parents[1]
    (root / "notes.txt").write_text("")
    (root / "east" / "notes.txt").write_text("")
    (root / ".git" / "objects").mkdir(parents=True)
    (finished_run / "rows" / "._a.parquet").write_text("")
    assert list_runs(root)["name"].tolist() == ["first"]
    assert load_run(finished_run).steps() == ["b", "a"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def mutated(data, draw):
    """``data`` with one value in it, or itself, replaced by any other or left out."""
    if isinstance(data, dict | list) and len(data) and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(data))) if isinstance(data, dict) else draw(st.integers(0, len(data) - 1))
        some = data.copy()
        if draw(st.booleans()):
            some[key] = mutated(data[key], draw)
        else:
            del some[key]
        return some
    return draw(JSON)


@pytest.fixture
def two_runs(finished_run):
    """The finished run with a good one beside it."""
    with RunFolder.open(finished_run.parents[1], "east", {}, name="good", provenance={}):
        return finished_run


def test_a_spec_edited_to_what_no_spec_can_be_is_said_to_be_edited(finished_run):
    spec = json.loads((finished_run / "spec.json").read_text())
    (finished_run / "spec.json").write_text(json.dumps(spec | {"layers": float("inf")}))
    assert "was edited" in load_run(finished_run).edited
    with pytest.raises(RunError, match=r"spec\.json was edited .*layers is inf there"):
        RunFolder.open(finished_run.parents[1], "east", spec, name=finished_run.name, provenance={})


@pytest.mark.parametrize("file", ["status.json", "plan.json", "provenance.json", "spec.json"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_one_file_the_run_is_marked_and_no_other_is_hidden(two_runs, file, data):
    root, path = two_runs.parents[1], two_runs / file
    whole = path.read_bytes()
    try:
        path.write_text(json.dumps(mutated(json.loads(whole), data.draw)))
        found = list_runs(root).set_index("name")
        assert found["status"]["good"] == "finished" and list(found.index) == ["first", "good"]
        described(list_runs(root))
        try:
            lines = _facts(load_run(two_runs))
        except RunError as error:
            assert str(path) in str(error) and "\n" not in str(error) and found["status"]["first"] == "broken"
        else:
            assert all(isinstance(line, str) for line in lines)
    finally:
        path.write_bytes(whole)
