"""Any family: planned, run, resumed, judged."""

from __future__ import annotations

import dataclasses
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.errors import DataError, RunError, SpecError
from workbench.families import Claim, Context, Family, Spec, Step, plan, run, verdict
from workbench.families.claims import read_claims
from workbench.models.tiny import tiny_model
from workbench.runs import RunFolder, load_run
from workbench.runs.cells import Outcome
from workbench.statistics import Interval


class ToySpec(Spec):
    levels: tuple[float, ...] = (1.0, 2.0)
    stop: str = ""


def _steps(spec):
    yield Step("first", "draw", lambda context: _drawn(context, 0.0), completions=3)
    for level in spec.levels:
        yield Step(f"level-{level:g}", f"draw at {level:g}", lambda context, level=level: _drawn(context, level))
    yield Step("last", "only if wanted", lambda context: _drawn(context, 9.0), when=lambda c: c.spec.stop != "last")


STOP_AT = []  # levels at which somebody presses Ctrl-C


def _drawn(context, level):
    if level in STOP_AT:
        raise KeyboardInterrupt
    return pd.DataFrame({"level": level, "score": np.random.default_rng(context.seed("toy", str(level))).random(4)})


def _finish(context):
    context.folder.save_table("means", context.gather("level").groupby("level", as_index=False).mean())


def _claims():
    def more(context):
        scores = context.folder.load_table("means")["score"]
        yield verdict("score, highest less lowest level", Interval(scores.iloc[-1] - scores.iloc[0], -1, 1))

    return (Claim("higher levels score more", more),)


def without_times(lines):
    return [line.partition(" (")[0] for line in lines]


TOY = Family("toy", "A toy", ToySpec, {"smoke": ToySpec()}, _steps, _finish, _claims)


def test_run_writes_steps_tables_and_claims_and_says_each_step(tmp_path):
    lines = []
    path = run(TOY, ToySpec(), tmp_path, log=lines.append)
    record = load_run(path)
    assert record.steps() == ["first", "level-1", "level-2", "last"] and record.status.state == "finished"
    said = [re.fullmatch(r"(.*) \(0:00 gone(, about 0:00 left)?\)", line) for line in lines]
    assert [each[1] for each in said] == ["[1/4] draw", "[2/4] draw at 1", "[3/4] draw at 2", "[4/4] only if wanted"]
    assert [bool(each[2]) for each in said] == [False, False, True, False]  # known: a second of two levels
    assert list(read_claims(record)["claim"]) == ["higher levels score more"]
    assert record.load_table("claims")["held"].tolist() == [False]


