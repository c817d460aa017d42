"""Specs: the presets, and mistakes that are named."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from workbench.families.introspection.self_prediction.spec import PRESETS, SelfPredictionSpec
from workbench.families.introspection.self_prediction.steps import pairings
from workbench.worlds.questions.tasks import CHAT, SHIPPED


def test_the_gpu_preset_has_the_papers_numbers() -> None:
    spec = PRESETS["gpu"]
    assert (spec.rank, spec.batch, spec.epochs, spec.lr, spec.train_prompts) == (32, 16, 1, 2e-5, 1000)
    assert (spec.samples, spec.bins, spec.shift_pairs) == (20, 10, 1000)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("probe", "ridgy", "did you mean 'ridge'"),
        ("probe", "ridge-regression", "unknown probe"),
        ("candidates", ("copy",), "other model"),
        ("candidates", ("babbler-a",), "is M1 already"),
        ("candidates", ("x", "x"), "named twice"),
        ("seconds", 3, "there are 2 candidates"),
        ("directions", (), "at least one"),
        ("layers", (), "at least one"),
    ],
)
def test_mistakes_are_named(field: str, value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SelfPredictionSpec(**{field: value})


def test_a_second_model_must_be_named_where_the_first_is_no_babbler() -> None:
    with pytest.raises(
        ValidationError, match="babbler-b is a toy beside org/chat: name a second model, as in candidates"
    ):
        SelfPredictionSpec(model="org/chat")
    with pytest.raises(ValidationError, match="name a second model"):  # also when it comes from a preset
        SelfPredictionSpec.model_validate(PRESETS["cpu"].model_dump() | {"model": "org/chat"})
    assert SelfPredictionSpec(model="org/chat", candidates=("org/other", "copy")).task_folder() == CHAT
    assert SelfPredictionSpec().task_folder() == SHIPPED
    assert str(SelfPredictionSpec(tasks_path="~/own").task_folder()).endswith("/own")


def test_one_mistake_is_told_once() -> None:
    with pytest.raises(ValidationError) as raised:
        SelfPredictionSpec(candidates=("babbler-a",))
    assert raised.value.error_count() == 1


def test_every_direction_has_its_own_finetunings() -> None:
    both = SelfPredictionSpec()
    first, second = "first", "second-1"
    assert pairings(both) == [(first, first), (second, first), (second, second), (first, second)]
    forward = SelfPredictionSpec(directions=("forward",), seconds=2)
    assert pairings(forward) == [(first, first), (second, first), ("second-2", first)]
