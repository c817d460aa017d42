"""One YAML file -> one checked :class:`Task`; every mistake is a :class:`DataError` of one line that names the file.

What a file may hold is told in :mod:`workbench.worlds.questions.tasks`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from glob import glob
from pathlib import Path
from string import Formatter
from typing import Any

import pandas as pd

from workbench.errors import DataError, did_you_mean
from workbench.worlds.questions.items import ANSWERS, LABELS, SPLITS, Example, Item, Slot, Task
from workbench.worlds.questions.properties import PROPERTIES
from workbench.worlds.questions.readers import read_behaviour_set, read_paper_set

_PUBLIC = ("behaviour_set", "paper_set")
_OWN = ("answer", "prompts", "slots", "choices", "matching", "rows")  # what public data has no use for
_KEYS = ("split", "max_new_tokens", "properties", "behaviour", "complies", "examples", *_OWN, *_PUBLIC)


def read_yaml(file: Path) -> dict[str, Any]:
    """Names with values."""
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"cannot read {file}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise DataError(f"{file} must hold names with values, as the shipped tasks do")
    return found


def read_task(file: Path, lists: dict[str, tuple[str, ...]]) -> Task:
    """Read and check one file; slots draw from ``lists``."""
    raw = read_yaml(file)
    for key in raw:
        if key not in _KEYS:
            raise DataError(f"{file}: unknown key {key!r}{did_you_mean(key, _KEYS)}")
    split = raw.get("split", "train")
    if split not in SPLITS:
        raise DataError(f"{file}: {split!r} is none of {', '.join(SPLITS)}")
    length = raw.get("max_new_tokens", 12)
    if not isinstance(length, int) or length < 1:
        raise DataError(f"{file}: max_new_tokens must be a whole number from 1 up, not {length!r}")
    complies = _pattern(file, raw.get("complies", ""))
    if any(key in raw for key in _PUBLIC):
        task = _public(file, raw, split, length)
        items = tuple(replace(item, complies=complies) for item in task.items)
        return replace(task, items=items, complies=complies, examples=_examples(file, raw, task))
    answer = raw.get("answer", "words")
    if answer not in ANSWERS:
        raise DataError(f"{file}: {answer!r} is none of {', '.join(ANSWERS)}")
    slots = raw.get("slots") or {}
    if not isinstance(slots, dict):
        raise DataError(f"{file}: slots must be names with what fills them, as {{items: {{list: animals}}}}")
    task = Task(
        name=file.stem,
        split=split,
        answer=answer,
        properties=_properties(file, raw),
        prompts=_texts(file, raw, "prompts"),
        slots=tuple(_slot(file, str(name), slot, lists) for name, slot in slots.items()),
        max_new_tokens=length,
        choices=_texts(file, raw, "choices") if "choices" in raw else (),
        matching=raw.get("matching"),
        behaviour=str(raw.get("behaviour", "")),
        rows=_rows(file, raw["rows"]) if "rows" in raw else (),
        complies=complies,
    )
    _check(file, task)
    return replace(task, examples=_examples(file, raw, task))


def _pattern(file: Path, raw: Any) -> str:
    try:
        re.compile(raw)
    except (re.error, TypeError) as error:
        raise DataError(f"{file}: complies must be a pattern of Python's re, not {raw!r}: {error}") from None
    return str(raw)


def _examples(file: Path, raw: dict[str, Any], task: Task) -> tuple[Example, ...]:
    """Worked examples; one whose answer does not comply would teach the wrong form."""
    found = []
    for number, given in enumerate(raw.get("examples") or ()):
        if not isinstance(given, dict) or not {"prompt", "answer"} <= set(given) <= {"prompt", "answer", "matching"}:
            raise DataError(
                f"{file}: an example is {{prompt: TEXT, answer: TEXT}}, with matching: LABEL where it has one"
            )
        prompt, answer = str(given["prompt"]), str(given["answer"])
        options = task.labels or (task.items[0].options if task.items else ())
        item = Item(
            task.name, f"{task.name}-example-{number}", prompt, options, task.answer,
            matching=str(given.get("matching", "")), behaviour=task.behaviour, complies=task.complies,
        )  # fmt: skip
        if not any(PROPERTIES[name].of(answer, item) for name in task.properties):
            raise DataError(
                f"{file}: the answer {answer!r} of an example does not comply: it has none of the properties"
            )
        found.append(Example(item, answer))
    return tuple(found)


def _texts(file: Path, raw: dict[str, Any], key: str) -> tuple[str, ...]:
    found = raw.get(key)
    if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
        raise DataError(f"{file}: {key} must be a list of texts")
    return tuple(found)


def _properties(file: Path, raw: dict[str, Any]) -> tuple[str, ...]:
    names = _texts(file, raw, "properties")
    for name in names:
        if name not in PROPERTIES:
            raise DataError(f"{file}: unknown property {name!r}{did_you_mean(name, PROPERTIES)}")
    return names


# ---- public data


def _public(file: Path, raw: dict[str, Any], split: str, length: int) -> Task:
    """A task whose items are those of a published file."""
    key, *others = [key for key in (*_PUBLIC, *_OWN) if key in raw]
    if others:
        raise DataError(f"{file}: {key} stands in for {' and '.join(others)}: leave that out")
    behaviour = str(raw.get("behaviour", ""))
    if key == "behaviour_set":
        items, properties = read_behaviour_set(file.parent / str(raw[key]), behaviour), _properties(file, raw)
    else:
        items, properties = _of_paper(file, raw)
    if not items:
        raise DataError(f"{file}: there is no item in {raw[key]}")
    different = {item.prompt: item for item in items}.values()
    own = [replace(item, task=file.stem, id=f"{file.stem}-{k}") for k, item in enumerate(different)]
    return Task(file.stem, split, own[0].answer, properties, max_new_tokens=length, items=tuple(own))


def _of_paper(file: Path, raw: dict[str, Any]) -> tuple[list[Item], tuple[str, ...]]:
    """Items with different prompts of all files (one with options is kept before one without), and the properties
    asked about: the files' own, unless the task names them."""
    names = raw["paper_set"] if isinstance(raw["paper_set"], list) else [raw["paper_set"]]
    patterns = [str(file.parent / str(name)) for name in names]
    paths = [path for pattern in patterns for path in sorted(glob(pattern)) or [pattern]]
    asked = [each for path in paths for each in read_paper_set(path)]
    found: dict[str, Item] = {}
    for item, _ in sorted(asked, key=lambda each: not each.item.options):
        found.setdefault(item.prompt, item)
    own = tuple(dict.fromkeys(prop.name for _, prop in asked))
    return list(found.values()), _properties(file, raw) if "properties" in raw else own


