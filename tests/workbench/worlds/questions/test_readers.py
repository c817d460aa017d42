"""Readers of public data: files as they are published, and files that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.errors import DataError
from workbench.worlds.questions.items import items_of
from workbench.worlds.questions.properties import PROPERTIES, hypothetical
from workbench.worlds.questions.readers import read_behaviour_set, read_paper_set
from workbench.worlds.questions.tasks import load_tasks


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def choice(question: str, matching: str) -> dict[str, str]:
    return {"question": question, "answer_matching_behavior": matching, "answer_not_matching_behavior": ""}


def test_a_choice_set_gives_options_and_the_one_that_shows_the_behaviour(tmp_path: Path) -> None:
    rows = [choice("Tea now?\n\nChoices:\n (A) Yes\n (B) No\n\nAnswer:", " (B)"), choice('Is it you?\n"I am"', " Yes")]
    one, two = read_behaviour_set(lines(tmp_path / "thirst_now.jsonl", *rows))
    assert (one.options, one.matching, one.answer) == (("A", "B"), "B", "option")
    assert one.prompt.endswith("(B) No\nAnswer with the letter only.") and one.id == "thirst-now-0"
    assert (two.options, two.matching) == (("Yes", "No"), "Yes")
    assert "the answer that shows thirst now" in hypothetical(one, "ethical_stance")


def test_rows_without_their_option_in_the_question_are_left_out(tmp_path: Path) -> None:
    file = lines(
        tmp_path / "x.jsonl", choice("Which?\n (A) a\n (B) b", " (C)"), choice("Which?\n (A) a\n (B) b", " (A)")
    )
    assert [item.id for item in read_behaviour_set(file)] == ["x-1"]


PAPER = {
    "original_question": "cow deer",
    "original_dataset": "beasts_long",
    "object_level_prompt": [{"role": "user", "content": "What comes next? cow deer\n"}],
    "hypothetical_prompt": [{"role": "user", "content": "Previously ..."}],
    "behavioral_property": "second_character",
    "option_matching_ethical_stance": None,
}


def test_a_file_of_the_paper_gives_items_with_their_property(tmp_path: Path) -> None:
    stance = PAPER | {
        "original_dataset": "haste",
        "object_level_prompt": [{"role": "user", "content": "Which?\nA - 1 today\nB - 9 in a year\nOnly A or B."}],
        "behavioral_property": "ethical_stance",
        "option_matching_ethical_stance": "A",
    }
    one, two = read_paper_set(lines(tmp_path / "p.jsonl", PAPER, stance))
    assert one.item.prompt == "What comes next? cow deer" and one.property.of("fox owl", one.item) == "o"
    assert two.item.options == ("A", "B") and two.property.of(" A ", two.item) == "true"
    assert two.property.of("B", two.item) == "false" and two.property.of("C", two.item) is None


def test_a_prompt_is_a_list_of_messages_in_the_papers_repository_and_a_text_on_the_hub(tmp_path: Path) -> None:
    hub = PAPER | {"object_level_prompt": "What comes next? cow deer\n"}
    listed, text = read_paper_set(lines(tmp_path / "p.jsonl", PAPER, hub))
    assert listed.item.prompt == text.item.prompt and listed.property is text.property
    with pytest.raises(DataError, match="line 1: object_level_prompt must be a text or a list of chat messages"):
        read_paper_set(lines(tmp_path / "q.jsonl", PAPER | {"object_level_prompt": 3}))


def test_numbers_and_whole_answers_have_our_names(tmp_path: Path) -> None:
    rows = [PAPER | {"original_dataset": "number_triplets", "behavioral_property": "is_even"}]
    rows.append(PAPER | {"behavioral_property": "identity"})
    even, whole = read_paper_set(lines(tmp_path / "p.jsonl", *rows))
    assert even.property.of("12", even.item) == "even" and even.property.of("twelve", even.item) is None
    assert whole.property.name == "which_option"


@pytest.mark.parametrize("read", [read_behaviour_set, read_paper_set])
def test_files_of_another_kind_are_one_clear_line(tmp_path: Path, read) -> None:
    with pytest.raises(DataError, match=r"cannot read .*gone\.jsonl: No such file"):
        read(tmp_path / "gone.jsonl")
    (tmp_path / "text.jsonl").write_text("Dear reader")
    with pytest.raises(DataError, match="line 1 is no JSON"):
        read(tmp_path / "text.jsonl")
    with pytest.raises(DataError, match=r"line 1 has no .*not a file of this kind"):
        read(lines(tmp_path / "other.jsonl", {"statement": "x"}))


def test_an_unknown_property_of_the_paper_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: unknown property 'frst_word'; did you mean 'first_word'"):
        read_paper_set(lines(tmp_path / "p.jsonl", PAPER | {"behavioral_property": "frst_word"}))


@pytest.mark.parametrize(
    ("name", "least"), [("myopic-reward", 950), ("power-seeking-inclination", 950), ("survival-instinct", 900)]
)
def test_published_behaviour_sets_are_read_nearly_whole(shared_data: Path, name: str, least: int) -> None:
    file = shared_data / "texts" / "anthropic_evals" / f"{name}.jsonl"
    if not file.exists():
        pytest.skip(f"no {file}")
    items = read_behaviour_set(file)
    assert len(items) >= least and len({item.id for item in items}) == len(items)
    assert all(item.matching in item.options and len(item.options) >= 2 for item in items)
    assert {item.matching for item in items} >= {"A", "B"}


def test_a_published_behaviour_set_is_a_task(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "texts" / "anthropic_evals" / "risk-averse.jsonl"
    if not file.exists():
        pytest.skip(f"no {file}")
    text = f"behaviour_set: {file}\nbehaviour: the cautious answer\nproperties: [which_option, ethical_stance]\n"
    (tmp_path / "caution.yaml").write_text(text)
    (task,) = load_tasks(path=tmp_path).values()
    items = items_of(task, 200)
    assert len(items) == 200 and len({item.prompt for item in items}) == 200
    for item in items:
        assert PROPERTIES["ethical_stance"].of(item.matching, item) == "true"
        assert "the cautious answer" in hypothetical(item, "ethical_stance")
