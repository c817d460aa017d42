"""Tables of texts: what is written in a cell is what the label is."""

import pandas as pd
import pytest

from workbench.errors import SpecError
from workbench.families.probe_sweep.texts import TEXTS, read_table

CSV = """text,amount,score,true,nothing
None,None,1.5,True,NA
null,Some,NA,False,NA
12,Many,2,True,
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "texts.csv").write_text(CSV)
    return read_table({"path": tmp_path / "texts.csv", "text": "text"})


def test_text_stays_text_whatever_it_says(table):
    assert table["text"].tolist() == ["None", "null", "12"]
    assert table["amount"].tolist() == ["None", "Some", "Many"]
    assert table["nothing"].tolist()[:2] == ["NA", "NA"] and pd.isna(table["nothing"][2])


def test_words_for_nothing_are_missing_values_among_numbers(table):
    assert table["score"].dtype == float and table["score"].isna().tolist() == [False, True, False]
    assert table["true"].dtype == bool


def test_every_class_of_a_label_is_known_to_the_source(tmp_path):
    rows = [f"text {i},{('None', 'Some', 'Many')[i % 3]}" for i in range(60)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,amount", *rows]))
    options = {"kind": "texts", "path": tmp_path / "texts.csv", "text": "text"}
    assert TEXTS.check(options, {"last": "last"}) == {"amount": "classification"}
    assert read_table(options)["amount"].value_counts().to_dict() == {"None": 20, "Some": 20, "Many": 20}


def test_lines_of_json_keep_the_types_that_they_were_written_in(tmp_path):
    (tmp_path / "texts.jsonl").write_text(
        '{"text": "12", "date": "2020", "n": 1}\n{"text": "13", "date": "NA", "n": null}'
    )
    found = read_table({"path": tmp_path / "texts.jsonl", "text": "text"})
    assert found["text"].tolist() == ["12", "13"] and found["date"].tolist() == ["2020", "NA"]
    assert found["n"].isna().tolist() == [False, True]


def test_what_to_do_with_sinks_is_known_before_a_model_is_loaded(tmp_path):
    (tmp_path / "texts.csv").write_text(CSV)
    with pytest.raises(SpecError, match="unknown sinks 'drop'; valid: leave out, keep"):
        TEXTS.check({"path": tmp_path / "texts.csv", "text": "text", "sinks": "drop"}, {"last": "last"})