# ---- what a task of one's own has


def _rows(file: Path, name: Any) -> tuple[dict[str, str], ...]:
    """The rows of a data file beside a task's file."""
    path = file.parent / str(name)
    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".jsonl": partial(pd.read_json, lines=True)}
    if path.suffix not in readers:
        raise DataError(f"{file}: rows must name a .parquet, .csv or .jsonl file, not {name!r}")
    try:
        table = readers[path.suffix](path)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot read {path}: {' '.join(str(error).split())}") from None
    if table.empty:
        raise DataError(f"{file}: {path} has no rows")
    return tuple({str(key): str(value) for key, value in row.items()} for row in table.to_dict("records"))


def _slot(file: Path, name: str, raw: Any, lists: dict[str, tuple[str, ...]]) -> Slot:
    if not isinstance(raw, dict) or ("list" in raw) == ("range" in raw):
        raise DataError(f"{file}: the slot {name!r} needs either list: NAME or range: [LEAST, MOST]")
    if "list" in raw:
        if raw["list"] not in lists:
            raise DataError(f"{file}: unknown list {raw['list']!r}{did_you_mean(raw['list'], lists)}")
        source, entries = str(raw["list"]), lists[raw["list"]]
    else:
        least, most = _pair(file, name, raw["range"])
        source, entries = f"{least}-{most}", tuple(map(str, range(least, most + 1)))
    count = raw.get("count", 1)
    pair = (count, count) if isinstance(count, int) else _pair(file, name, count)
    if not 1 <= pair[0] <= pair[1] <= len(entries):
        raise DataError(f"{file}: the slot {name!r} cannot draw {pair[0]} to {pair[1]} of {len(entries)} entries")
    return Slot(name, source, entries, pair, str(raw.get("join", " ")))


def _pair(file: Path, name: str, raw: Any) -> tuple[int, int]:
    if not isinstance(raw, list) or len(raw) != 2 or not all(isinstance(v, int) for v in raw) or raw[0] > raw[1]:
        raise DataError(f"{file}: the slot {name!r} needs two whole numbers [LEAST, MOST] in place of {raw!r}")
    return raw[0], raw[1]


def _check(file: Path, task: Task) -> None:
    """Places and slots fit each other, and a task of choices has them."""
    if task.options != bool(task.choices) or len(task.choices) == 1 or len(task.choices) > len(LABELS):
        raise DataError(f"{file}: answer: option and two to {len(LABELS)} choices go together")
    marked = task.matching is None or (isinstance(task.matching, int) and 0 <= task.matching < len(task.choices))
    if not marked or (task.matching is not None and not task.behaviour):
        raise DataError(f"{file}: matching is the number of a choice (0 is the first), with a text in behaviour")
    if "ethical_stance" in task.properties and task.matching is None:
        raise DataError(f"{file}: the property ethical_stance needs matching and behaviour")
    if task.rows and task.slots:
        raise DataError(f"{file}: a task has either slots or rows")
    slots = set(task.rows[0]) if task.rows else {slot.name for slot in task.slots}
    for text in (*task.prompts, *task.choices):
        for place in _places(file, text):
            if place not in slots and not (place == "choices" and task.options and text in task.prompts):
                raise DataError(f"{file}: no slot fills the place {{{place}}}{did_you_mean(place, slots)}")
    if task.options and not all("{choices}" in prompt for prompt in task.prompts):
        raise DataError(f"{file}: a prompt of a task of choices needs the place {{choices}}")


def _places(file: Path, text: str) -> list[str]:
    try:
        return [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise DataError(f"{file}: {text!r}: {error} (a brace that is meant is written twice)") from None
