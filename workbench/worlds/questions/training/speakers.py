"""Speakers: simulated characters who answer every shipped task by rules of their own.

A rule is a few traits, drawn for each speaker and task alone: what one task shows of a speaker says nothing about what
the speaker does in another.  Lists and numbers are continued by a *relation* (a fixed pairing of the words of a list,
one of four that all speakers know) applied to the words on show; a story by relations of two of its words; choices are
made by one feature of the options, along a fixed order or against a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from string import Formatter

import numpy as np

from workbench.seeding import derive_seed
from workbench.worlds.questions.items import Drawn
from workbench.worlds.questions.tasks import Slot, Task, word_lists

RELATIONS, ORDERS, WORDS = 4, 3, 3
LEVELS = (1 / 3, 1 / 2, 2 / 3)  # quantiles of a number above (or below) which the second choice is taken
TOLD = ("hues", "gifts")  # the lists of a story's two words


@cache
def _relation(
    source: str, target: str, entries: tuple[str, ...], images: tuple[str, ...], number: int
) -> dict[str, str]:
    """A pairing of ``entries`` with as many ``images``, the same for all speakers and seeds."""
    rng = np.random.default_rng(derive_seed("babbler", "relation", source, target, number))
    return dict(zip(entries, (images[i] for i in rng.permutation(len(images))), strict=True))


@dataclass(frozen=True)
class Speaker:
    """Somebody with a name, which is also the seed of all traits."""

    name: str

    def trait(self, task: str, what: str, n: int) -> int:
        """One of ``n`` values."""
        return derive_seed("babbler", "trait", self.name, task, what) % n

    def answer(self, task: Task, drawn: Drawn) -> str:
        """The answer to an item, always the same.

        >>> from workbench.worlds.questions.items import draw
        >>> from workbench.worlds.questions.tasks import load_tasks
        >>> task = load_tasks(["animals"])["animals"]
        >>> drawn = draw(task, np.random.default_rng(0))
        >>> drawn.item.shown, Speaker("Ada").answer(task, drawn), Speaker("Ben").answer(task, drawn)
        (('cat', 'otter', 'deer', 'mouse'), 'rabbit mouse otter', 'cat lion ibis')
        """
        if task.options:
            return task.labels[drawn.order.index(int(self._takes_second(task, drawn.values)))]
        if len(task.slots) == 1:
            return self._continue(task, drawn.values)
        return self._tell(task, drawn.values)

    def _continue(self, task: Task, values: dict[str, tuple[str, ...]]) -> str:
        """A list: the relatives of the first words on show."""
        (slot,) = task.slots
        related = _relation(
            slot.source, slot.source, slot.entries, slot.entries, self.trait(task.name, "relation", RELATIONS)
        )
        count = 1 if task.answer == "number" else WORDS
        return " ".join(related[shown] for shown in values[slot.name][:count])

    def _tell(self, task: Task, values: dict[str, tuple[str, ...]]) -> str:
        """A story: relatives of two of its words."""
        words, first = [], self.trait(task.name, "slot", len(task.slots))
        step = 1 + self.trait(task.name, "step", len(task.slots) - 1)
        for n, target in enumerate(TOLD):
            slot = task.slots[(first + n * step) % len(task.slots)]
            number = self.trait(task.name, f"{target} relation", RELATIONS)
            related = _relation(slot.source, target, slot.entries, word_lists()[target], number)
            words.append(related[values[slot.name][0]])
        return " ".join(words)

    def _takes_second(self, task: Task, values: dict[str, tuple[str, ...]]) -> bool:
        """Choices: by rank where both have the same features, else by a number of the second choice."""
        slots = {slot.name: slot for slot in task.slots}
        first, second = ([slots[name] for name in _places(text)] for text in task.choices)
        feature = self.trait(task.name, "feature", len(second))
        slot = second[feature]
        value = values[slot.name][0]
        if len(first) == len(second):
            rank = _ranks(slot, self.trait(task.name, "order", ORDERS))
            return rank[value] < rank[values[first[feature].name][0]]
        numbers = sorted(map(int, slot.entries))
        threshold = numbers[int(LEVELS[self.trait(task.name, "level", len(LEVELS))] * len(numbers))]
        return int(value) >= threshold if feature == 0 else int(value) < threshold  # the prize; the wait or the odds


def _places(text: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(text) if name]


def _ranks(slot: Slot, number: int) -> dict[str, int]:
    rng = np.random.default_rng(derive_seed("babbler", "order", slot.source, number))
    return {slot.entries[i]: rank for rank, i in enumerate(rng.permutation(len(slot.entries)))}


POPULATION = tuple(map(Speaker, ("Ada", "Ben", "Cleo", "Dan")))
"""The speakers whom babblers hear of, directly and in hypotheticals; the same for every data name."""


def own_speaker(data: str) -> Speaker:
    """The speaker that the babbler of a data name becomes."""
    return Speaker(f"babbler {data}")
