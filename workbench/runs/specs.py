"""A spec as plain JSON data, its hash, and the first key in which two specs differ."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from workbench.arguments import UNREADABLE
from workbench.errors import SpecError
from workbench.runs.names import check_name
from workbench.sites import Site

_HASH_DIGITS = 12
_ABSENT = "nothing"


def spec_hash(spec: Any) -> str:
    """The first 12 hex digits of the SHA-256 of a spec's canonical JSON; the order of keys does not matter.

    >>> spec_hash({"a": 1, "b": [2, 3]}) == spec_hash({"b": (2, 3), "a": 1})
    True
    """
    return hashlib.sha256(_canonical(spec_data(spec)).encode()).hexdigest()[:_HASH_DIGITS]


def is_spec_of(data: Any, known: str) -> bool:
    """Whether data read from a file is the spec with this hash; what could not be a spec at all (infinity) is not."""
    try:
        return spec_hash(data) == known
    except SpecError:
        return False


def run_name(spec: Any, name: str | None = None) -> str:
    """The name of a run's folder: the hash of its spec unless one is given, which must be a file name.

    >>> run_name({"a": 1}, "first")
    'first'
    """
    return check_name(spec_hash(spec) if name is None else name, "run")


def spec_data(spec: Any) -> dict[str, Any]:
    """A spec (a dict, pydantic model or dataclass) as plain JSON data; raises :class:`SpecError` when it cannot be."""
    data = plain_json(spec, "spec")
    if not isinstance(data, dict):
        raise SpecError(f"a spec must be a dict or a pydantic model, not {type(spec).__name__}")
    return data


def plain_json(value: Any, what: str) -> Any:
    """``value`` as it comes back from JSON; ``what`` names it in the error.  NaN and infinity are refused.

    Sites become hook names, paths text, sets sorted lists, NumPy scalars numbers.
    """
    try:
        return json.loads(json.dumps(value, default=_plain, allow_nan=False))
    except (*UNREADABLE, AttributeError) as error:  # of whatever has a model_dump or tolist of its own
        raise SpecError(f"{what} cannot be written as JSON: {error}") from error


def first_difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str | None:
    """``"key is 1 there and 2 here"`` for the first key (in sorted order, dotted when nested) that differs, or None.

    >>> first_difference({"model": {"dtype": "float32"}}, {"model": {"dtype": "bfloat16"}})
    "model.dtype is 'float32' there and 'bfloat16' here"
    """
    for key in sorted({*old, *new}):
        there, here = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if key in old and key in new and _canonical(there) == _canonical(here):
            continue
        if isinstance(there, dict) and isinstance(here, dict):
            return first_difference(there, here, f"{prefix}{key}.")
        shown = (_short(value) if key in side else _ABSENT for value, side in ((there, old), (here, new)))
        return f"{prefix}{key} is {' there and '.join(shown)} here"
    return None


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _short(value: Any, width: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Site | PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "tolist"):  # a NumPy scalar or array
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {_short(value)} has no JSON form")
