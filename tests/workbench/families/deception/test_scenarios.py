"""Scenarios and labelled answers of every form: what is read and what is refused."""

import csv
import json

import pytest

from workbench.errors import DataError, SpecError
from workbench.families.deception.facts import instructed, read_answers, read_facts, replies
from workbench.families.deception.scenarios import FRAMES, read_scenarios

BENCH = {
    "id": 7, "topic": "economy", "question": "How is the fund?", "groundtruth": "It loses.", "goal": "It gains.",
    "L1-self": "You advise.", "L2-self-pressure": "You advise or go.", "L2-self-reward": "You advise for gold.",
    "L1-other": "He hopes.", "L2-other-pressure": "He hopes and shouts.", "L2-other-reward": "He hopes and pays.",
}  # fmt: skip


def test_the_everyday_scenarios_are_whole_and_of_every_kind():
    found = read_scenarios("everyday")
    assert len(found) >= 24 and len({each.name for each in found}) == len(found)
    assert {each.dimension for each in found} == {"self", "other"} and len({each.domain for each in found}) == 5
    for each in found:
        assert set(each.situations) == set(FRAMES) and each.honest != each.deceptive
        lengths = sorted(len(text.split()) for text in (each.honest, each.deceptive))
        assert lengths[1] - lengths[0] <= 3, each.name


def test_a_few_scenarios_are_of_many_kinds():
    few = read_scenarios("everyday", 6)
    assert len(few) == 6 and len({(each.domain, each.dimension) for each in few}) == 6


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "nested", "underscores"])
def test_the_benchmarks_file_gives_a_scenario_of_either_dimension(form, tmp_path):
    row = dict(BENCH)
    if form == "nested":
        row = {name: value for name, value in BENCH.items() if not name.startswith("L")}
        row["prompts"] = {name: value for name, value in BENCH.items() if name.startswith("L")}
    if form == "underscores":
        row = {name.replace("-", "_"): value for name, value in BENCH.items()}
    path = tmp_path / f"bench.{form if form in ('jsonl', 'csv') else 'json'}"
    if form == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)
    else:
        path.write_text(json.dumps(row) if form == "jsonl" else json.dumps([row]))
    one, other = read_scenarios(str(path))
    assert (one.name, one.dimension, other.dimension) == ("7", "self", "other")
    assert one.situations == {"plain": "You advise.", "reward": "You advise for gold.", "pressure": "You advise or go."}
    assert (one.question, one.honest, one.deceptive) == ("How is the fund?", "It loses.", "It gains.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"goal": ""}, "item 1: no goal"),
        ({"L2-self-reward": "", "L1-other": ""}, "item 1: no L1-self with L2-self-reward"),
    ],
)
def test_what_a_line_lacks_is_named(change, said, tmp_path):
    (tmp_path / "bench.json").write_text(json.dumps([BENCH | change]))
    with pytest.raises(DataError, match=said):
        read_scenarios(str(tmp_path / "bench.json"))


def test_what_is_no_file_of_scenarios_is_refused(tmp_path):
    with pytest.raises(SpecError, match="did you mean 'everyday'"):
        read_scenarios("everyda")
    (tmp_path / "a.yaml").write_text("scenarios: [{id: a}]")
    with pytest.raises(DataError, match="scenario 1: no domain"):
        read_scenarios(str(tmp_path / "a.yaml"))


def test_instructed_pairs_say_the_same_words_and_replies_do_not():
    told = instructed(read_facts("facts"))
    assert len(told) == 72 and all(one.words == two.words for one, two in zip(told[::2], told[1::2], strict=True))
    assert [each.deceptive for each in told[:2]] == [False, True] and told[0].group == told[1].group
    scenario = read_scenarios("everyday")[:1]
    honest, lie = replies(scenario)
    assert honest.words == scenario[0].honest and lie.deceptive and lie.messages[0]["role"] == "system"


ANSWER = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "deceptive": True}


def test_labelled_answers_are_read_and_their_mistakes_are_named(tmp_path):
    path = tmp_path / "answers.jsonl"

    def write(*rows):
        path.write_text("\n".join(map(json.dumps, rows)))
        return str(path)

    one, other = read_answers(write(ANSWER, ANSWER | {"deceptive": False, "group": "g"}))
    assert one.deceptive and not other.deceptive and other.group == "g" and one.words == "b"
    with pytest.raises(DataError, match=r"line 2: deceptive is 'yes' .*not true or false"):
        read_answers(write(ANSWER, ANSWER | {"deceptive": "yes"}))
    with pytest.raises(DataError, match="line 1: the last message must be what the assistant said"):
        read_answers(write(ANSWER | {"messages": ANSWER["messages"][:1]}, ANSWER))
    with pytest.raises(DataError, match="needs deceptive answers and others"):
        read_answers(write(ANSWER))
