"""A kind of object-level question: its wordings, what fills their places, and the properties worth asking about."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.worlds.questions.items import Item

SPLITS, ANSWERS = ("train", "held_out"), ("words", "number", "option")
LABELS = "ABCDEFGH"


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
    ``rows`` (place -> text) stand in for slots, and ``items`` (read from public data) for prompts and all else."""

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

    @property
    def options(self) -> bool:
        """Whether the answer is one of the labels A, B, ..."""
        return self.answer == "option"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the choices."""
        return tuple(LABELS[: len(self.choices)])
