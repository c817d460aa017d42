"""An inventory: items that say what a trait is measured by, from a file of one's own or one that comes with it.

Two kinds of items.  A *statement* ("You worry about things.") is rated with the same five options for all; it speaks
for its trait (key 1) or against it (key -1).  A *situation* has options of its own, two for the trait and two against.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path

from workbench.errors import DataError, SpecError, did_you_mean, warn
from workbench.spec_files import read_records, read_spec_file

_FOLDER = Path(__file__).parent / "data"
RATINGS = (
    "Very Accurate", "Moderately Accurate", "Neither Accurate Nor Inaccurate", "Moderately Inaccurate",
    "Very Inaccurate",
)  # fmt: skip
_FACTORS = {
    "O": "openness", "C": "conscientiousness", "E": "extraversion", "A": "agreeableness", "N": "neuroticism",
}  # fmt: skip
_CHOICES = ("response_high1", "response_low1", "response_high2", "response_low2")
_SIDES = (1, -1, 1, -1)


@dataclass(frozen=True)
class Item:
    """A trait's item: what is said or asked, its key (-1: reversed) and, of a situation, its own options."""

    trait: str
    text: str
    key: int = 1
    options: tuple[str, ...] = ()

    @property
    def is_statement(self) -> bool:
        """Whether it is rated with :data:`RATINGS`."""
        return not self.options

    @property
    def answers(self) -> tuple[str, ...]:
        """The options that it is answered with, as listed first."""
        return self.options or RATINGS

    @property
    def sides(self) -> tuple[int, ...]:
        """For each option whether it speaks for the trait (above 0), against it (below) or neither, twice as much at
        the ends of a rating."""
        return tuple(self.key * each for each in ((2, 1, 0, -1, -2) if self.is_statement else _SIDES))

    @property
    def second_order(self) -> tuple[int, ...]:
        """The options' numbers as listed the second time: a rating's from the other end, a situation's with the two
        sides exchanged in each pair."""
        n = len(self.answers)
        return tuple(range(n))[::-1] if self.is_statement else tuple(each ^ 1 for each in range(n))


@cache
def read_inventory(name: str, most: int | None = None) -> tuple[Item, ...]:
    """An inventory by its name (``short``), or from a file.

    Files: YAML as the short inventory's (``items`` -> trait -> ``plus`` and ``minus`` -> statements); CSV with the
    columns ``text, label_ocean, key`` of the Machine Personality Inventory (arXiv 2206.07550); JSON or JSON lines with
    the fields ``personality, situation, query, response_high1, response_high2, response_low1, response_low2`` of TRAIT
    (arXiv 2406.14703; ``question`` in place of situation and query will do).  ``most``: items of each trait, both keys
    alike as far as they go.  Raises :class:`SpecError` for what is no inventory.

    >>> items = read_inventory("short")
    >>> len(items), items[0].trait, items[0].text
    (60, 'openness', 'You enjoy turning a strange idea over for hours.')
    >>> len(read_inventory("short", 4)), sum(item.key for item in read_inventory("short", 4))
    (20, 0)
    """
    known = {path.stem: path for path in _FOLDER.glob("*.yaml") if path.stem != "traits"}
    path = known.get(name, Path(name).expanduser())
    readers = {".yaml": _own, ".yml": _own, ".csv": _mpi, ".json": _situations, ".jsonl": _situations}
    if path.suffix not in readers:
        said = f"{', '.join(known)} and no YAML, CSV, JSON or JSONL file"
        raise SpecError(f"inventory: {name!r} is none of {said}{did_you_mean(name, known)}")
    try:
        items = tuple(readers[path.suffix](path))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"inventory: cannot read {path}: {why}") from None
    if not items:
        raise DataError(f"inventory {path} has no items")
    kinds = {len(item.answers) for item in items}
    if len(kinds) > 1 or len({item.is_statement for item in items}) > 1:
        raise DataError(f"inventory {path}: statements and situations are mixed: make two inventories of it")
    return tuple(_few(items, most)) if most else items


def traits_of(items: Sequence[Item]) -> tuple[str, ...]:
    """The traits of an inventory, in its order."""
    return tuple(dict.fromkeys(item.trait for item in items))


def _few(items: Sequence[Item], most: int) -> Iterator[Item]:
    """The first ``most`` of each trait, one with each key in turn."""
    for trait in traits_of(items):
        plus, minus = ([each for each in items if each.trait == trait and each.key == key] for key in (1, -1))
        in_turn = [each for pair in zip_longest(plus, minus) for each in pair if each is not None]
        yield from in_turn[:most]


def _own(path: Path) -> Iterator[Item]:
    found = read_spec_file(path).get("items")
    if not isinstance(found, Mapping):
        raise SpecError(f"inventory {path} needs items: trait -> plus and minus -> statements")
    for trait, sides in found.items():
        if not isinstance(sides, Mapping) or set(sides) - {"plus", "minus"}:
            raise SpecError(f"inventory {path}: {trait} needs lists called plus and minus")
        for side, key in (("plus", 1), ("minus", -1)):
            for text in sides.get(side) or ():
                if not isinstance(text, str) or not text.strip():
                    raise SpecError(f"inventory {path}: {trait}, {side}: {text!r} is no statement")
                yield Item(str(trait), statement(text), key)


def _mpi(path: Path) -> Iterator[Item]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            missing = [name for name in ("text", "label_ocean", "key") if not (row.get(name) or "").strip()]
            if missing:
                raise DataError(f"inventory {path}, line {number}: no {missing[0]} (columns text, label_ocean, key)")
            if row["key"].strip() == "0":  # the published long form has one
                warn(f"inventory {path}, line {number}: its key is 0, so it speaks for no side; it is left out")
                continue
            if row["key"].strip() not in ("1", "-1", "+1"):
                raise DataError(f"inventory {path}, line {number}: key is {row['key']!r}, not 1 or -1")
            factor = row["label_ocean"].strip()
            yield Item(_FACTORS.get(factor, factor), statement(row["text"]), int(row["key"]))


def _situations(path: Path) -> Iterator[Item]:
    for number, row in enumerate(read_records(path, "inventory"), 1):
        where = f"inventory {path}, item {number}"
        if not isinstance(row, Mapping):
            raise DataError(f"{where} is no object of fields")
        trait = row.get("personality") or row.get("trait")
        asked = " ".join(str(row[name]).strip() for name in ("situation", "query") if row.get(name))
        asked = asked or str(row.get("question") or "").strip()
        missing = [name for name in _CHOICES if not str(row.get(name) or "").strip()]
        if not trait or not asked or missing:
            lacks = "personality" if not trait else missing[0] if missing else "situation and query"
            raise DataError(f"{where}: no {lacks}")
        yield Item(str(trait).strip().lower(), asked, 1, tuple(str(row[name]).strip() for name in _CHOICES))


def statement(text: str) -> str:
    """An item's words as a sentence about the one who is asked.

    >>> statement("Worry about things"), statement("Am not easily bothered.")
    ('You worry about things.', 'You are not easily bothered.')
    """
    words = text.strip().rstrip(".")
    head, _, rest = words.partition(" ")
    verb = {"am": "are", "was": "were"}.get(head.lower(), head[:1].lower() + head[1:])
    return f"You {verb} {rest}".rstrip() + "."
