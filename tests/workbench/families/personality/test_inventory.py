"""Inventories of every form: what is read, in which order options are listed, and what is refused."""

import json

import pytest

from workbench.errors import DataError, SpecError, WorkbenchWarning
from workbench.families.personality.inventory import RATINGS, Item, read_inventory, statement, traits_of

SITUATION = {
    "personality": "Psychopathy", "situation": "A colleague weeps in the kitchen.", "query": "What do you do?",
    "response_high1": "I walk past.", "response_high2": "I laugh.", "response_low1": "I sit with her.",
    "response_low2": "I bring her tea.", "split": "invented",
}  # fmt: skip


def test_the_short_inventory_is_balanced_in_every_trait():
    items = read_inventory("short")
    assert len(traits_of(items)) == 5
    for trait in traits_of(items):
        keys = [item.key for item in items if item.trait == trait]
        assert len(keys) >= 8 and sum(keys) == 0


def test_a_few_items_are_of_both_keys():
    assert [item.key for item in read_inventory("short", 3)[:3]] == [1, -1, 1]


def test_a_reversed_item_speaks_for_its_trait_where_it_is_denied():
    assert Item("x", "You y.", -1).sides == (-2, -1, 0, 1, 2) and Item("x", "You y.").sides == (2, 1, 0, -1, -2)


def test_the_second_order_of_a_rating_is_the_first_from_the_other_end_and_of_a_situation_pairs_exchanged():
    assert Item("x", "You y.").second_order == (4, 3, 2, 1, 0)
    assert Item("x", "You y.", 1, tuple("abcd")).second_order == (1, 0, 3, 2)


def test_items_of_the_personality_inventorys_csv_are_read(tmp_path):
    path = tmp_path / "mpi.csv"
    path.write_text("label_raw,text,label_ocean,key\nAnxiety,Fret over trifles,N,1\nTrust,Doubt all people,A,-1\n")
    one, other = read_inventory(str(path))
    assert (one.trait, one.text, one.key) == ("neuroticism", "You fret over trifles.", 1)
    assert (other.trait, other.key, other.answers) == ("agreeableness", -1, RATINGS)


@pytest.mark.filterwarnings("ignore:.*its key is 0")
@pytest.mark.parametrize("name", ["mpi_120", "mpi_1k"])
def test_the_published_inventory_is_read_whole(name, shared_data):
    path = shared_data / "texts" / "mpi" / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    items = read_inventory(str(path))
    keys = [line.rsplit(",", 1)[1] for line in path.read_text().splitlines()[1:]]
    assert len(items) == sum(key != "0" for key in keys) >= 120
    assert set(traits_of(items)) == set(traits_of(read_inventory("short"))) and {i.key for i in items} == {1, -1}
    assert all(item.text.startswith("You ") for item in items)


def test_an_item_that_speaks_for_no_side_is_left_out_with_a_word(tmp_path):
    (tmp_path / "mpi.csv").write_text("text,label_ocean,key\nSing,E,1\nHum,E,0\n")
    with pytest.warns(WorkbenchWarning, match="line 3: its key is 0"):
        assert len(read_inventory(str(tmp_path / "mpi.csv"))) == 1


@pytest.mark.parametrize("form", ["json", "jsonl", "question"])
def test_situations_in_the_form_of_trait_are_read(form, tmp_path):
    row = dict(SITUATION)
    if form == "question":
        row["question"] = f"{row.pop('situation')} {row.pop('query')}"
    path = tmp_path / ("items.jsonl" if form == "jsonl" else "items.json")
    path.write_text(json.dumps(row) + "\n" + json.dumps(row) if form == "jsonl" else json.dumps([row, row]))
    item = read_inventory(str(path))[0]
    assert item.trait == "psychopathy" and item.text == "A colleague weeps in the kitchen. What do you do?"
    assert item.options == ("I walk past.", "I sit with her.", "I laugh.", "I bring her tea.")
    assert item.sides == (1, -1, 1, -1)


def test_a_file_of_ones_own_is_read_and_its_mistakes_are_named(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("items: {calm: {plus: [Stay calm], minus: [Panic]}}")
    assert [item.text for item in read_inventory(str(path))] == ["You stay calm.", "You panic."]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("items: {calm: {plus: [Stay calm], many: [Panic]}}")
    with pytest.raises(SpecError, match="calm needs lists called plus and minus"):
        read_inventory(str(wrong))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "text,label_ocean,key\nSing,E,2\n", r"line 2: key is '2', not 1 or -1"),
        ("b.csv", "words,label_ocean,key\nSing,E,1\n", r"line 2: no text"),
        ("c.json", json.dumps([SITUATION | {"response_low2": ""}]), "item 1: no response_low2"),
        ("d.json", "{", "not JSON"),
        ("e.csv", "text,label_ocean,key\n", "has no items"),
    ],
)
def test_what_is_no_inventory_is_refused_with_its_place(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_inventory(str(tmp_path / name))


def test_an_unknown_name_is_refused():
    with pytest.raises(SpecError, match="'shart' is none of short"):
        read_inventory("shart")


def test_statements_are_about_the_one_who_is_asked():
    assert statement("Am often down.") == "You are often down."
