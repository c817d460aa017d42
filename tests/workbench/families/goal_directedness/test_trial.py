"""A few answers before a run say what to change, and nothing where all is well."""

from __future__ import annotations

import warnings

import pytest

from workbench.errors import DataError, WorkbenchWarning
from workbench.families import run
from workbench.families.goal_directedness import GOAL_DIRECTEDNESS, GoalSpec
from workbench.families.goal_directedness.trial import check
from workbench.models.language_model import LanguageModel


@pytest.fixture
def mute(tiny_grid: LanguageModel) -> LanguageModel:
    """Untrained, and not the teacher: it says what it samples."""
    return LanguageModel(tiny_grid.backend, tiny_grid.tokenizer, "mute")


def _spec(small_spec: GoalSpec, **changes: object) -> GoalSpec:
    return small_spec.model_copy(update={"max_new_tokens": 8, **changes})


def test_answers_that_cannot_be_read_end_in_one_line_that_says_what_to_try(mute, small_spec) -> None:
    with pytest.raises(
        DataError, match=r"0 of 8 answers of mute \(reasoning\) could be read; one was '.*': try"
    ) as found:
        check(_spec(small_spec, modes=("reasoning",)), mute)
    for option in ("--forced", "--answer letter", "--wording full", "more than 8 max_new_tokens"):
        assert option in str(found.value)
    with pytest.raises(DataError, match=r"\(direct\) .* try --exact"):
        check(_spec(small_spec, modes=("direct",), exact=False, wording="full"), mute)


def test_a_forced_answer_passes_and_mass_on_what_is_no_answer_is_said(mute, small_spec) -> None:
    with pytest.warns(
        WorkbenchWarning, match=r"0\.\d\d of the probability of mute \(reasoning\) lies on what is no answer"
    ):
        check(_spec(small_spec, modes=("reasoning",), forced=True), mute)


def test_an_agent_that_answers_is_run_without_a_word(tiny_grid, teaching, small_spec) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", WorkbenchWarning)
        check(small_spec.model_copy(update={"modes": ("reasoning",)}), tiny_grid)


def test_a_run_that_cannot_be_read_is_refused_before_its_folder_is_made(
    mute, small_spec, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(GoalSpec, "load", lambda spec: mute)
    with pytest.raises(DataError, match="0 of 8 answers"):
        run(GOAL_DIRECTEDNESS, _spec(small_spec, modes=("reasoning",)), tmp_path)
    assert not list(tmp_path.iterdir())
