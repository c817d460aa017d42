"""The source ``chats``: a file with a chat in each line, beside its labels, or a table of texts that a user says.

A line of the JSONL file is an object with the messages and labels, or a bare list of messages.  An object among the
labels is several of them: ``{"labels": {"topic": "sea", "true": false}}`` gives the columns ``labels.topic`` and
``labels.true``.  Everything that can be known without a model is checked before one is loaded, line by line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from probes.folds import duplicate_groups
from workbench.activations import ActivationSet, GenerationPrompt, Role
from workbench.activations.sources import Source, Task, infer_task
from workbench.arguments import mapping, shown, text
from workbench.errors import DataError, SpecError, check_keys, did_you_mean
from workbench.families.probe_sweep.prompts import capture_prompts, read_positions, sinks_of
from workbench.families.probe_sweep.texts import read_table
from workbench.models.chats import content_of, goes_on, with_system
from workbench.models.inputs import chat
from workbench.models.language_model import LanguageModel
from workbench.sites import Site

_OPTIONS = ("kind", "path", "messages", "text", "group", "system", "template", "sinks")
_MESSAGES = "messages"
Message = dict[str, Any]


class Chats(NamedTuple):
    """The chats of a file, their labels, a group each, and where each stands (``chats.jsonl, line 3``)."""

    chats: list[list[Message]]
    labels: pd.DataFrame
    groups: np.ndarray
    places: list[str]


def read_chats(options: Mapping[str, Any]) -> Chats:
    """The chats that the options of a sweep name; what cannot be read raises an error with file and line."""
    check_keys(options, _OPTIONS, "source chats")
    if "path" not in options:
        raise SpecError("source chats needs 'path': a JSONL file, one chat a line")
    mapping(options.get("template", {}), "template")
    path = Path(options["path"])
    if "text" in options:
        given = {name: options[name] for name in ("path", "text", "group") if name in options}
        table = read_table(given)
        chats = [[{"role": "user", "content": said}] for said in table.pop(options["text"])]
        places = [f"{path}, row {number}" for number in range(1, len(chats) + 1)]
    else:
        numbers, found = zip(*_lines(path, str(options.get("messages", _MESSAGES))), strict=True)
        chats, table = [messages for messages, _ in found], pd.DataFrame([labels for _, labels in found])
        places = [f"{path}, line {number}" for number in numbers]
    if "system" in options:
        system = text(options["system"], "system")
        chats = [with_system(messages, system) for messages in chats]
    return Chats(chats, table, _groups(options, table, chats, places), places)


def _lines(path: Path, field: str) -> Iterator[tuple[int, tuple[list[Message], dict[str, Any]]]]:
    """Number of each line that is not empty, its messages and its labels."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"source: cannot read {path}: {why}") from None
    any_line = False
    for number, line in enumerate(lines, 1):
        if line.strip():
            any_line = True
            try:
                yield number, _read_line(line, field)
            except (DataError, SpecError) as error:
                raise DataError(f"{path}, line {number}: {error}") from None
    if not any_line:
        raise DataError(f"{path} has no lines")


def _read_line(line: str, field: str) -> tuple[list[Message], dict[str, Any]]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise DataError(f"not JSON: {error}") from None
    labels = found if isinstance(found, dict) else {field: found}
    if field not in labels:
        raise DataError(f"no field {field!r}{did_you_mean(field, labels)}")
    messages = labels.pop(field)
    if not isinstance(messages, list) or not messages:
        raise DataError(f"{field} must be a list of messages {{'role': ..., 'content': ...}}, not {shown(messages)}")
    return chat(messages), dict(_plain(labels))


def _plain(labels: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Labels by column; those of an object within one are columns of their own."""
    for name, value in labels.items():
        if isinstance(value, dict):
            yield from _plain(value, f"{before}{name}.")
        elif isinstance(value, list):
            raise DataError(f"{before}{name} is {shown(value)}: a label is a text, a number, true or false")
        else:
            yield f"{before}{name}", value


def _groups(
    options: Mapping[str, Any], labels: pd.DataFrame, chats: Sequence[list[Message]], places: Sequence[str]
) -> np.ndarray:
    """Groups of the chats; where equal chats lie in two groups, these are one."""
    column, keys = options.get("group"), [json.dumps(messages, sort_keys=True) for messages in chats]
    if column is None:
        return duplicate_groups(keys, np.arange(len(keys)))
    if column not in labels:
        raise SpecError(f"source: group names no label {column!r}{did_you_mean(column, map(str, labels))}")
    missing = np.flatnonzero(labels[column].isna())
    if len(missing):
        raise DataError(f"{places[missing[0]]}: no value of the group {column!r}")
    return duplicate_groups(keys, labels[column].to_numpy())


def _check(options: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Task]:
    forms = {name: read_positions(value, name)[0] for name, value in positions.items()}
    sinks_of(options)
    found = read_chats(options)
    for place, messages in zip(found.places, found.chats, strict=True):
        for name, form in forms.items():
            if wrong := _lacks(messages, form):
                raise DataError(f"{place}: {wrong} for the position {name!r}")
    return {str(name): infer_task(found.labels[name]) for name in found.labels if name != options.get("group")}


def _lacks(messages: Sequence[Message], form: Any) -> str:
    """What a chat has not that a position asks of it; empty when it has all."""
    if isinstance(form, GenerationPrompt) and goes_on(messages):
        return "it ends within the assistant's message, so there is no generation prompt"
    if isinstance(form, Role):
        n, which = sum(message["role"] == form.role for message in messages), form.occurrence
        if not n or (which is not None and not -n <= which < n):
            return f"{n} messages of the role {form.role!r}" + ("" if which is None else f", none numbered {which},")
    return ""


def _capture(
    options: Mapping[str, Any],
    *,
    model: LanguageModel,
    reader: LanguageModel,
    sites: Sequence[Site],
    positions: Mapping[str, Any],
    device: str | None = None,
    progress: bool = False,
) -> dict[str, ActivationSet]:
    found = read_chats(options)
    reader = reader.with_template(**options.get("template", {}))
    try:
        chats, labels, groups = found.chats, found.labels, found.groups
        return capture_prompts(reader, chats, sites, positions, labels, groups, progress, sinks_of(options))
    except DataError as error:
        number = re.match(r"input (\d+): ", str(error))
        if number is None:
            raise
        raise DataError(f"{found.places[int(number[1])]}: {str(error)[number.end() :]}") from error


def _texts(options: Mapping[str, Any]) -> list[str]:
    """What is said in each chat, by all roles."""
    return ["\n".join(content_of(message) for message in messages) for messages in read_chats(options).chats]


CHATS = Source(_capture, _check, texts=_texts)
