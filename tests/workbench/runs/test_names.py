"""No name, whatever it is, leads out of the run folder."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workbench.errors import RunError
from workbench.runs import RunFolder
from workbench.runs.names import check_name

NEAR_NAMES = st.text(alphabet="ab.=-_/\\ \0\n:~é", max_size=12)


@given(st.text(max_size=20) | NEAR_NAMES)
@example("..")
@example("/etc/passwd")
@example("a/../../b")
@example("name\n")
@example("C:\\x")
def test_an_accepted_name_is_one_plain_file_name_below_the_folder(name):
    folder = Path("/root/runs/east/first/rows")
    try:
        accepted = check_name(name, "step")
    except RunError as error:
        assert "\n" not in str(error)
        return
    assert accepted == name
    assert (folder / f"{name}.parquet").resolve().parent == folder
    assert not name.startswith((".", "-"))
    assert not set(name) & set("/\\\0\n :")


@given(st.from_regex(r"[a-z][a-z0-9=,_+@-]{0,40}", fullmatch=True))
def test_ordinary_names_are_accepted(name):
    assert check_name(name, "step") == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-x", "a/b", "a\\b", "/abs", "a..b", "x" * 151, 3, None])
def test_name_that_could_leave_is_refused_with_what_is_allowed(name):
    with pytest.raises(RunError, match=r"step name .* cannot be a file name: use letters"):
        check_name(name, "step")


@pytest.mark.parametrize("name", ["../../escape", "/tmp/escape", "sub/escape", ".."])
def test_every_way_into_a_run_checks_its_name(tmp_path, spec, frame, name):
    root = tmp_path / "runs"
    for opened in ({"experiment": name}, {"experiment": "east", "name": name}):
        with pytest.raises(RunError, match="cannot be a file name"):
            RunFolder.open(root, spec=spec, **opened)
    assert not root.exists()
    with RunFolder.open(root, "east", spec) as run:
        before = sorted(tmp_path.rglob("*"))
        for call in (
            lambda: run.write(name, frame),
            lambda: run.read(name),
            lambda: run.done(name),
            lambda: run.plan([name]),
            lambda: run.save_tensors(name, {}),
            lambda: run.load_tensors(name),
            lambda: run.save_table(name, frame),
            lambda: run.load_table(name),
            lambda: run.write_json(name, {}),
            lambda: run.read_json(name),
        ):
            with pytest.raises(RunError, match="cannot be a file name"):
                call()
        assert sorted(tmp_path.rglob("*")) == before