def test_a_stopped_run_resumes_to_the_same_tables_and_does_no_step_twice(tmp_path, monkeypatch):
    whole = load_run(run(TOY, ToySpec(), tmp_path, "whole"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(globals(), "STOP_AT", [2.0])
        run(TOY, ToySpec(), tmp_path, "stopped")
    assert load_run(tmp_path / "toy" / "stopped").status.state == "interrupted"
    lines = []
    resumed = load_run(run(TOY, ToySpec(), tmp_path, "stopped", log=lines.append))
    assert without_times(lines) == ["[3/4] draw at 2", "[4/4] only if wanted"]
    pd.testing.assert_frame_equal(resumed.rows(), whole.rows())
    pd.testing.assert_frame_equal(resumed.load_table("means"), whole.load_table("means"))


class ModelToySpec(ToySpec):
    def load(self):
        return tiny_model("llama", MODEL_SEED)


MODEL_SEED = 0


def test_a_run_does_not_go_on_with_another_model(tmp_path, monkeypatch):
    family = dataclasses.replace(TOY, spec=ModelToySpec)
    path = run(family, ModelToySpec(), tmp_path)
    assert run(family, ModelToySpec(), tmp_path) == path
    before = load_run(path).provenance
    monkeypatch.setitem(globals(), "MODEL_SEED", 1)
    with pytest.raises(RunError, match=r"another model: fingerprint .* there and .* here"):
        run(family, ModelToySpec(), tmp_path)
    assert load_run(path).provenance == before and load_run(path).status.state == "finished"


def test_a_lost_artifact_is_made_again_by_its_step_alone(tmp_path):
    def saving(context, name):
        context.folder.save_tensors(name, {"x": torch.ones(3)})
        return pd.DataFrame({"name": [name]})

    steps = [Step(name, f"make {name}", partial(saving, name=name)) for name in ("one", "two")]
    family = Family("toy", "A toy", ToySpec, {}, lambda spec: steps)
    path = run(family, ToySpec(), tmp_path)
    (path / "artifacts" / "two.safetensors").unlink()
    lines = []
    assert run(family, ToySpec(), tmp_path, log=lines.append) == path and without_times(lines) == ["[2/2] make two"]
    assert load_run(path).load_arrays("two")["x"].tolist() == [1, 1, 1] and load_run(path).status.state == "finished"


def test_a_step_whose_condition_is_false_is_no_part_of_the_run(tmp_path):
    record = load_run(run(TOY, ToySpec(stop="last"), tmp_path))
    assert record.steps() == ["first", "level-1", "level-2"]
    assert record.status.total == 3 and record.status.state == "finished"


def test_what_cannot_be_run_is_refused_before_a_folder_is_made(tmp_path):
    def check(spec, model):
        raise SpecError("levels must rise")

    family = Family("toy", "A toy", ToySpec, {}, _steps, check=check)
    for act in (plan, lambda *given: run(*given, tmp_path)):
        with pytest.raises(SpecError, match="levels must rise"):
            act(family, ToySpec())
    assert not (tmp_path / "toy").exists()


def test_context_gathers_a_kind_of_step_but_not_another_that_begins_alike(tmp_path):
    record = load_run(run(TOY, ToySpec(), tmp_path))
    context = Context(ToySpec(), record)
    assert context.gather("level")["level"].unique().tolist() == [1.0, 2.0]
    assert context.gather("level", but=("level-1",))["level"].unique().tolist() == [2.0]
    assert context.gather("nothing").empty
    assert len(context.gather("first")) == 4  # a step of that very name


def test_claims_of_a_run_of_the_first_version_are_read(tmp_path):
    record = load_run(run(Family("toy", "A toy", ToySpec, {}, _steps), ToySpec(), tmp_path))
    assert read_claims(record) is None
    old = pd.DataFrame({"rendering": ["buttons"], "ordering": ["a above b"], "held": [True], "evidence": ["+1"]})
    old.to_parquet(record.path / "artifacts" / "orderings.parquet")
    found = read_claims(record)
    assert found[["claim", "on", "held"]].iloc[0].tolist() == ["a above b", "buttons", True]


def test_damaged_claims_are_an_error_that_names_the_file(tmp_path):
    record = load_run(run(Family("toy", "A toy", ToySpec, {}, _steps), ToySpec(), tmp_path))
    pd.DataFrame({"x": [1]}).to_parquet(record.path / "artifacts" / "orderings.parquet")
    with pytest.raises((RunError, ValueError), match=r"orderings\.parquet"):
        read_claims(record)


class SideSpec(Spec):
    jobs: int = 1


def _fails(context):
    raise DataError("nothing drawn")


@pytest.fixture
def side(monkeypatch):
    """A family of steps that run side by side; the second of its three fails."""

    def steps(spec):
        yield Step("a", "threads", lambda context: pd.DataFrame({"threads": [torch.get_num_threads()]}))
        yield Step("b", "fails", _fails, after=("a",))
        yield Step("c", "goes", lambda context: pd.DataFrame({"x": [2]}), after=("a",))

    family = Family("side", "Side by side", SideSpec, {}, steps, processes=True)
    monkeypatch.setattr("workbench.families.get_family", lambda name: family)  # as a process asks for it
    return family


def test_an_error_beside_others_is_raised_as_it_is_and_what_was_finished_stays(side, tmp_path):
    lines = []
    with pytest.raises(DataError, match="nothing drawn"):
        run(side, SideSpec(), tmp_path, "run", log=lines.append)
    record = load_run(tmp_path / "side" / "run")
    assert record.steps() == ["a"] and record.status.state == "failed" and without_times(lines) == ["[1/3] threads"]
    assert record.read("a")["threads"].tolist() == [1]


def test_only_steps_that_are_left_are_done_side_by_side(side, tmp_path):
    with RunFolder.open(tmp_path, "side", SideSpec(), "run") as folder:
        folder.write("b", pd.DataFrame({"x": [1]}))
    record = load_run(run(side, SideSpec(), tmp_path, "run"))
    assert record.steps() == ["a", "b", "c"] and record.rows()["x"].dropna().tolist() == [1, 2]


def test_a_step_whose_process_died_is_an_error_that_names_it(side, tmp_path, monkeypatch):
    dead = pd.DataFrame([{"cell": "a", "status": "failed", "error": "the process that computed it died"}])
    engine = lambda jobs: lambda work, cells: iter([Outcome("a", dead)])  # noqa: E731
    monkeypatch.setattr("workbench.runs.engines.LocalEngine", engine)
    with pytest.raises(RunError, match="step a: the process that computed it died"):
        run(side, SideSpec(), tmp_path, "run")
    assert not load_run(tmp_path / "side" / "run").steps()


def test_a_run_that_is_ended_while_its_figures_are_drawn_is_not_finished_and_only_draws_when_it_goes_on(tmp_path):
    seen, lines = [], []

    def drawing(record):
        seen.append((record.status.state, record.load_table("claims")["held"].tolist()))
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(TOY, ToySpec(), tmp_path, "half", last=drawing)
    assert load_run(tmp_path / "toy" / "half").status.state == "interrupted"
    path = run(TOY, ToySpec(), tmp_path, "half", log=lines.append, last=drawing)
    assert seen == [("running", [False])] * 2 and lines == [] and load_run(path).status.state == "finished"
