"""Specs from files: a YAML or JSON file -> its fields -> a pydantic spec; every mistake is one line."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.arguments import a_path
from workbench.errors import DataError, SpecError, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Spec = TypeVar("Spec", bound="BaseModel")


def read_spec_file(path: Path) -> dict[str, Any]:
    """The fields in a JSON file (``.json``) or YAML file; raises :class:`SpecError` with the line of the mistake."""
    try:
        text = a_path(path, "a spec file").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"cannot read the spec {path}: {reason}") from None
    data = _json(text, path) if path.suffix == ".json" else _yaml(text, path)
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise SpecError(f"spec {path} must hold fields and values, such as 'seed: 0', not a {type(data).__name__}")
    return data


def read_records(path: Path, what: str) -> list[Any]:
    """The rows of a CSV file, of JSON lines (``.jsonl``) or of a JSON list; ``what`` they are, for errors.

    Raises:
        SpecError: for a file that cannot be read.
        DataError: for what is not JSON, or no list.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"{what}: cannot read {path}: {reason}") from None
    if path.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    try:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"{what} {path} is not JSON: {error}") from None
    if not isinstance(found, list):
        raise DataError(f"{what} {path} must be a list")
    return found


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=partial(_object, path))
    except json.JSONDecodeError as error:
        raise SpecError(f"spec {path}, line {error.lineno}: not JSON: {error.msg}") from None


def _object(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for number, (key, _) in enumerate(pairs):
        if key in dict(pairs[:number]):
            raise SpecError(f"spec {path}: {key!r} is given twice: leave one")
    return dict(pairs)


def _yaml(text: str, path: Path) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML as :func:`yaml.safe_load` reads it, but of a key that is given twice the last one does not win."""

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            keys = [key.value for key, _ in node.value]
            for number, (key, _) in enumerate(node.value):
                if key.value in keys[:number]:
                    line = key.start_mark.line + 1
                    raise SpecError(f"spec {path}, line {line}: {key.value!r} is given twice: leave one")
            return node

    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise SpecError(f"spec {path}{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:  # such as a control character
        raise SpecError(f"spec {path}: not YAML: {error}") from None


def validated(kind: type[Spec], values: dict[str, Any], where: str) -> Spec:
    """The spec with these values; raises :class:`SpecError` naming the field and what would be right.

    >>> from workbench.families.specs import Spec
    >>> validated(Spec, {"sed": 1}, "spec.yaml")
    Traceback (most recent call last):
    workbench.errors.SpecError: spec.yaml: unknown field 'sed'; did you mean 'seed'?
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SpecError(_explain(error, kind, where)) from None


def _explain(error: ValidationError, kind: type[BaseModel], where: str) -> str:
    first, *others = error.errors(include_url=False)
    name = ".".join(str(part) for part in first["loc"]) or "spec"
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown field {name!r}{did_you_mean(name, kind.model_fields)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    given = repr(first["input"])
    shown = given if len(given) <= 60 else given[:57] + "..."
    return f"{where}: {name} is {shown}: {message[:1].lower() + message[1:]}{more}"
