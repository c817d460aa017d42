"""The word lists: ours, and a user's."""

from __future__ import annotations

import pytest

from workbench.errors import DataError
from workbench.families.introspection.concept_injection.prompts import SENTENCES
from workbench.families.introspection.concept_injection.words import load_words


def test_the_shipped_list_has_50_concepts_and_100_baselines_without_overlap() -> None:
    words = load_words()
    forms = [form for each in words.concepts.values() for form in each]
    assert len(words.concepts) == 50 and len(words.baselines) == len(set(words.baselines)) == 100
    assert len(forms) == len(set(forms)) and not set(forms) & set(words.baselines)
    said = " ".join(SENTENCES).lower()
    assert not [form for form in forms if f" {form} " in said]  # a sentence must not name a concept by itself


def test_a_users_list_may_be_plain_or_have_forms(tmp_path) -> None:
    path = tmp_path / "words.yaml"
    path.write_text("concepts: {Mouse: [mice], glass: null}\nbaselines: [cup, hat]\n")
    words = load_words(path)
    assert words.concepts == {"mouse": ("mouse", "mouses", "mice"), "glass": ("glass",)}
    path.write_text("concepts: [mouse, ice cream]\nbaselines: [cup]\n")
    assert load_words(path).first(1, 1).concepts == {"mouse": ("mouse", "mouses")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("concepts: [a]", "needs the keys concepts and baselines"),
        ("concepts: [mouse]\nbaselines: [mouse]", "names 'mouse' twice"),
        ("concepts: [mouse, mouse]\nbaselines: [cup]", "names 'mouse' twice"),
        ("concepts: [no]\nbaselines: [cup]", "False is not a word"),
        ("concepts: mouse\nbaselines: [cup]", "concepts must be a list"),
        ("concepts: [", "cannot read"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, text, message) -> None:
    path = tmp_path / "words.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        load_words(path)


def test_too_many_words_are_refused() -> None:
    with pytest.raises(DataError, match="51 concepts are asked for, the word list has 50"):
        load_words().first(51, 10)
