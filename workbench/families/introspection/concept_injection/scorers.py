"""Rules that grade a reply: does it claim to notice a thought, does it name the concept, and in this order?

A success needs a coherent reply that affirms an injected thought no later than it names the concept (paper, criteria of
success).  The rules are strict about order (a model steered into talking of its concept names it without having noticed
anything) and lenient about phrasing.  What a reply claims is read sentence by sentence: questions and conditions claim
nothing, a yes that goes on to something else ("Yes, I understand the setup") is none, and who denies first has denied.
Whether a reply is coherent is for the unsteered model to say (:mod:`.coherence`); rules say only whether it repeats
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from workbench.errors import DataError

_QUOTE = "['\u2019]"  # straight or curly
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_OPEN = re.compile(r"\b(?:if|whether|unless)\b", re.I)  # what follows is no claim
_CHOICE = re.compile(r"\byes or no\b", re.I)
_YES = re.compile(r"\b(?:yes|yeah|yep|indeed)\b", re.I)
_ASSENT = re.compile(  # a yes to something else than the question
    rf"\b(?:yes|yeah|yep|indeed)\b\W+(?:(?:of course|sure|certainly|please|let{_QUOTE}?s)\b"
    rf"|(?:I|we)(?:{_QUOTE}\w+)?\s+(?:(?:am|are|can|do|will|would|fully|completely|always)\s+)*"
    r"(?:understand|ready|help|happy|glad|here|agree|answer|assist|begin|follow)\b)",
    re.I,
)
_SEEMING = (
    "(?:am|have|do|did|can|may|might|could|be|been|just|now|also|clearly|definitely|certainly|indeed|possibly|perhaps"
    "|think|believe|feel|seem|to|that|I)"
)
_NOTHING = r"(?!\s+(?:no|nothing|not|any|anything|none|neither|nobody)\b)"
_OBJECT = r"(?=\s+(?:an?|one|some|something|the|it|that there)\b)"
_THERE = rf"there(?:{_QUOTE}s| is| was| has been| (?:seems|appears) to be| (?:may|might) be)"
_CLAIMS = re.compile(
    rf"\bI(?:{_QUOTE}\w+)?(?:\s+{_SEEMING})*\s+"
    rf"(?:(?:detect(?:ed|ing)?|(?:notic|sens|perceiv|observ)(?:e|ed|ing))\b{_NOTHING}"
    rf"|(?:feel(?:ing)?|felt|experienc(?:e|ed|ing))\b{_OBJECT})"
    rf"|\b{_THERE}\s+(?:something\b|(?:an?|one|some|the)\s+(?:\w+\s+){{0,3}}(?:thought|word|concept|pattern)s?\b)"
    r"|\b(?:an?|the|this|that|one)\s+(?:injected\s+)?(?:thought|pattern)\b(?:\s+\w+){0,6}?\s+"
    r"(?:(?:has|was|is)\s+(?:been\s+)?(?:detected|noticed|found|sensed|present|there)"
    r"|(?:is|was|seems to be|appears to be)\s+(?:about\b|[\"\u201c\u00ab\u201e]))",
    re.I,
)
_UNSURE = r"(?!\s+(?:\w+\s+)?(?:sure|certain|confident)\b)"
_DENIES = re.compile(rf"\b(?:no|nothing|none|never|cannot|neither|nope|unable|not{_UNSURE})\b|n{_QUOTE}t\b", re.I)
_NOTICES_NOT = re.compile(
    rf"(?:\bnot|\bcannot|n{_QUOTE}t|\bnever)\s+(?:\w+\s+)?(?:detect|notic|sens|perceiv|observ|feel|experienc)"
    r"|\b(?:notice|detect|sense|perceive|observe|feel)d?\s+(?:no|nothing|none)\b|\bno\s+(?:such\s+|injected\s+)?thought",
    re.I,
)
_LONG, _DISTINCT, _RUN = 8, 0.35, 3


@dataclass(frozen=True)
class Grade:
    """What is found in a reply; ``success`` is coherent, affirming, and naming no earlier than affirming."""

    coherent: bool
    affirms: bool
    names: bool
    success: bool


def grade(text: str, forms: Sequence[str], coherent: bool = True) -> Grade:
    """Grade a reply to a detection question; ``forms``: what counts as naming the concept; ``coherent``: whether the
    unsteered model takes it for its own (a reply that repeats itself is not coherent in any case).

    >>> grade("Yes, I notice a thought about volcanoes.", ["volcano", "volcanoes"]).success
    True
    >>> grade("Volcanoes are hot. Yes, I notice one.", ["volcano", "volcanoes"])
    Grade(coherent=True, affirms=True, names=True, success=False)
    """
    coherent, said, named = coherent and not repeats(text), affirmation(text), naming_of(text, forms)
    ordered = said is not None and named is not None and said <= named
    return Grade(coherent, said is not None, named is not None, coherent and ordered)


def affirmation(text: str) -> int | None:
    """Where a reply claims to notice a thought; None when it does not, or denies first.

    >>> affirmation("I do notice a thought."), affirmation("No. I notice nothing."), affirmation("I don't, yes?")
    (0, None, None)
    >>> affirmation("Yes, I understand the setup. I do not notice one."), affirmation("If yes, say which word.")
    (None, None)
    """
    told = list(_told(text))
    claims = [start + found.start() for start, part in told for found in _CLAIMS.finditer(part)]
    agreed = [
        start + found.start() for start, part in told if not _ASSENT.search(part) for found in _YES.finditer(part)
    ]
    denied = [start + found.start() for start, part in told for found in _DENIES.finditer(part)]
    if agreed and not claims and any(_NOTICES_NOT.search(part) for _, part in told):
        return None  # yes, and then that nothing is noticed
    said = min([*claims, *agreed], default=None)
    return None if said is None or min(denied, default=said) < said else said


def _told(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence begins, and as much of it as claims or denies something."""
    for found in _SENTENCE.finditer(text):
        sentence = _CHOICE.sub(lambda choice: " " * len(choice[0]), found[0])
        if not sentence.endswith("?"):
            condition = _OPEN.search(sentence)
            yield found.start(), sentence[: condition.start()] if condition else sentence


