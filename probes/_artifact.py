"""Files of this room: safetensors, with everything that is not numbers as one JSON object in the header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from probes._inputs import Array
from workbench.arguments import UNREADABLE, a_path
from workbench.errors import ArtifactError
from workbench.files import check_checksum, checksum, disk_errors, make_folder, write_bytes

_TEXTS = "texts"  # arrays of text, which safetensors has no type for


def write_artifact(
    path: str | os.PathLike[str], form: str, header: Mapping[str, Any], arrays: Mapping[str, Array]
) -> None:
    """Write a file whole or not at all; :class:`ArtifactError` for what cannot be written."""
    texts = {name: array.tolist() for name, array in arrays.items() if array.dtype.kind in "UO"}
    numbers = {name: np.ascontiguousarray(array) for name, array in arrays.items() if name not in texts}
    for name, values in texts.items():
        if not all(isinstance(value, str) for value in values):
            raise ArtifactError(f"cannot save {name}: labels must be texts, numbers or booleans, not {values!r:.60}")
    try:
        # One key, since safetensors does not fix the order of several: the same probe gives the same bytes.
        whole = json.loads(json.dumps({**header, _TEXTS: texts}, allow_nan=False))
        text = json.dumps(whole | {"checksum": checksum(whole, numbers)}, sort_keys=True)
    except UNREADABLE as error:
        raise ArtifactError(f"cannot save {path}: what describes it is not JSON ({error})") from error
    target = a_path(path)
    make_folder(target.parent, ArtifactError)
    write_bytes(target, save(numbers, metadata={form: text}), ArtifactError)


def read_artifact(path: str | os.PathLike[str], form: str, what: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Header and arrays; :class:`ArtifactError` when there is no such file or it is not ``what``."""
    path = a_path(path)
    with disk_errors(path, ArtifactError):
        there = path.is_file()
    if not there:
        raise ArtifactError(f"no such file: {path}")
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})[form])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        check_checksum(header, arrays)
        arrays |= {name: np.asarray(values, dtype=str) for name, values in header.pop(_TEXTS).items()}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} is not {what} ({error})") from error
    return header, arrays
