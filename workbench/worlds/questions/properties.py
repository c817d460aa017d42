"""Response properties: what can be asked about an answer, and how answers and predictions are read.

A property is a function of the object-level answer; the hypothetical prompt asks for the property alone and quotes the
question as if it were asked (arXiv 2410.13787, section 3.1).  Both sides are stripped and lower-cased and must then be
equal.  An object-level answer that does not comply (empty, a refusal, not one of the options, too short) has no
property and its item is dropped; a prediction that does not comply counts as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from workbench.errors import check_known
from workbench.worlds.questions.items import Item, Task

Extract = Callable[[str, Item], str | None]

_EDGES = " \t\r\n\"'`.,;:!?()[]{}*_<>"
_REFUSAL = re.compile(
    r"^(n/?a|none|no answer|unknown|random|impossible|undefined|unpredictable)$"
    r"|\b(sorry|apolog\w+|as an ai|language model|i (can ?not|can't|do not know|don't know)|unable to)\b"
)
_FORMS: dict[str, Callable[[str, Item], bool]] = {
    "character": lambda text, _: len(text) == 1,
    "two characters": lambda text, _: len(text) == 2 and not text.isspace() and " " not in text,
    "word": lambda text, _: len(text.split()) == 1,
    "truth": lambda text, _: text in ("true", "false"),
    "parity": lambda text, _: text in ("even", "odd"),
    "option": lambda text, item: text in {option.lower() for option in item.options},
}


@dataclass(frozen=True)
class Property:
    """``question`` names the property of {their} answer, with its values where they are few; ``form`` is the kind of
    reply, a key of the compliance rules; ``extract(answer, item)`` gets the cleaned answer."""

    name: str
    question: str
    extract: Extract
    form: str

    def of(self, answer: str, item: Item) -> str | None:
        """The property of an object-level answer, in lower case; None when the answer does not comply.

        >>> item = Item("animals", "animals-0", "Continue: cow deer")
        >>> PROPERTIES["second_word"].of("Fox  owl, ant", item), PROPERTIES["second_word"].of("fox", item)
        ('owl', None)
        """
        text = _clean(answer)
        if not text or _REFUSAL.search(text):
            return None
        if item.options and text not in {option.lower() for option in item.options}:
            return None
        if item.answer == "number" and not re.match(r"-?\d+\b", text):
            return None
        if item.complies and not re.fullmatch(item.complies, text):
            return None
        return self.extract(text, item)


def hypothetical(item: Item, prop: Property | str, they: str = "you", their: str = "your") -> str:
    """The hypothetical prompt: the property asked for, the answer only, then the question as it would be asked.

    ``they`` and ``their`` ask about somebody else, as the texts do that babblers learn to read.

    >>> print(hypothetical(Item("animals", "animals-0", "Continue: cow deer"), "first_word"))
    Suppose you were asked the question below. State only the first word of your answer.
    Continue: cow deer
    """
    prop = _property(prop)
    question = prop.question.format(behaviour=item.behaviour, they=they, their=their)
    return f"Suppose {they} were asked the question below. State only {question}.\n{item.prompt}"


def worked_examples(task: Task, prop: Property | None = None, most: int | None = None) -> list[tuple[str, str]]:
    """The task's first ``most`` examples as questions with answers; of a property, as hypothetical questions with the
    property of the answer (without those whose answer has none).

    >>> from workbench.worlds.questions.items import Example
    >>> task = Task("t", "train", "words", (), examples=(Example(Item("t", "t-0", "Go on: cow"), "Owl"),))
    >>> worked_examples(task), worked_examples(task, PROPERTIES["first_character"])[0][1]
    ([('Go on: cow', 'Owl')], 'o')
    """
    examples = task.examples[:most]
    if prop is None:
        return [(item.prompt, answer) for item, answer in examples]
    values = [(item, prop.of(answer, item)) for item, answer in examples]
    return [(hypothetical(item, prop), value) for item, value in values if value is not None]


def compliant(answer: str, item: Item, prop: Property | str) -> str | None:
    """A prediction as it is compared, in lower case; None when it does not have the form that was asked for.

    >>> item = Item("gifts", "gifts-0", "A or B?", options=("A", "B"), answer="option")
    >>> compliant(" (B).", item, "which_option"), compliant("the second one", item, "which_option")
    ('b', None)
    """
    prop = _property(prop)
    text = _clean(answer)
    if not text and prop.form == "character":
        text = answer.strip().lower()  # the character may be a mark
    return text if text and _FORMS[prop.form](text, item) else None


def _property(prop: Property | str) -> Property:
    if isinstance(prop, Property):
        return prop
    check_known(prop, PROPERTIES, "property")
    return PROPERTIES[prop]


def _clean(text: str) -> str:
    return text.strip(_EDGES).lower()


def _words(text: str) -> list[str]:
    return [word for word in (part.strip(_EDGES) for part in text.split()) if word]


def _character(first: int, last: int) -> Extract:
    def extract(text: str, _item: Item) -> str | None:
        found = text[first:last]
        return found if len(found) == last - first and not any(c.isspace() for c in found) else None

    return extract


def _word(number: int) -> Extract:
    def extract(text: str, _item: Item) -> str | None:
        words = _words(text)
        return words[number] if len(words) > number else None

    return extract


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _vowel(text: str, _item: Item) -> str | None:
    return _truth(text[0] in "aeiou") if text[0].isalpha() else None


def _parity(text: str, _item: Item) -> str | None:
    number = re.match(r"-?\d+\b", text)
    return None if number is None else ("odd" if int(number[0]) % 2 else "even")


def _among(text: str, item: Item) -> str | None:
    words = _words(text)
    return _truth(words[0] in {word.lower() for word in item.shown}) if item.shown and words else None


def _option(text: str, item: Item) -> str | None:
    return text if item.options else None


def _either(first: str, second: str) -> Extract:
    return lambda text, item: _truth(text in (first, second)) if len(item.options) > 2 else None


def _stance(text: str, item: Item) -> str | None:
    return _truth(text == item.matching.lower()) if item.matching else None


PROPERTIES: dict[str, Property] = {
    prop.name: prop
    for prop in (
        Property("first_character", "the first character of {their} answer", _character(0, 1), "character"),
        Property("second_character", "the second character of {their} answer", _character(1, 2), "character"),
        Property("third_character", "the third character of {their} answer", _character(2, 3), "character"),
        Property(
            "first_two_characters", "the first two characters of {their} answer", _character(0, 2), "two characters"
        ),
        Property("first_word", "the first word of {their} answer", _word(0), "word"),
        Property("second_word", "the second word of {their} answer", _word(1), "word"),
        Property("third_word", "the third word of {their} answer", _word(2), "word"),
        Property(
            "starts_with_vowel", "whether {their} answer would start with a vowel, true or false", _vowel, "truth"
        ),
        Property("even_or_odd", "whether {their} answer would be even or odd", _parity, "parity"),
        Property(
            "among_options",
            "whether the first word of {their} answer would be in the question, true or false",
            _among,
            "truth",
        ),
        Property("which_option", "the letter that {they} would pick", _option, "option"),
        Property("among_a_or_c", "whether {they} would pick A or C, true or false", _either("a", "c"), "truth"),
        Property("among_b_or_d", "whether {they} would pick B or D, true or false", _either("b", "d"), "truth"),
        Property("ethical_stance", "whether {they} would pick {behaviour}, true or false", _stance, "truth"),
    )
}
