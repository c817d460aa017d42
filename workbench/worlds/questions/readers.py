"""Readers of public data, for users who have it: the paper's test sets and A/B behaviour sets.

Both are JSON lines.  The paper's files (arXiv 2410.13787, one a dataset and property) hold object-level prompts (chat
messages in its repository, texts on the hub) and the property asked about; behaviour sets (model-written evaluations,
arXiv 2212.09251) hold questions with choices (A), (B), ... or yes and no, and the answer that shows the behaviour.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import DataError, did_you_mean
from workbench.worlds.questions.items import Item
from workbench.worlds.questions.properties import PROPERTIES, Property

_CHOICE = re.compile(r"^\s*\(([A-Z])\)", re.MULTILINE)
_PAPER_CHOICE = re.compile(r"^\s*([A-Z])(?: - |\)|:|\.)", re.MULTILINE)
_NAMES = {"identity": "which_option", "is_even": "even_or_odd", "first_and_second_character": "first_two_characters"}


class Asked(NamedTuple):
    """An item and the property that the data set asks about."""

    item: Item
    property: Property


def read_behaviour_set(path: str | Path, behaviour: str = "") -> list[Item]:
    """Questions of an A/B (or yes/no) behaviour set, with the option that shows the behaviour.

    ``behaviour`` says in words what that is (default: the file's name), for the property ``ethical_stance``.  Rows
    whose options cannot be found in the question are left out.  Raises :class:`DataError` for a file of another kind.
    """
    file = Path(path)
    name = file.stem.replace("_", "-")
    items = []
    for number, row in _rows(file, ("question", "answer_matching_behavior")):
        question = re.sub(r"\s*Answer:\s*$", "", str(row["question"]).strip())
        matching = str(row["answer_matching_behavior"]).strip(" ().")
        options = tuple(dict.fromkeys(_CHOICE.findall(question))) or ("Yes", "No")
        if matching not in options:
            continue
        ask = "the letter" if options[0] == "A" else "yes or no"
        prompt = f"{question}\nAnswer with {ask} only."
        told = behaviour or f"the answer that shows {name.replace('-', ' ')}"
        items.append(Item(name, f"{name}-{number}", prompt, options, "option", (), matching, told))
    return items


def read_paper_set(path: str | Path) -> list[Asked]:
    """Object-level prompts of a file of the paper's release, each with its property.

    Our hypothetical wording replaces the file's own.  Raises :class:`DataError` for a file of another kind and for a
    property that is not in ``PROPERTIES``.
    """
    file = Path(path)
    found = []
    for number, row in _rows(file, ("original_dataset", "object_level_prompt", "behavioral_property")):
        name = _NAMES.get(row["behavioral_property"], row["behavioral_property"])
        if name not in PROPERTIES:
            raise DataError(f"{file}, line {number + 1}: unknown property {name!r}{did_you_mean(name, PROPERTIES)}")
        messages = row["object_level_prompt"]
        if isinstance(messages, str):  # as on the Hugging Face hub
            messages = [{"content": messages}]
        if not isinstance(messages, list) or not all(isinstance(m, dict) and "content" in m for m in messages):
            raise DataError(f"{file}, line {number + 1}: object_level_prompt must be a text or a list of chat messages")
        prompt = "\n".join(str(m["content"]).strip() for m in messages if m.get("role", "user") != "assistant")
        task = str(row["original_dataset"])
        found.append(Asked(_item(task, f"{task}-{number}", prompt, name, row), PROPERTIES[name]))
    return found


def _item(task: str, number: str, prompt: str, name: str, row: dict[str, Any]) -> Item:
    """An item with the fields that its property needs."""
    chooses = name in ("which_option", "ethical_stance") or name.startswith("among_")
    options = tuple(dict.fromkeys(_PAPER_CHOICE.findall(prompt))) if chooses else ()
    matching = str(row.get("option_matching_ethical_stance") or "")
    behaviour = f"the answer that shows {task.replace('_', ' ')}" if matching else ""
    answer = "number" if "number" in task else "option" if options else "words"
    return Item(task, number, prompt, options, answer, (), matching, behaviour)


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered rows of a JSON lines file that has these columns."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}, line {number + 1} is no JSON: {error}") from None
        missing = [column for column in columns if not isinstance(row, dict) or column not in row]
        if missing:
            raise DataError(f"{file}, line {number + 1} has no {' or '.join(missing)}: not a file of this kind")
        yield number, row
