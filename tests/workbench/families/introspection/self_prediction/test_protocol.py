"""Questions and protocol: who is asked what, splits that do not overlap, and answers that are the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.errors import ModelError, SpecError, WorkbenchWarning
from workbench.families.introspection.self_prediction.compliance import check_compliance, compliance
from workbench.families.introspection.self_prediction.protocol import (
    Question,
    Questions,
    asked,
    behaviour,
    foreseen,
    sampled_behaviour,
    sampled_foresight,
)
from workbench.models import load_model
from workbench.models.tiny import tiny_model
from workbench.worlds.questions.items import items_of
from workbench.worlds.questions.properties import PROPERTIES, compliant, hypothetical
from workbench.worlds.questions.tasks import load_tasks


@pytest.fixture(scope="module")
def model(tiny_babblers):
    return load_model(tiny_babblers / "m1", device="cpu")


@pytest.fixture(scope="module")
def questions(tiny_self_prediction: Any) -> Questions:
    return Questions(tiny_self_prediction)


def test_no_tested_prompt_is_a_training_prompt_and_held_out_tasks_only_test(questions: Questions) -> None:
    train, test = ({q.item.prompt for q in questions.role(role)} for role in ("train", "test"))
    assert train and test and not train & test
    assert {q.task.name for q in questions.role("train")} == {"words"}
    assert {q.task.name for q in questions.role("test")} == {"words", "beasts"}


def test_at_most_so_many_of_each_task_are_taken(questions: Questions) -> None:
    counts = pd.Series([q.task.name for q in questions.role("test", 3)]).value_counts()
    assert counts.to_dict() == {"words": 3, "beasts": 3}


def test_a_task_with_few_prompts_keeps_the_shares(tiny_self_prediction: Any) -> None:
    many = tiny_self_prediction.model_copy(
        update={"train_prompts": 30_000, "test_prompts": 10_000, "tasks": ("words",)}
    )
    found = Questions(many.model_copy(update={"train_prompts": 3000, "test_prompts": 1000}))
    train, test = (len(found.role(role)) for role in ("train", "test"))
    assert train + test < 4000 and train / (train + test) == pytest.approx(0.75, abs=0.01)


def test_without_a_training_task_there_is_nothing_to_finetune_on(tiny_self_prediction: Any) -> None:
    with pytest.raises(SpecError, match="nothing to finetune on"):
        Questions(tiny_self_prediction.model_copy(update={"tasks": ("beasts",)}))


def test_behaviour_is_the_models_greedy_answer_and_its_properties(model, questions: Questions) -> None:
    few = questions.role("test", 4)
    table = behaviour(model, few)
    question = few[2]
    prompt = [{"role": "user", "content": question.item.prompt}]
    ((one,),) = model.generate([prompt], max_new_tokens=question.task.max_new_tokens, temperature=0)
    rows = table[table["id"] == question.item.id]
    assert set(rows["answer"]) == {one.text} and rows["property"].tolist() == list(question.task.properties)
    expected = [PROPERTIES[name].of(one.text, question.item) for name in rows["property"]]
    assert [None if pd.isna(value) else value for value in rows["value"]] == expected


def test_predictions_are_greedy_answers_to_the_hypothetical_question(model, questions: Questions) -> None:
    few = questions.role("test", 2)
    row = foreseen(model, few, 5).iloc[-1]
    question = questions.by_id[row["id"]]
    prompt = [{"role": "user", "content": hypothetical(question.item, row["property"])}]
    ((one,),) = model.generate([prompt], max_new_tokens=5, temperature=0)
    assert row["answer"] == one.text
    value = None if pd.isna(row["value"]) else row["value"]
    assert value == compliant(one.text, question.item, row["property"])


def test_samples_count_to_n_and_do_not_depend_on_company(model, questions: Questions) -> None:
    few = questions.role("test", 3)
    for draw in (sampled_behaviour, lambda *a: sampled_foresight(a[0], a[1], 4, *a[2:])):
        table = draw(model, few, 6, 0)
        assert set(table.groupby(["id", "property"])["count"].sum()) == {6}
        alone = draw(model, few[-1:], 6, 0)
        pd.testing.assert_frame_equal(table[table["id"] == few[-1].item.id].reset_index(drop=True), alone)
    assert not sampled_behaviour(model, few, 6, 0).equals(sampled_behaviour(model, few, 6, 1))


def test_a_model_without_a_chat_template_answers_in_a_line() -> None:
    model = tiny_model()
    model.tokenizer.chat_template = None
    assert asked(model, "a?") == "a?\n"
    model.tokenizer.chat_template = "x"
    assert asked(model, "a?") == [{"role": "user", "content": "a?"}]


def test_worked_examples_come_first_as_turns_of_a_chat_or_as_lines(tmp_path: Path) -> None:
    text = "properties: [first_character]\nprompts: ['Go on: {items}']\nslots: {items: {list: colours, count: 2}}\n"
    (tmp_path / "x.yaml").write_text(text + "examples: [{prompt: 'Go on: a b', answer: Owl}, {prompt: c, answer: d}]\n")
    task = load_tasks(path=tmp_path)["x"]
    question = Question(items_of(task, 1)[0], task, "test", shots=1)
    model, prop = tiny_model(), PROPERTIES["first_character"]
    told = hypothetical(task.examples[0].item, prop)
    turns = [(m["role"], m["content"]) for m in question.prompt(model, prop)]
    assert turns == [("user", told), ("assistant", "o"), ("user", hypothetical(question.item, prop))]
    model.tokenizer.chat_template = None
    assert question.prompt(model) == f"Go on: a b\nOwl\n{question.item.prompt}\n"


def test_a_model_whose_answers_cannot_be_read_is_told_before_the_run(model, tiny_self_prediction, tmp_path) -> None:
    text = "properties: [first_character]\nprompts: ['Go on: {items}']\nslots: {items: {list: colours, count: 2}}\n"
    for name, pattern in (("stern", "never"), ("strict", "never"), ("loose", ".*")):
        (tmp_path / f"{name}.yaml").write_text(text + f"complies: '{pattern}'\n")
    spec = tiny_self_prediction.model_copy(update={"tasks_path": str(tmp_path)})
    with pytest.raises(ModelError, match=r"m1: none of 2 trial answers complies.*worked examples"):
        check_compliance(model, Questions(spec.model_copy(update={"tasks": ("strict",)})), 4)
    rows = compliance(model, Questions(spec), 4).set_index(["task", "level"])
    assert rows.loc[("strict", "answers"), "complies"] == 0 and rows.loc[("loose", "answers"), "complies"] == 2
    told = r"only 2 of 6 trial answers comply \(stern 0 of 2, strict 0 of 2\): give its task"
    with pytest.warns(WorkbenchWarning, match=told):
        check_compliance(model, Questions(spec), 4)
