"""Pairs from users' files: every layout reads to the same, and what is no pair is one line that says where."""

import json

import pytest

from workbench.errors import ArtifactError, DataError, SpecError
from workbench.families.steer.pairs import Pair, pair, read_pairs, split
from workbench.families.steer.rules import RULES, read_rule

ROWS = [(f"The {k} soup was good.", f"The {k} soup was bad.") for k in range(9)]


def test_json_lines_json_and_csv_read_to_the_same(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"positive": p, "negative": n}) for p, n in ROWS) + "\n\n")
    (tmp_path / "b.json").write_text(json.dumps([{"chosen": p, "rejected": n} for p, n in ROWS]))
    (tmp_path / "c.csv").write_text("up,down\n" + "\n".join(f"{p},{n}" for p, n in ROWS))
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    found = [read_pairs(str(tmp_path / name)) for name in ("a.jsonl", "b.json", "c.csv", "d.jsonl")]
    assert all(each == found[0] for each in found)
    assert found[0][3] == Pair("The 3 soup was", " good.", " bad.")


def test_prompts_may_be_texts_or_chats(tmp_path):
    chat = [{"role": "user", "content": "How was it?"}]
    rows = [{"prompt": chat, "positive": f"Good {k}.", "negative": "Bad."} for k in range(8)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first = read_pairs(str(tmp_path / "a.jsonl"))[0]
    assert (first.up, first.down) == ("Good 0.", "Bad.")
    assert first.whole(first.up)[-1] == {"role": "assistant", "content": "Good 0."}
    assert pair("good", "bad", "It was ").up == "good"
    assert pair("Yes", "No").prompt == "\n", "nothing is shared"
    assert pair("It is", "It is not so") == Pair("It", " is", " is not so")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"positive": "a"}', "line 9 is no pair: it needs positive and negative"),
        ('{"positive": "a", "negative": "a "}', "line 9: positive and negative must be two different texts"),
        ('{"positive": "a", "negative": 3}', "must be two different texts"),
        ('{"positive": "a", "negative": "b", "prompt": [{"role": 1}]}', "line 9: "),
        ("{oops", "line 9 is not JSON"),
    ],
)
def test_what_is_no_pair_is_one_line_that_says_where(tmp_path, line, said):
    rows = [json.dumps(row) for row in ROWS[:8]] + [line]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    with pytest.raises(DataError, match=said):
        read_pairs(str(tmp_path / "a.jsonl"))


def test_few_pairs_and_pairs_that_stand_there_twice(tmp_path):
    (tmp_path / "few.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS[:7] + ROWS[:7]))
    twice = pytest.warns(UserWarning, match="7 pairs stand there twice")
    with twice, pytest.raises(DataError, match="has 7 pairs: 8 are the least"):
        read_pairs(str(tmp_path / "few.jsonl"))
    with pytest.raises(ArtifactError, match="no such file"):
        read_pairs(str(tmp_path / "nowhere.jsonl"))


def test_no_pair_is_in_two_parts_and_the_seed_decides():
    pairs = [pair(p, n) for p, n in ROWS]
    parts = split(pairs, 0)
    assert sorted(p.prompt for part in parts for p in part) == sorted(p.prompt for p in pairs)
    assert [len(part) for part in parts] == [5, 2, 2]
    assert split(pairs, 0) == parts and split(pairs, 1) != parts


PASSES = {
    "json": '{"a": 1}', "bullets": "- a\n- b", "lowercase": "so", "uppercase": "SO", "question": "So?",
    "exclamation": "So!", "no_commas": "so it is", "one_sentence": "So it is.", "max_words:2": "so it",
    "min_words:2": "so it", "contains:so": "And so.", "starts_with:And": "and so", "ends_with:so.": "and So.",
}  # fmt: skip
FAILS = {
    "json": "a: 1", "bullets": "- a", "lowercase": "So", "uppercase": "So", "question": "So.", "exclamation": "So.",
    "no_commas": "so, it is", "one_sentence": "So. It is.", "max_words:2": "so it is", "min_words:2": "so",
    "contains:so": "also", "starts_with:And": "so and", "ends_with:so.": "so",
}  # fmt: skip


def test_every_rule_passes_what_it_should_and_nothing_else():
    assert {rule.partition(":")[0] for rule in PASSES} == set(RULES)
    for rule, text in PASSES.items():
        assert read_rule(rule)(text) and not read_rule(rule)(FAILS[rule]) and not read_rule(rule)("  "), rule


@pytest.mark.parametrize("rule", ["jsno", "max_words", "max_words:", "max_words:many", "json:1"])
def test_a_rule_that_cannot_be_read_is_one_line(rule):
    with pytest.raises(SpecError):
        read_rule(rule)
