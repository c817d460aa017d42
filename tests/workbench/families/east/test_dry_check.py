"""A model whose answers cannot be read is stopped before the run, with what would be better."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import DataError
from workbench.families import run
from workbench.families.east import EAST, PRESETS
from workbench.families.east.dry_check import check

SMOKE = PRESETS["smoke"].model_copy(update={"renderings": ("buttons",)})


def test_a_model_whose_answers_are_cut_off_is_told_what_to_change(bandit_model, tmp_path: Path) -> None:
    spec = SMOKE.model_copy(update={"max_new_tokens": 4})
    with pytest.raises(DataError) as error:
        check(spec, bandit_model)
    said = str(error.value)
    assert "0% of the answers can be read" in said and "exact, no thoughts, answer action: 0%" in said
    assert "--no-dry-check" in said and "\n" not in said


def test_nothing_is_run_then(monkeypatch: pytest.MonkeyPatch, bandit_model, tmp_path: Path) -> None:
    monkeypatch.setattr(type(SMOKE), "load", lambda self: bandit_model)
    with pytest.raises(DataError, match="can be read"):
        run(EAST, SMOKE.model_copy(update={"max_new_tokens": 4}), tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_form_of_answer_that_leaves_the_arms_out_is_stopped_in_exact_mode(bandit_model) -> None:
    exact = {"thoughts": False, "exact": True}
    with pytest.raises(DataError, match=r"lies on none of the arms.*answer action: 0%"):
        check(SMOKE.model_copy(update=exact | {"answer": "json"}), bandit_model)
    check(SMOKE.model_copy(update=exact), bandit_model)
    check(SMOKE.model_copy(update=exact | {"answer": "json", "dry_check": False}), bandit_model)


def test_a_model_that_answers_and_a_plan_without_one_pass(bandit_model) -> None:
    check(SMOKE, bandit_model)
    check(SMOKE, None)
