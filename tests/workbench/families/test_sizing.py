"""A run of so many minutes: its sizes follow from a timed pass, and its folder says all that repeats it."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd
import pytest
from pydantic import Field

from workbench.errors import RunError, WorkbenchWarning
from workbench.families import Family, ModelSpec, Step, families, get_family, run, sizing
from workbench.families.sizing import fitted, scaled
from workbench.families.timing import Speed, seconds_of, timed
from workbench.models.tiny import tiny_model
from workbench.runs import load_run

SPEED = Speed(load=0.0, read=1000.0, draw=10.0)


class ToySpec(ModelSpec):
    sized: ClassVar[tuple[str, ...]] = ("prompts", "episodes")

    model: str = "bandit-agent"
    prompts: int = Field(100, ge=4)
    episodes: int = Field(3, ge=2)
    max_new_tokens: int = 5
    level: float = 1.0


def _steps(spec):
    work = lambda run: pd.DataFrame({"prompts": [run.spec.prompts]})  # noqa: E731
    return [Step("ask", "", work, spec.prompts), Step("read", "", work, tokens=1000 * spec.episodes)]


TOY = Family("toy", "A toy", ToySpec, {}, _steps)


@pytest.fixture
def passes(monkeypatch):
    """Timed passes that were made; they are not timed here."""
    made = []
    monkeypatch.setattr(sizing, "timed", lambda load: (load(), made.append(SPEED) or SPEED))
    return made


def test_seconds_are_tokens_drawn_and_read_over_their_speeds_and_the_loading():
    spec = ToySpec()
    assert seconds_of(_steps(spec), spec, Speed(2.0, 1000.0, 10.0)) == 2 + 100 * 5 / 10 + 3000 / 1000


def test_sizes_are_the_largest_that_fit_and_are_cut_alike():
    found = fitted(TOY, ToySpec(minutes=0.5), SPEED)
    assert found == ToySpec(prompts=56, episodes=2)  # 28 + 2 of 30 s; all would be 53
    more = found.model_copy(update={"prompts": 57})
    assert seconds_of(_steps(found), found, SPEED) <= 30 < seconds_of(_steps(more), more, SPEED)
    assert fitted(TOY, ToySpec(minutes=5), SPEED) == ToySpec()  # never more than was asked for


def test_a_run_that_does_not_fit_at_its_least_sizes_is_said():
    with pytest.warns(WorkbenchWarning, match=r"0.01 minutes: at its least sizes this run takes about 0:04"):
        assert fitted(TOY, ToySpec(minutes=0.01), SPEED) == ToySpec(prompts=4, episodes=2)


def test_the_run_folder_holds_the_sizes_and_the_same_command_goes_on_with_them(tmp_path, passes, monkeypatch):
    path, lines = run(TOY, ToySpec(minutes=0.5), tmp_path), []
    assert ToySpec.model_validate(load_run(path).spec) == ToySpec(prompts=56, episodes=2)
    monkeypatch.setattr(sizing, "timed", None)  # not timed again
    assert run(TOY, ToySpec(minutes=0.5), tmp_path, log=lines.append) == path and lines == []
    again = load_run(run(TOY, ToySpec.model_validate(load_run(path).spec), tmp_path))
    assert again.path != path and again.rows().equals(load_run(path).rows())


def test_a_named_folder_of_another_spec_is_refused(tmp_path, passes):
    run(TOY, ToySpec(minutes=0.5), tmp_path, "mine")
    with pytest.raises(RunError, match="another spec"):
        run(TOY, ToySpec(minutes=0.5, level=2.0), tmp_path, "mine")


def test_a_timed_pass_counts_tokens_of_the_model_that_it_gives_back():
    model = tiny_model("llama")
    same, speed = timed(lambda: model)
    assert same is model and 0 < speed.draw <= speed.read and speed.load >= 0


@pytest.mark.parametrize("name", [name for name, f in families().items() if issubclass(f.spec, ModelSpec)])
def test_every_family_with_a_model_has_a_laptop_preset_that_shrinks_and_fits_any_depth(name):
    family = get_family(name)
    if not family.presets:
        return
    laptop = family.presets["laptop"].model_copy(update={"model": family.presets["smoke"].model})  # one that ships
    small = scaled(laptop, 0.01)
    assert laptop.minutes and laptop.sized and small.minutes is None
    cost = lambda spec: seconds_of(family.steps(spec), spec, SPEED)  # noqa: E731
    assert cost(small) < cost(scaled(laptop, 1.0)) / 2
