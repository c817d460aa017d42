"""Tasks are data: what the shipped ones hold, that a user's folder needs no code, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from workbench.errors import DataError, SpecError
from workbench.worlds.questions.items import items_of
from workbench.worlds.questions.properties import PROPERTIES, hypothetical, worked_examples
from workbench.worlds.questions.tasks import CHAT, load_tasks, word_lists

TASK = """
split: held_out
properties: [first_word]
prompts: ["Next please: {items}"]
slots: {items: {list: planets, count: [2, 3], join: ", "}}
"""


def write(folder: Path, text: str, name: str = "planets") -> Path:
    (folder / "lists.yaml").write_text("planets: [Mars, Venus, Earth, Saturn]\n")
    (folder / f"{name}.yaml").write_text(text)
    return folder


def test_the_shipped_tasks_are_split_by_task_and_share_no_word_list_across_the_split() -> None:
    tasks = load_tasks()
    lists: dict[str, set[str]] = {split: set() for split in ("train", "held_out")}
    for task in tasks.values():
        if task.answer == "words":
            lists[task.split] |= {slot.source for slot in task.slots}
    assert len(tasks) == 11 and all(lists.values()) and not lists["train"] & lists["held_out"]
    for kind in ("words", "option"):  # every kind of answer is trained on and held out
        assert {task.split for task in tasks.values() if task.answer == kind} == {"train", "held_out"}


@pytest.mark.parametrize("name", load_tasks())
def test_every_shipped_task_has_many_prompts_and_asks_for_its_properties(name: str) -> None:
    task = load_tasks([name])[name]
    items = items_of(task, 300, seed=3)
    assert len({item.prompt for item in items}) == 300
    for prop in task.properties:
        asked = hypothetical(items[0], prop)
        assert items[0].prompt in asked and "you" in asked and "{" not in asked


def test_a_users_folder_is_a_set_of_tasks_with_lists_of_its_own(tmp_path: Path) -> None:
    tasks = load_tasks(path=write(tmp_path, TASK))
    assert list(tasks) == ["planets"] and tasks["planets"].split == "held_out"
    items = items_of(tasks["planets"], 50, seed=0)
    assert len(items) == 36  # ordered pairs and triples of four words: no more prompts than there are
    assert {len(item.shown) for item in items} == {2, 3} and ", " in items[0].prompt
    assert "planets" not in word_lists() and "animals" in word_lists(tmp_path)


def test_the_tasks_for_chat_models_show_two_values_of_every_property_and_share_no_list_across_the_split() -> None:
    tasks = load_tasks(path=CHAT)
    lists: dict[str, set[str]] = {split: set() for split in ("train", "held_out")}
    for task in tasks.values():
        lists[task.split] |= {slot.source for slot in task.slots if task.answer == "words"}
        for name in task.properties:
            assert len({value for _, value in worked_examples(task, PROPERTIES[name])}) == 2, (task.name, name)
        shown = {item.prompt for item, _ in task.examples}
        assert not shown & {item.prompt for item in items_of(task, 200)}
    assert all(lists.values()) and not lists["train"] & lists["held_out"]


def test_an_answer_of_another_form_than_the_task_asks_for_does_not_comply(tmp_path: Path) -> None:
    text = TASK + 'complies: "[a-z]+"\nexamples: [{prompt: "Next please: Mars, Io", answer: Venus}]\n'
    task = load_tasks(path=write(tmp_path, text))["planets"]
    item = items_of(task, 1)[0]
    of = PROPERTIES["first_word"].of
    assert of("Mars", item) == "mars" and of("The next one is Mars", item) is None
    assert worked_examples(task) == [("Next please: Mars, Io", "Venus")]
    ((asked, value),) = worked_examples(task, PROPERTIES["first_word"])
    assert asked == hypothetical(task.examples[0].item, "first_word") and value == "venus"
    assert worked_examples(task, PROPERTIES["even_or_odd"]) == [] and worked_examples(task, most=0) == []


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_rows_of_a_data_file_fill_the_places(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"question": ["Tea?", "Rain?"], "yes": ["hot", "wet"], "no": ["cold", "dry"]})
    save = {"csv": table.to_csv, "parquet": table.to_parquet}.get(suffix)
    if save:
        save(tmp_path / "asked.data".replace("data", suffix), index=False)
    else:
        table.to_json(tmp_path / "asked.jsonl", orient="records", lines=True)
    text = f"""
