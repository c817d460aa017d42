"""``manifest.json`` of an activation store: what all its rows have in common, and the list of its shards.

A shard counts from the moment the manifest names it, so the manifest is always the last file to be written.  It holds
checksums of the shards and of itself.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from workbench.errors import ArtifactError, warn
from workbench.files import disk_errors, read_object, write_json

MANIFEST, _FORMAT, _VERSION = "manifest.json", "workbench-activation-store", 1


@dataclass(frozen=True)
class Shard:
    """A shard: its number of rows, in a capture the inputs [first, stop) that they came from, and the checksums of its
    files (see :mod:`workbench.activations.shards`; None: not known)."""

    rows: int
    first: int = 0
    stop: int = 0
    tensors: int | None = None
    labels: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What is common to all shards.  ``sites``: hook name -> ``{"d": width, "dtype": name}``; empty before the first
    shard.  ``request``: what :func:`workbench.activations.capture` was asked for (empty: shards were appended by hand).
    ``n_layers``: of the model, ``precision``: that it was in (None: not known).
    """

    model: str = ""
    fingerprint: str | None = None
    basis: str = "raw"
    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    request: dict[str, Any] = field(default_factory=dict)
    shards: tuple[Shard, ...] = ()
    n_layers: int | None = None
    precision: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder, an empty one when there is none; :class:`ArtifactError` when it is broken."""
        path = folder / MANIFEST
        with disk_errors(path, ArtifactError):
            if not path.exists():
                return cls()
        data = read_object(path, ArtifactError)
        checksum = data.pop("checksum", None)
        if (data.get("format"), data.get("version")) != (_FORMAT, _VERSION):
            raise ArtifactError(f"{path} is not the manifest of an activation store of version {_VERSION}")
        if checksum not in (None, _checksum(data)):
            raise ArtifactError(f"{path} is not what was written there: its checksum differs")
        try:
            shards = tuple(Shard(**shard) for shard in data.pop("shards"))
            data = {"n_layers": None, "precision": None} | data  # the first stores do not have them
            found = cls(**{each.name: data[each.name] for each in fields(cls) if each.name != "shards"}, shards=shards)
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is broken: {error}") from error
        if any(shard.tensors is None for shard in shards):
            warn(f"{folder} has shards that were written before there were checksums: they are read unchecked")
        return found

    def write(self, folder: Path) -> None:
        """Write it whole, in the place of the one before."""
        data = {"format": _FORMAT, "version": _VERSION, **asdict(self)}
        write_json(folder / MANIFEST, data | {"checksum": _checksum(data)})


def _checksum(data: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(data, sort_keys=True).encode())
