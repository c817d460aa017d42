"""The words of a run: concepts to inject, and baseline words whose mean is what all words have in common."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import DataError

SHIPPED = Path(__file__).with_name("words.yaml")


@dataclass(frozen=True)
class Words:
    """``concepts``: word -> all its forms that count as naming it (itself first); ``baselines``: other words."""

    concepts: dict[str, tuple[str, ...]]
    baselines: tuple[str, ...]

    def first(self, concepts: int, baselines: int) -> Words:
        """The first words of both lists; :class:`DataError` when a list is too short.

        >>> list(load_words().first(2, 10).concepts)
        ['volcano', 'lighthouse']
        """
        for what, wanted, found in (
            ("concepts", concepts, self.concepts),
            ("baselines", baselines, self.baselines),
        ):
            if wanted > len(found):
                raise DataError(f"{wanted} {what} are asked for, the word list has {len(found)}: lower {what}")
        return Words(dict(list(self.concepts.items())[:concepts]), self.baselines[:baselines])


def load_words(path: str | os.PathLike[str] | None = None) -> Words:
    """The shipped words, or those of a YAML file of the same form.

    The file has ``concepts`` (a list of words, or a mapping from each word to further forms) and ``baselines`` (a
    list).  Raises :class:`DataError` naming what is wrong: a missing list, a word on both lists or named twice.

    >>> words = load_words()
    >>> len(words.concepts), len(words.baselines), words.concepts["wolf"]
    (50, 100, ('wolf', 'wolfs', 'wolves'))
    """
    import yaml

    source = SHIPPED if path is None else Path(path).expanduser()
    try:
        data = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"cannot read the word list {source}: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict) or not {"concepts", "baselines"} <= set(data):
        raise DataError(f"the word list {source} needs the keys concepts and baselines")
    concepts = _concepts(data["concepts"], source)
    baselines = tuple(_word(word, source) for word in _listed(data["baselines"], "baselines", source))
    _distinct([*concepts, *baselines], source)
    return Words(concepts, baselines)


def _concepts(given: Any, source: Path) -> dict[str, tuple[str, ...]]:
    forms = given if isinstance(given, dict) else dict.fromkeys(_listed(given, "concepts", source))
    if not isinstance(given, dict):
        _distinct([str(word) for word in given], source)
    found = {}
    for word, more in forms.items():
        name = _word(word, source)
        others = [_word(form, source) for form in _listed(more or [], f"concepts: {name}", source)]
        found[name] = tuple(dict.fromkeys([name, *_plural(name), *others]))
    return found


def _plural(word: str) -> list[str]:
    return [] if word.endswith("s") else [f"{word}s"]


def _listed(given: Any, what: str, source: Path) -> list[Any]:
    if not isinstance(given, list):
        raise DataError(f"the word list {source}: {what} must be a list")
    return given


def _word(word: Any, source: Path) -> str:
    if not isinstance(word, str) or not re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*", word):
        raise DataError(f"the word list {source}: {word!r} is not a word (quote words that YAML reads as yes or no)")
    return word.lower()


def _distinct(words: list[str], source: Path) -> None:
    twice = next((word for i, word in enumerate(words) if word in words[:i]), None)
    if twice is not None:
        raise DataError(f"the word list {source} names {twice!r} twice")
