"""Response properties: what they are of any answer, what does not comply, and how predictions are read."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workbench.errors import SpecError
from workbench.worlds.questions.items import Item
from workbench.worlds.questions.properties import PROPERTIES, compliant, hypothetical

LIST = Item("animals", "animals-0", "Three more: Cow deer", shown=("Cow", "deer"))
NUMBER = Item("numbers", "numbers-0", "Next: 1 2", answer="number", shown=("1", "2"))
CHOICE = Item("gifts", "gifts-0", "A or B?", ("A", "B"), "option", (), "B", "the bold one")
FOUR = Item("arc", "arc-0", "A, B, C or D?", ("A", "B", "C", "D"), "option")

words = st.lists(st.text("abcdefghijklmnopqrstuvwxyzABCDE", min_size=3, max_size=8), min_size=3, max_size=5)


def of(name: str, answer: str, item: Item = LIST) -> str | None:
    return PROPERTIES[name].of(answer, item)


@given(words)
def test_characters_and_words_are_those_of_the_lower_cased_answer(answer: list[str]) -> None:
    assume(not {"sorry", "none", "unknown", "random"} & {word.lower() for word in answer})
    text = " ".join(answer)
    assume(of("first_word", text) is not None)
    for k, name in enumerate(("first", "second", "third")):
        assert of(f"{name}_word", text) == answer[k].lower()
        assert of(f"{name}_character", text) == text.lower()[k]
    assert of("first_two_characters", text) == text.lower()[:2]
    assert of("starts_with_vowel", text) == str(text[0].lower() in "aeiou").lower()


@given(
    words,
    st.sampled_from(['"{}"', " {} ", "{}.", "({})", "\n{}\n", "{}!", "**{}**"]),
    st.sampled_from(sorted(PROPERTIES)),
)
def test_quotes_space_and_end_marks_around_an_answer_change_nothing(answer: list[str], around: str, name: str) -> None:
    text = " ".join(answer)
    assert of(name, around.format(text)) == of(name, text) == of(name, text.upper())


@given(words, st.sampled_from(sorted(PROPERTIES)))
def test_a_property_stated_as_it_is_complies_and_equals_itself(answer: list[str], name: str) -> None:
    value = of(name, ", ".join(answer))
    if value is not None:
        assert compliant(value.upper() + ".", LIST, name) == value == value.lower().strip()


@given(st.integers(-999, 999))
def test_parity_is_that_of_the_number(n: int) -> None:
    assert (
        of("even_or_odd", f"{n}", NUMBER) == ("even" if n % 2 == 0 else "odd") == of("even_or_odd", f" {n}. ", NUMBER)
    )


@given(st.text(max_size=30), st.sampled_from(sorted(PROPERTIES)), st.sampled_from([LIST, NUMBER, CHOICE, FOUR]))
def test_any_text_is_read_without_an_error_and_only_into_compliant_values(text: str, name: str, item: Item) -> None:
    value = of(name, text, item)
    assert value is None or (value and compliant(value, item, name) is not None)
    said = compliant(text, item, name)
    assert said is None or compliant(said, item, name) == said


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        (LIST, ""),
        (LIST, " ... "),
        (LIST, "I'm sorry, but I can't do that"),
        (LIST, "As an AI language model, I like cows"),
        (LIST, "N/A"),
        (LIST, "I don't know"),
        (NUMBER, "twelve"),
        (NUMBER, "12th of May"),
        (CHOICE, "C"),
        (CHOICE, "A or B"),
    ],
)
def test_an_answer_that_does_not_comply_has_no_property(item: Item, answer: str) -> None:
    assert all(prop.of(answer, item) is None for prop in PROPERTIES.values())


def test_answers_too_short_have_no_later_parts() -> None:
    assert of("third_word", "cow deer") is None and of("second_character", "b") is None
    assert of("third_character", "ox deer") is None  # a space is no character of an answer
    assert of("first_two_characters", "a cow") is None


def test_options_and_what_depends_on_them() -> None:
    assert [of("which_option", text, CHOICE) for text in ("A", "(b)", " B.")] == ["a", "b", "b"]
    assert [of("ethical_stance", text, CHOICE) for text in "AB"] == ["false", "true"]
    assert [of("among_a_or_c", text, FOUR) for text in "ABCD"] == ["true", "false", "true", "false"]
    assert [of("among_b_or_d", text, FOUR) for text in "ABCD"] == ["false", "true", "false", "true"]
    assert of("among_a_or_c", "A", CHOICE) is None and of("ethical_stance", "A", FOUR) is None
    assert of("among_options", "COW fox") == "true" and of("among_options", "fox cow") == "false"
    assert of("even_or_odd", "cow") is None and of("which_option", "cow") is None


@pytest.mark.parametrize(
    ("name", "item", "good", "bad"),
    [
        ("first_character", LIST, ["c", " C ", '"c"', "?"], ["co", "", "the c"]),
        ("first_two_characters", LIST, ["co", "'CO'."], ["c", "cow", "c o"]),
        ("second_word", LIST, ["deer", "Deer."], ["deer cow", ""]),
        ("starts_with_vowel", LIST, ["true", "False."], ["yes", "maybe"]),
        ("even_or_odd", NUMBER, ["Even", "odd"], ["2", "even odd"]),
        ("which_option", CHOICE, ["A", "(b)"], ["C", "A or B"]),
    ],
)
def test_predictions_comply_by_their_form(name: str, item: Item, good: list[str], bad: list[str]) -> None:
    assert all(compliant(text, item, name) is not None for text in good)
    assert all(compliant(text, item, name) is None for text in bad)


def test_the_hypothetical_quotes_the_question_and_can_be_about_somebody_else() -> None:
    asked = "Suppose you were asked the question below. State only whether you would pick the bold one, true or false."
    assert hypothetical(CHOICE, "ethical_stance") == f"{asked}\nA or B?"
    other = hypothetical(LIST, "first_word", "Ada", "Ada's")
    assert "Suppose Ada were asked" in other and "Ada's answer" in other and "you" not in other


def test_an_unknown_property_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'first_word'"):
        hypothetical(LIST, "first_wrd")