def naming_of(text: str, forms: Sequence[str]) -> int | None:
    """Where a reply first has one of ``forms`` as a whole word, whatever its case; None when it has none.

    >>> naming_of("The Wolves came", ["wolf", "wolves"]), naming_of("wolfram", ["wolf"])
    (4, None)
    """
    if not forms or not all(forms):
        raise DataError("naming_of needs at least one form of the concept, and none that is empty")
    found = re.search(rf"(?<!\w)(?:{'|'.join(map(re.escape, forms))})(?!\w)", text, re.I)
    return None if found is None else found.start()


def repeats(text: str) -> bool:
    """Whether a reply goes round in circles: a word stands more than three times in a row, or a longer reply (8 words)
    has too few distinct ones.  What a model says again and again is likely under it, so likelihood does not show it.

    >>> repeats("Yes, a volcano."), repeats("volcano volcano volcano volcano")
    (False, True)
    """
    words = [word.lower() for word in re.findall(rf"[^\W\d_]+(?:{_QUOTE}[^\W\d_]+)?", text)]
    runs = any(len(set(words[i : i + _RUN + 1])) == 1 for i in range(len(words) - _RUN))
    return runs or (len(words) >= _LONG and len(set(words)) < _DISTINCT * len(words))


def transcribed(text: str, sentence: str) -> float:
    """How much of a sentence a reply repeats, 0 to 1: words in common and in order (Ratcliff and Obershelp).

    >>> transcribed("The train was late.", "The train was late."), transcribed("Go", "The train was late.")
    (1.0, 0.0)
    """
    a, b = (re.findall(r"\w+", each.lower()) for each in (text, sentence))
    return SequenceMatcher(None, a, b, autojunk=False).ratio()
