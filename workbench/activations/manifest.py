"""``manifest.json`` of an activation store: what all its rows have in common, and the list of its shards.

A shard counts from the moment the manifest names it, so the manifest is always the last file to be written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from workbench.errors import ArtifactError
from workbench.files import disk_errors, read_object, write_json

MANIFEST, _FORMAT, _VERSION = "manifest.json", "workbench-activation-store", 1


@dataclass(frozen=True)
class Shard:
    """A shard: its number of rows and, in a capture, the inputs [first, stop) that they came from."""

    rows: int
    first: int = 0
    stop: int = 0


@dataclass(frozen=True)
class Manifest:
    """What is common to all shards.  ``sites``: hook name -> ``{"d": width, "dtype": name}``; empty before the first
    shard.  ``request``: what :func:`workbench.activations.capture` was asked for (empty: shards were appended by hand).
    ``n_layers``: of the model (None: not known).
    """

    model: str = ""
    fingerprint: str | None = None
    basis: str = "raw"
    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    request: dict[str, Any] = field(default_factory=dict)
    shards: tuple[Shard, ...] = ()
    n_layers: int | None = None

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder, an empty one when there is none; :class:`ArtifactError` when it is broken."""
        path = folder / MANIFEST
        with disk_errors(path, ArtifactError):
            if not path.exists():
                return cls()
        data = read_object(path, ArtifactError)
        if (data.pop("format", None), data.pop("version", None)) != (_FORMAT, _VERSION):
            raise ArtifactError(f"{path} is not the manifest of an activation store of version {_VERSION}")
        try:
            shards = tuple(Shard(**shard) for shard in data.pop("shards"))
            data.setdefault("n_layers", None)  # stores of older versions do not have it
            return cls(**{each.name: data[each.name] for each in fields(cls) if each.name != "shards"}, shards=shards)
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is broken: {error}") from error

    def write(self, folder: Path) -> None:
        """Write it whole, in the place of the one before."""
        write_json(folder / MANIFEST, {"format": _FORMAT, "version": _VERSION, **asdict(self)})
