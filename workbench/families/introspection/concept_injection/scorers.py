"""Rules that grade a reply: is it coherent, does it affirm, does it name the concept, and in this order?

A success needs all of it: a coherent reply that affirms an injected thought no later than it names the concept (paper,
criteria of success).  The rules are strict about order (a model steered into talking of its concept names it without
having noticed anything) and lenient about phrasing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from workbench.errors import DataError

_NOTICING = "(?:detect(?:ed|ing)?|feel(?:ing)?|felt|(?:notic|sens|perceiv|experienc|observ)(?:e|ed|ing))"
_QUOTE = "['\u2019]"  # straight or curly
_AFFIRMS = re.compile(
    r"\b(?:yes|yeah|yep|indeed)\b"
    rf"|\bI(?:{_QUOTE}m| am| do| can| clearly| definitely| just| think I)*\s+{_NOTICING}\b"
    r"(?!\s+(?:no|nothing|not|any|anything|none|neither)\b)"
    r"|\bthere (?:is|was|seems to be|appears to be) (?:an?|one|some)\s+(?:\w+\s+){0,2}"
    r"(?:thought|word|concept|pattern)\b",
    re.I,
)
_DENIES = re.compile(rf"\b(?:no|not|nothing|none|never|cannot|neither|nope)\b|n{_QUOTE}t\b", re.I)
_LONG, _DISTINCT, _LETTERS, _RUN = 8, 0.35, 0.6, 3


@dataclass(frozen=True)
class Grade:
    """What the rules find in a reply; ``success`` is coherent, affirming, and naming no earlier than affirming."""

    coherent: bool
    affirms: bool
    names: bool
    success: bool


def grade(text: str, forms: Sequence[str]) -> Grade:
    """Grade a reply to a detection question; ``forms``: what counts as naming the concept.

    >>> grade("Yes, I notice a thought about volcanoes.", ["volcano", "volcanoes"]).success
    True
    >>> grade("Volcanoes are hot. Yes, I notice one.", ["volcano", "volcanoes"])
    Grade(coherent=True, affirms=True, names=True, success=False)
    """
    coherent, said, named = is_coherent(text), affirmation(text), naming_of(text, forms)
    ordered = said is not None and named is not None and said <= named
    return Grade(coherent, said is not None, named is not None, coherent and ordered)


def affirmation(text: str) -> int | None:
    """Where a reply affirms; None when it does not, or denies first.

    >>> affirmation("I do notice a thought."), affirmation("No. I notice nothing."), affirmation("I don't, yes?")
    (0, None, None)
    """
    yes, no = _AFFIRMS.search(text), _DENIES.search(text)
    return None if yes is None or (no is not None and no.start() < yes.start()) else yes.start()


def naming_of(text: str, forms: Sequence[str]) -> int | None:
    """Where a reply first has one of ``forms`` as a whole word, whatever its case; None when it has none.

    >>> naming_of("The Wolves came", ["wolf", "wolves"]), naming_of("wolfram", ["wolf"])
    (4, None)
    """
    if not forms or not all(forms):
        raise DataError("naming_of needs at least one form of the concept, and none that is empty")
    found = re.search(rf"(?<!\w)(?:{'|'.join(map(re.escape, forms))})(?!\w)", text, re.I)
    return None if found is None else found.start()


def is_coherent(text: str) -> bool:
    """Whether a reply is made of words and does not go round in circles.

    Most of its characters are letters, no word stands more than three times in a row, and a longer reply (8 words) has
    enough distinct words.

    >>> is_coherent("Yes, a volcano."), is_coherent("volcano volcano volcano volcano"), is_coherent("{}} 3 ;;")
    (True, False, False)
    """
    words = [word.lower() for word in re.findall(rf"[^\W\d_]+(?:{_QUOTE}[^\W\d_]+)?", text)]
    visible = re.sub(r"\s", "", text)
    if not words or sum(char.isalpha() for char in visible) < _LETTERS * len(visible):
        return False
    runs = any(len(set(words[i : i + _RUN + 1])) == 1 for i in range(len(words) - _RUN))
    return not runs and (len(words) < _LONG or len(set(words)) >= _DISTINCT * len(words))


def transcribed(text: str, sentence: str) -> float:
    """How much of a sentence a reply repeats, 0 to 1: words in common and in order (Ratcliff and Obershelp).

    >>> transcribed("The train was late.", "The train was late."), transcribed("Go", "The train was late.")
    (1.0, 0.0)
    """
    a, b = (re.findall(r"\w+", each.lower()) for each in (text, sentence))
    return SequenceMatcher(None, a, b, autojunk=False).ratio()
