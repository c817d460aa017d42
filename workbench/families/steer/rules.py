"""Rules: what a reply can be checked for without a judge, by the text alone.

A rule is written ``name`` or ``name:value``: ``max_words:20``, ``json``, ``contains:because``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from workbench.errors import SpecError, check_known

_WITHOUT: dict[str, Callable[[str], bool]] = {
    "json": lambda text: _is_json(text),
    "bullets": lambda text: len(re.findall(r"(?m)^\s*(?:[-*\u2022]|\d+[.)])\s+\S", text)) >= 2,
    "lowercase": lambda text: text == text.lower() and any(map(str.isalpha, text)),
    "uppercase": lambda text: text == text.upper() and any(map(str.isalpha, text)),
    "question": lambda text: text.rstrip().endswith("?"),
    "exclamation": lambda text: "!" in text,
    "no_commas": lambda text: "," not in text,
    "one_sentence": lambda text: len(re.findall(r"[.!?](?:\s|$)", text.strip())) == 1,
}
_WITH: dict[str, Callable[[str, str], bool]] = {
    "max_words": lambda text, n: len(text.split()) <= int(n),
    "min_words": lambda text, n: len(text.split()) >= int(n),
    "contains": lambda text, word: re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) is not None,
    "starts_with": lambda text, start: text.lstrip().lower().startswith(start.lower()),
    "ends_with": lambda text, end: text.rstrip().lower().endswith(end.lower()),
}
_NUMBERS = ("max_words", "min_words")
RULES = (*_WITHOUT, *_WITH)


def read_rule(text: str) -> Callable[[str], bool]:
    """The check that a rule's text names; an empty reply passes none.

    Raises:
        SpecError: for a rule that does not exist, or lacks its value.

    >>> short = read_rule("max_words:3")
    >>> short("So it is."), short("So it is indeed."), short("")
    (True, False, False)
    >>> read_rule("bullets")("- one\\n- two")
    True
    """
    name, colon, value = text.partition(":")
    check_known(name, RULES, "rule")
    if (name in _WITH) != bool(value) or (colon and not value):
        wanted = f"{name}:VALUE" if name in _WITH else name
        raise SpecError(f"rule {text!r}: write {wanted}")
    if name in _NUMBERS and not value.isdigit():
        raise SpecError(f"rule {text!r}: {value!r} is no number of words")
    check = _WITHOUT.get(name) or (lambda reply: _WITH[name](reply, value))
    return lambda reply: bool(reply.strip()) and check(reply)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False
