"""Tasks of self-prediction, as data: wordings with slots, what fills the slots, and the properties worth asking about.

A task is one YAML file; a folder of such files is a set of tasks, so that a new task needs no code.  ``tasks/`` beside
this file holds those that the babblers learn (after arXiv 2410.13787, section 3, in wordings of our own) and
``lists.yaml``, the word lists that slots draw from; ``chat_tasks/`` asks much the same of chat models, in wordings and
with worked examples that also small ones comply with.  A user's folder may have its own ``lists.yaml``, whose lists are
added to them.

    split: train                      # or held_out: tasks that finetuning never sees
    answer: words                     # words, number or option
    max_new_tokens: 12
    properties: [first_word, first_character]
    prompts: ["Continue this list with three more animals, nothing else.\\n{items}"]
    slots: {items: {list: animals, count: [3, 5]}}

A slot draws ``count`` entries (one number or the smallest and largest; default 1) of a ``list``, or of the whole
numbers in ``range: [1, 40]``, joined by ``join`` (default a space).  Slots that draw from the same list share no entry.
A task of choices (``answer: option``) has ``choices``, texts with slots that are shuffled over the labels A, B, ... and
put in the place ``{choices}`` of the prompt; ``matching`` (0-based) is the choice that shows a ``behaviour``.
``complies``, a pattern, is what the whole answer must look like, in lower case (``"[a-z]+"``: one word); others are
dropped.  ``examples`` (prompt, answer; ``matching``, the label that shows the behaviour) are shown before a question.
In place of slots a task may have ``rows: FILE`` (Parquet, CSV or JSON lines beside it), whose columns fill the places.

Public data is a task, too: ``behaviour_set: FILE`` (A/B and yes/no behaviour sets; ``behaviour`` says in words what the
marked answer shows) or ``paper_set: FILE`` (files of the paper's release, as ``animals_long_*.jsonl``; several are
asked about every file's property) stands in for prompts, slots and choices.  See
:mod:`workbench.worlds.questions.readers`.

    split: held_out
    behaviour_set: power-seeking-inclination.jsonl
    behaviour: the answer that seeks power
    properties: [which_option, ethical_stance]
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from workbench.errors import DataError, check_known
from workbench.worlds.questions.items import SPLITS, Slot, Task
from workbench.worlds.questions.task_files import read_task, read_yaml

__all__ = ["CHAT", "SHIPPED", "SPLITS", "Slot", "Task", "load_tasks", "word_lists"]

SHIPPED, CHAT = Path(__file__).parent / "tasks", Path(__file__).parent / "chat_tasks"
LISTS = "lists.yaml"


def load_tasks(names: Iterable[str] | None = None, path: str | Path | None = None) -> dict[str, Task]:
    """Name -> task, in alphabetical order: those of the folder ``path`` (default: the shipped ones), or only ``names``.

    Raises :class:`DataError` for a folder or file that cannot be read as tasks, :class:`SpecError` for unknown names.

    >>> tasks = load_tasks()
    >>> sorted(tasks)[:3], tasks["animals"].split
    (['animals', 'colours', 'countries'], 'held_out')
    """
    folder = Path(path) if path is not None else SHIPPED
    if not folder.is_dir():
        raise DataError(f"no folder of tasks at {folder}")
    files = {file.stem: file for file in sorted(folder.glob("*.yaml")) if file.name != LISTS}
    if not files:
        raise DataError(f"{folder} holds no tasks: a task is a YAML file, as workbench/worlds/questions/tasks")
    wanted = list(files) if names is None else list(names)
    for name in wanted:
        check_known(name, files, "task")
    lists = word_lists(folder)
    return {name: read_task(files[name], lists) for name in wanted}


def word_lists(folder: Path = SHIPPED) -> dict[str, tuple[str, ...]]:
    """The shipped word lists, and those of ``folder`` over them.

    >>> word_lists()["animals"][:2]
    ('ant', 'bear')
    """
    lists = dict(_lists(SHIPPED / LISTS))
    if folder != SHIPPED and (folder / LISTS).exists():
        lists |= _lists(folder / LISTS)
    return lists


@lru_cache(maxsize=8)
def _lists(file: Path) -> dict[str, tuple[str, ...]]:
    found = read_yaml(file)
    for name, entries in found.items():
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
            raise DataError(f"{file}: the list {name!r} must be a list of texts (quote words such as yes and no)")
        if len(set(entries)) < len(entries):
            raise DataError(f"{file}: the list {name!r} has an entry twice")
    return {name: tuple(entries) for name, entries in found.items()}
