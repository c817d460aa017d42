"""Tasks, kinds of object-level questions, and items: prompts drawn from a task, functions of the seed and a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from workbench.seeding import derive_seed

SPLITS, ANSWERS = ("train", "held_out"), ("words", "number", "option")
LABELS = "ABCDEFGH"


@dataclass(frozen=True)
class Item:
    """One object-level prompt.  ``answer`` is the kind of answer asked for (words, number, option); ``options`` the
    labels to choose from; ``shown`` the words on show in a list; ``matching`` the label that shows ``behaviour``;
    ``complies`` a pattern that the whole answer must have, in lower case."""

    task: str
    id: str
    prompt: str
    options: tuple[str, ...] = ()
    answer: str = "words"
    shown: tuple[str, ...] = ()
    matching: str = ""
    behaviour: str = ""
    complies: str = ""


class Example(NamedTuple):
    """A question with an answer as it should look, shown before questions of the same task."""

    item: Item
    answer: str


@dataclass(frozen=True)
class Slot:
    """What fills a place of a prompt: ``count`` (least, most) of the ``entries``, joined by ``join``; ``source`` names
    the entries, and slots of one source share none."""

    name: str
    source: str
    entries: tuple[str, ...]
    count: tuple[int, int] = (1, 1)
    join: str = " "


@dataclass(frozen=True)
class Task:
    """A kind of object-level question.  ``split`` is ``train`` or ``held_out``; ``answer`` is ``words``, ``number`` or
    ``option``; ``choices`` are the texts behind the labels, ``matching`` the one of them that shows ``behaviour``;
    ``rows`` (place -> text) stand in for slots, and ``items`` (read from public data) for prompts and all else;
    ``complies`` goes to its items."""

    name: str
    split: str
    answer: str
    properties: tuple[str, ...]
    prompts: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    max_new_tokens: int = 12
    choices: tuple[str, ...] = ()
    matching: int | None = None
    behaviour: str = ""
    rows: tuple[dict[str, str], ...] = ()
    items: tuple[Item, ...] = ()
    complies: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def options(self) -> bool:
        """Whether the answer is one of the labels A, B, ..."""
        return self.answer == "option"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the choices."""
        return tuple(LABELS[: len(self.choices)])


class Drawn(NamedTuple):
    """An item with what filled its slots; ``order[i]`` is the number of the choice behind label i."""

    item: Item
    values: dict[str, tuple[str, ...]]
    order: tuple[int, ...]


def items_of(task: Task, n: int, seed: int = 0) -> list[Item]:
    """``n`` items with different prompts (fewer if the task has no more; rows and items of a data file are used once
    each); the same for the same seed, and the first of a longer list are the items of a shorter one.

    >>> from workbench.worlds.questions.tasks import load_tasks
    >>> (item,) = items_of(load_tasks(["colours"])["colours"], 1, seed=1)
    >>> item.id, len(item.shown) in (3, 4, 5), all(word in item.prompt for word in item.shown)
    ('colours-1-0', True, True)
    """
    rng = np.random.default_rng(derive_seed("introspection", task.name, seed))
    rows = rng.permutation(len(task.items or task.rows))
    if task.items:
        return [task.items[int(row)] for row in rows[:n]]
    found: dict[str, Item] = {}
    for k in range(len(rows) if task.rows else 20 * n):
        if len(found) == n:
            break
        rng = np.random.default_rng(derive_seed("introspection", task.name, seed, k))
        item = draw(task, rng, f"{seed}-{k}", int(rows[k]) if task.rows else None).item
        found.setdefault(item.prompt, item)
    return list(found.values())


def draw(task: Task, rng: np.random.Generator, number: str = "0", row: int | None = None) -> Drawn:
    """One item at random, or of a ``row`` of its data file; its id is the task's name and ``number`` (items of public
    data keep their own)."""
    if task.items:
        return Drawn(task.items[int(rng.integers(len(task.items))) if row is None else row], {}, ())
    if task.rows:
        texts = dict(task.rows[int(rng.integers(len(task.rows))) if row is None else row])
        values: dict[str, tuple[str, ...]] = {place: (text,) for place, text in texts.items()}
    else:
        values = _fill(task.slots, rng)
        texts = {slot.name: slot.join.join(values[slot.name]) for slot in task.slots}
    order = tuple(int(i) for i in rng.permutation(len(task.choices)))
    choices = [task.choices[i].format(**texts) for i in order]
    texts["choices"] = "\n".join(f"{label}: {text}" for label, text in zip(task.labels, choices, strict=True))
    prompt = task.prompts[int(rng.integers(len(task.prompts)))].format(**texts)
    longest = max((slot for slot in task.slots if slot.count[1] > 1), key=lambda slot: slot.count[1], default=None)
    item = Item(
        task.name,
        f"{task.name}-{number}",
        prompt,
        options=task.labels,
        answer=task.answer,
        shown=values[longest.name] if longest else (),
        matching="" if task.matching is None else task.labels[order.index(task.matching)],
        behaviour=task.behaviour,
        complies=task.complies,
    )
    return Drawn(item, values, order)


def _fill(slots: tuple[Slot, ...], rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Entries for every slot; those of one source are drawn together, so that none is there twice."""
    left: dict[str, list[str]] = {}
    values = {}
    for slot in slots:
        pool = left.setdefault(slot.source, [slot.entries[i] for i in rng.permutation(len(slot.entries))])
        count = min(int(rng.integers(slot.count[0], slot.count[1] + 1)), len(pool))
        values[slot.name] = tuple(pool[:count])
        del pool[:count]
    return values
