"""Pairs of texts that are alike but for one thing, from a user's file.

JSON lines, a JSON list, or CSV.  A row names the two texts ``positive`` and ``negative`` (or ``chosen`` and
``rejected``, ``up`` and ``down``) and may have a ``prompt``: a text, or a list of chat messages, which both go on from.
A row may also be a list of the two texts.  Without a prompt, the words that both begin with are it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from steering._files import existing_file
from workbench.errors import DataError, warn
from workbench.models import inputs

if TYPE_CHECKING:
    from workbench.models.language_model import Prompt

_NAMES = (("positive", "negative"), ("up", "down"), ("chosen", "rejected"))
_PROMPTS = ("prompt", "question", "messages")
LEAST = 8


class Pair(NamedTuple):
    """Two texts that go on from one prompt, the second without what is steered."""

    prompt: Prompt
    up: str
    down: str

    def whole(self, text: str) -> Prompt:
        """The prompt with one of the two behind it, as a model reads it."""
        if isinstance(self.prompt, str):
            return (self.prompt + text).strip()
        return [*self.prompt, {"role": "assistant", "content": text}]


class Split(NamedTuple):
    """Pairs that make the vector, those that layer and dose are chosen on, those that it is tested on."""

    make: list[Pair]
    choose: list[Pair]
    test: list[Pair]


def split(pairs: Sequence[Pair], seed: int) -> Split:
    """Half of the pairs, a quarter and a quarter, in an order drawn by the seed.

    >>> [len(part) for part in split([Pair("a", " b", " c")] * 20, seed=0)]
    [10, 5, 5]
    """
    order = np.random.default_rng(seed).permutation(len(pairs))
    half, quarter = len(pairs) // 2, len(pairs) // 4
    drawn = [pairs[k] for k in order]
    return Split(drawn[: len(pairs) - half], drawn[len(pairs) - half :][:quarter], drawn[len(pairs) - half + quarter :])


def pair(up: str, down: str, prompt: Any = None) -> Pair:
    """A pair of whole texts, or of what goes on from a prompt.

    >>> pair("The soup was good.", "The soup was bad.")
    Pair(prompt='The soup was', up=' good.', down=' bad.')
    >>> pair("good", "bad", "The soup was")
    Pair(prompt='The soup was', up=' good', down=' bad')
    """
    if prompt is not None and not isinstance(prompt, str):
        return Pair(prompt, up, down)
    if prompt is None or not prompt.strip():
        prompt, up, down = _shared(up, down)
    join = "" if prompt[-1:].isspace() else " "
    return Pair(prompt, *(text if text[:1].isspace() else join + text for text in (up, down)))


def _shared(up: str, down: str) -> tuple[str, str, str]:
    one, other = up.split(" "), down.split(" ")
    n = next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    n = min(n, len(one) - 1, len(other) - 1)  # both have something left
    return " ".join(one[:n]) or "\n", " ".join(one[n:]), " ".join(other[n:])


def read_pairs(path: str) -> list[Pair]:
    """The pairs of a file, those that stand there twice once.

    Raises:
        DataError: for a row that is no pair, with its number, and for fewer than eight pairs.
    """
    file = existing_file(Path(path).expanduser())
    found = [_read(row, f"{file}, {where}") for where, row in _rows(file)]
    once = [own for k, own in enumerate(found) if own not in found[:k]]
    if len(once) < len(found):
        warn(f"{file}: {len(found) - len(once)} pairs stand there twice and count once")
    if len(once) < LEAST:
        raise DataError(
            f"{file} has {len(once)} pairs: {LEAST} are the least (half make the vector, the rest choose and test), 20"
            " or more say something"
        )
    return once


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".csv":
            yield from ((f"row {k}", row) for k, row in enumerate(csv.DictReader(text.splitlines()), 1))
        elif text.lstrip().startswith("[") and file.suffix.lower() != ".jsonl":
            yield from ((f"entry {k}", row) for k, row in enumerate(json.loads(text), 1))
        else:
            for k, line in enumerate(text.splitlines(), 1):
                if line.strip():
                    try:
                        yield f"line {k}", json.loads(line)
                    except ValueError as error:
                        raise DataError(f"{file}, line {k} is not JSON: {error}") from error
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _read(row: Any, where: str) -> Pair:
    if isinstance(row, list) and len(row) == 2:
        row = dict(zip(_NAMES[0], row, strict=True))
    names = next((two for two in _NAMES if isinstance(row, dict) and set(two) <= set(row)), None)
    if names is None:
        has = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
        raise DataError(f"{where} is no pair: it needs positive and negative (or chosen and rejected), and has {has}")
    up, down = (row[name] for name in names)
    if not all(isinstance(text, str) and text.strip() for text in (up, down)) or up.strip() == down.strip():
        raise DataError(f"{where}: {names[0]} and {names[1]} must be two different texts")
    prompt = next((row[name] for name in _PROMPTS if row.get(name)), None)
    if not (prompt is None or isinstance(prompt, str)):
        try:
            prompt = inputs.chat(prompt)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
    return pair(up, down, prompt)
