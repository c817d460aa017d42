"""What the probe is trained on, and answers that others labelled: chats that end with what the assistant said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from workbench.arguments import shown
from workbench.errors import DataError, SpecError
from workbench.families.deception.scenarios import PLAIN, Scenario
from workbench.models.inputs import chat
from workbench.spec_files import read_spec_file, validated

_FILE = Path(__file__).parent / "data" / "facts.yaml"
Text = Annotated[str, Field(min_length=1)]
HONEST, DECEPTIVE = "honest", "deceptive"


class Facts(BaseModel):
    """Statements that are told under the instruction ``honest`` and under ``deceptive``, when asked ``ask``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    honest: Text
    deceptive: Text
    ask: Text
    statements: Annotated[tuple[Text, ...], Field(min_length=4)]


@dataclass(frozen=True)
class Said:
    """A chat that ends with an assistant's message, whether that is deceptive, and what it must not be split from."""

    messages: list[dict[str, Any]]
    deceptive: bool
    group: str

    @property
    def words(self) -> str:
        """What the assistant said."""
        return str(self.messages[-1]["content"])


@cache
def read_facts(name: str) -> Facts:
    """``facts``: those that come with the workbench; else a YAML file like theirs.

    >>> len(read_facts("facts").statements)
    36
    """
    path = _FILE if name == "facts" else Path(name).expanduser()
    return validated(Facts, read_spec_file(path), f"facts {path}")


def instructed(facts: Facts) -> list[Said]:
    """Every statement under both instructions: the words are the same.

    >>> one, other = instructed(read_facts("facts"))[:2]
    >>> one.words == other.words, one.deceptive, other.deceptive
    (True, False, True)
    """
    return [
        Said(_told(instruction, facts.ask, statement), instruction == facts.deceptive, f"fact-{number}")
        for number, statement in enumerate(facts.statements)
        for instruction in (facts.honest, facts.deceptive)
    ]


def replies(scenarios: Sequence[Scenario]) -> list[Said]:
    """The truthful and the deceptive reply of every scenario, in its plain frame."""
    return [
        Said(_told(each.situations[PLAIN], each.question, getattr(each, kind)), kind == DECEPTIVE, each.name)
        for each in scenarios
        for kind in (HONEST, DECEPTIVE)
    ]


def read_answers(path: str) -> list[Said]:
    """Labelled answers of any model: JSON lines with ``messages`` that end with the assistant's, ``deceptive`` (true or
    false) and ``group`` (optional; default: the line)."""
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"answers: cannot read {path}: {why}") from None
    found = [_read_answer(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if len({each.deceptive for each in found}) < 2:
        raise DataError(f"answers: {path} needs deceptive answers and others")
    return found


def _read_answer(line: str, where: str) -> Said:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get("messages"), list) or not row["messages"]:
        raise DataError(f"{where}: needs messages, deceptive and maybe group")
    if not isinstance(row.get("deceptive"), bool):
        raise DataError(f"{where}: deceptive is {shown(row.get('deceptive'))}, not true or false")
    try:
        messages = chat(row["messages"])
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    if messages[-1]["role"] != "assistant" or not str(messages[-1]["content"]).strip():
        raise DataError(f"{where}: the last message must be what the assistant said")
    return Said(messages, row["deceptive"], str(row.get("group", where)))


def _told(system: str, asked: str, said: str) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": asked},
        {"role": "assistant", "content": said},
    ]