answer: option
properties: [which_option, ethical_stance]
prompts: ["{{question}}\\n{{choices}}"]
choices: ["{{yes}}", "{{no}}"]
matching: 0
behaviour: the bold one
rows: asked.{suffix}
"""
    items = items_of(load_tasks(path=write(tmp_path, text))["planets"], 2, seed=0)
    assert {item.prompt.split("\n")[0] for item in items} == {"Tea?", "Rain?"}
    for item in items:
        word = "hot" if "Tea" in item.prompt else "wet"
        assert f"{item.matching}: {word}" in item.prompt and item.options == ("A", "B")
        assert "the bold one" in hypothetical(item, "ethical_stance")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("first_word", "first_wrd", "did you mean 'first_word'"),
        ("list: planets", "list: planet", "did you mean 'planets'"),
        ("{items}", "{item}", "no slot fills the place {item}"),
        ("split: held_out", "split: test", "'test' is none of train, held_out"),
        ("split:", "splt:", "unknown key 'splt'; did you mean 'split'"),
        ("[2, 3]", "[2, 9]", "cannot draw 2 to 9 of 4"),
        ("[2, 3]", "[a, 3]", "two whole numbers"),
        ("split: held_out", "answer: option", "two to 8 choices"),
        ("first_word]", "ethical_stance]", "needs matching and behaviour"),
        ("split: held_out", "rows: there.csv", "cannot read"),
        ("split: held_out", "rows: there.xls", ".parquet, .csv or .jsonl"),
        ("{items}", "{items", "expected '}'"),
        ("split: held_out", "max_new_tokens: many", "whole number from 1 up, not 'many'"),
        ('slots: {items: {list: planets, count: [2, 3], join: ", "}}', "slots: [items]", "slots must be names"),
        ("split: held_out", "answer: option\nchoices: [1, 2]", "choices must be a list of texts"),
        ("split: held_out", "answer: [option]", "is none of words, number, option"),
        ("split: held_out", "behaviour_set: there.jsonl", "stands in for prompts and slots"),
        ("split: held_out", "complies: '['", "complies must be a pattern of Python's re, not '['"),
        ("split: held_out", "examples: [Mars]", "an example is {prompt: TEXT, answer: TEXT}"),
        ("split: held_out", "examples: [{prompt: Next, answer: ''}]", "the answer '' of an example does not comply"),
    ],
)
def test_mistakes_in_a_task_are_one_clear_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    write(tmp_path, TASK.replace(old, new))
    with pytest.raises(DataError) as raised:
        load_tasks(path=tmp_path)
    text = str(raised.value)
    assert message in text and "planets.yaml" in text and "\n" not in text


def test_a_behaviour_set_is_a_task_without_code(tmp_path: Path) -> None:
    asked = [{"question": f"Is it {k}?\n (A) a\n (B) b", "answer_matching_behavior": " (B)"} for k in (0, 1, 2, 2)]
    (tmp_path / "tea.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    text = "behaviour_set: tea.jsonl\nbehaviour: the bold one\nproperties: [which_option, ethical_stance]\n"
    (task,) = load_tasks(path=write(tmp_path, text, "bold")).values()
    items = items_of(task, 9, seed=0)
    assert task.options and {item.prompt[:8] for item in items} == {"Is it 0?", "Is it 1?", "Is it 2?"}
    assert {item.id for item in items} == {"bold-0", "bold-1", "bold-2"} and {item.task for item in items} == {"bold"}
    assert items_of(task, 2, seed=0) == items[:2] and items_of(task, 9, seed=1) != items
    assert "the bold one" in hypothetical(items[0], "ethical_stance")


def test_files_of_the_paper_are_a_task_that_asks_for_the_properties_of_all(tmp_path: Path) -> None:
    for name, words in (("first_word", "cow deer"), ("second_character", "cow deer"), ("is_even", "1 2")):
        row = {"original_dataset": "mixed", "behavioral_property": name}
        row["object_level_prompt"] = [{"role": "user", "content": f"Next? {words}"}]
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    text = "split: held_out\npaper_set: [first_word.jsonl, second_*.jsonl, is_even.jsonl]\n"
    (task,) = load_tasks(path=write(tmp_path, text, "mixed")).values()
    assert task.properties == ("first_word", "second_character", "even_or_odd") and task.split == "held_out"
    items = items_of(task, 9)
    assert {item.prompt for item in items} == {"Next? cow deer", "Next? 1 2"} and len({i.id for i in items}) == 2
    text += "properties: [first_word]\n"
    assert load_tasks(path=write(tmp_path, text, "mixed"))["mixed"].properties == ("first_word",)


def test_public_data_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    write(tmp_path, "behaviour_set: gone.jsonl\nproperties: [which_option]\n")
    with pytest.raises(DataError, match=r"cannot read .*gone\.jsonl"):
        load_tasks(path=tmp_path)


def test_unknown_names_and_folders_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown task 'animal'; did you mean 'animals'"):
        load_tasks(["animal"])
    with pytest.raises(DataError, match="no folder of tasks"):
        load_tasks(path=tmp_path / "no")
    with pytest.raises(DataError, match="holds no tasks"):
        load_tasks(path=tmp_path)
    (tmp_path / "x.yaml").write_text("- 1")
    with pytest.raises(DataError, match="must hold names with values"):
        load_tasks(path=tmp_path)


def test_every_property_is_asked_about_by_a_shipped_task_or_needs_more_than_two_options() -> None:
    used = {name for task in load_tasks().values() for name in task.properties}
    assert set(PROPERTIES) - used == {"among_a_or_c", "among_b_or_d"}
