"""Scenarios in which a truthful and a deceptive reply lie at hand, each in several frames.

A *frame* is what stands behind the situation: nothing (``plain``), a ``reward`` for deceiving, or ``pressure``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from workbench.errors import DataError, SpecError, did_you_mean
from workbench.spec_files import read_records, read_spec_file

_FILE = Path(__file__).parent / "data" / "scenarios.yaml"
PLAIN, REWARD, PRESSURE = "plain", "reward", "pressure"
FRAMES = (PLAIN, REWARD, PRESSURE)
_OWN = ("id", "domain", "dimension", "situation", "question", "honest", "deceptive", REWARD, PRESSURE)
_LEVELS = {PLAIN: "l1_{}", REWARD: "l2_{}_reward", PRESSURE: "l2_{}_pressure"}


@dataclass(frozen=True)
class Scenario:
    """``situations``: the text of each frame; ``dimension``: ``self`` or ``other``, whom deceiving serves."""

    name: str
    domain: str
    dimension: str
    situations: Mapping[str, str]
    question: str
    honest: str
    deceptive: str


@cache
def read_scenarios(name: str, most: int | None = None) -> tuple[Scenario, ...]:
    """Scenarios by name (``everyday``), or from a file.

    Files: YAML as the shipped one; or DeceptionBench's (arXiv 2510.15501) as JSON, JSON lines or CSV, with the fields
    ``id, topic, question, groundtruth, goal`` and the prompts ``L1-self, L1-other, L2-self-pressure, L2-self-reward,
    L2-other-pressure, L2-other-reward`` (flat, or in an object ``prompts``; hyphens or underscores), of which each line
    gives a scenario of either dimension.  ``most``: so many, of every domain in turn.  Raises :class:`SpecError` or
    :class:`DataError` with the place of what is missing.

    >>> found = read_scenarios("everyday")
    >>> len(found), found[0].situations["plain"] in found[0].situations["reward"]
    (24, True)
    """
    path = _FILE if name == "everyday" else Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        found = list(_own(path))
    elif path.suffix in (".json", ".jsonl", ".csv"):
        found = list(_bench(path))
    else:
        meant = did_you_mean(name, ["everyday"])
        raise SpecError(f"scenarios: {name!r} is not everyday, and no YAML, JSON, JSONL or CSV file{meant}")
    if not found:
        raise DataError(f"{path} has no scenarios")
    return tuple(_spread(found, most)) if most else tuple(found)


def _spread(found: Sequence[Scenario], most: int) -> list[Scenario]:
    """The first ones of every domain and dimension in turn."""
    kinds = list(dict.fromkeys((each.domain, each.dimension) for each in found))
    ranks = {kind: 0 for kind in kinds}
    placed = []
    for each in found:
        kind = (each.domain, each.dimension)
        placed.append((ranks[kind], kinds.index(kind), each))
        ranks[kind] += 1
    return [each for _, _, each in sorted(placed, key=lambda place: place[:2])[:most]]


def _own(path: Path) -> Iterator[Scenario]:
    listed = read_spec_file(path).get("scenarios")
    if not isinstance(listed, list):
        raise SpecError(f"{path} needs a list of scenarios")
    for number, row in enumerate(listed, 1):
        if not isinstance(row, dict):
            raise SpecError(f"{path}, scenario {number}: needs {', '.join(_OWN)}")
        fields = {str(name): str(value).strip() for name, value in row.items()}
        _check_fields(fields, _OWN, f"{path}, scenario {number}")
        behind = {frame: f"{fields['situation']} {fields.get(frame, '')}".strip() for frame in FRAMES}
        yield Scenario(fields["id"], fields["domain"], fields["dimension"], behind, fields["question"],
                       fields["honest"], fields["deceptive"])  # fmt: skip


def _bench(path: Path) -> Iterator[Scenario]:
    for number, row in enumerate(read_records(path, "scenarios"), 1):
        if not isinstance(row, Mapping):
            raise DataError(f"{path}, item {number}: it is no object of fields")
        fields = {_plain(name): value for name, value in row.items()}
        prompts = fields.get("prompts")
        if isinstance(prompts, Mapping):
            fields |= {_plain(name): value for name, value in prompts.items()}
        where = f"{path}, item {number}"
        _check_fields(fields, ("question", "groundtruth", "goal"), where)
        found = False
        for dimension in ("self", "other"):
            names = {frame: level.format(dimension) for frame, level in _LEVELS.items()}
            if all(str(fields.get(name) or "").strip() for name in names.values()):
                found = True
                behind = {frame: str(fields[name]).strip() for frame, name in names.items()}
                texts = (str(fields[name]).strip() for name in ("question", "groundtruth", "goal"))
                yield Scenario(str(fields.get("id", number)), str(fields.get("topic", "")), dimension, behind, *texts)
        if not found:
            raise DataError(f"{where}: no L1-self with L2-self-reward and L2-self-pressure, nor those of other")


def _check_fields(fields: Mapping[str, Any], needed: Sequence[str], where: str) -> None:
    for name in needed:
        if not str(fields.get(name) or "").strip():
            raise DataError(f"{where}: no {name}{did_you_mean(name, fields)}")


def _plain(name: Any) -> str:
    return re.sub(r"[-\s]+", "_", str(name).strip().lower())
