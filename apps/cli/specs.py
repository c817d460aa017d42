"""Specs from presets and from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.cli.options import option_value, validated
from workbench.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["DEFAULT_PRESET", "base_spec", "read_spec_file"]

DEFAULT_PRESET = "cpu"


def base_spec(presets: Mapping[str, BaseModel], argv: Sequence[str]) -> BaseModel:
    """What the options start from: the preset named in ``argv``, overridden by the file named there.

    A file alone is a whole spec: fields that it leaves out have the spec's own defaults.
    """
    preset, file = option_value(argv, "--preset"), option_value(argv, "--spec")
    if preset is not None and preset not in presets:
        raise SpecError(f"unknown preset {preset!r}{did_you_mean(preset, presets)}")
    if file is None:
        return presets[preset or DEFAULT_PRESET]
    values = {} if preset is None else presets[preset].model_dump()
    kind = type(next(iter(presets.values())))
    return validated(kind, values | read_spec_file(Path(file)), f"spec {file}")


def read_spec_file(path: Path) -> dict[str, Any]:
    """The fields in a JSON file (``.json``) or YAML file; raises :class:`SpecError` with the line of the mistake."""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"cannot read the spec {path}: {reason}") from None
    data = _json(text, path) if path.suffix == ".json" else _yaml(text, path)
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise SpecError(f"spec {path} must hold fields and values, such as 'seed: 0', not a {type(data).__name__}")
    return data


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"spec {path}, line {error.lineno}: not JSON: {error.msg}") from None


def _yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise SpecError(f"spec {path}{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:  # such as a control character
        raise SpecError(f"spec {path}: not YAML: {error}") from None
