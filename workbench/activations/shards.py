"""The files of a shard and how what was written is told from anything else.

``000000.safetensors`` holds a tensor a site, ``000000.parquet`` labels and groups.  The metadata of the former hold a
checksum of each tensor, the manifest one of those metadata and one of the latter.  So one tensor can be checked without
reading the others, and shards that changed places are noticed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.activations.manifest import Shard
from workbench.errors import ArtifactError
from workbench.files import disk_errors, replacing, write_bytes
from workbench.tables import frame_bytes, read_frames

if TYPE_CHECKING:
    import pandas as pd

_KEY = "checksums"


class ShardFiles:
    """The files of shard ``number`` of the store in ``folder``."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self.tensors, self.labels = (folder / f"{number:06d}.{kind}" for kind in ("safetensors", "parquet"))

    def write(self, tensors: Mapping[str, Tensor], table: pd.DataFrame, first: int, stop: int) -> Shard:
        """Write both, each whole or not at all; returns the manifest's entry for the rows of inputs [first, stop)."""
        from safetensors.torch import save_file

        labels = frame_bytes(table, f"the labels of shard {self.number}")
        sums = json.dumps({name: _checksum(name, tensor) for name, tensor in tensors.items()})
        with replacing(self.tensors) as temporary, disk_errors(self.tensors):
            _save(save_file, tensors, temporary, {_KEY: sums})
        write_bytes(self.labels, labels)
        return Shard(len(table), first, stop, zlib.crc32(sums.encode()), zlib.crc32(labels))

    def read_tensors(self, names: Sequence[str], shard: Shard, checked: set[str]) -> dict[str, Tensor]:
        """The named tensors, mapped from the file; those not in ``checked`` are checked and added to it.

        Raises :class:`ArtifactError` for a file that is missing, broken or another than the one that was written.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.tensors, framework="pt") as file:
                text = (file.metadata() or {}).get(_KEY, "{}")
                tensors = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{self.tensors} is missing or broken: {error}") from error
        if shard.tensors is not None:
            if zlib.crc32(text.encode()) != shard.tensors:
                raise _changed(self.tensors)
            sums = json.loads(text)
            for name in set(names) - checked:
                if _checksum(name, tensors[name]) != sums[name]:
                    raise _changed(self.tensors)
        checked.update(names)
        if any(len(tensor) != shard.rows for tensor in tensors.values()):
            raise ArtifactError(f"{self.tensors} does not hold the {shard.rows} rows that the manifest gives it")
        return tensors

    def check_labels(self, shard: Shard) -> None:
        """Raise :class:`ArtifactError` for labels that are missing or others than those that were written."""
        try:
            found = zlib.crc32(self.labels.read_bytes())
        except OSError as error:
            raise ArtifactError(f"{self.labels} is missing or broken: {error.strerror}") from error
        if shard.labels not in (None, found):
            raise _changed(self.labels)

    def check(self, names: Sequence[str], shard: Shard) -> None:
        """Raise :class:`ArtifactError` unless both files are whole and what was written."""
        self.read_tensors(names, shard, set())
        self.check_labels(shard)
        read_frames([self.labels], ArtifactError)


def _changed(path: Path) -> ArtifactError:
    return ArtifactError(f"{path} is not what was written there: its checksum differs")


def _checksum(name: str, tensor: Tensor) -> int:
    """Of a tensor's bytes, shape and dtype, and whose they are."""
    head = f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
    return zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, zlib.crc32(head))


def _save(save_file: Any, tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """``save_file`` whose errors about the disk are those of the operating system."""
    from safetensors import SafetensorError

    try:
        save_file(dict(tensors), path, dict(metadata))
    except SafetensorError as error:
        raise OSError(28 if "No space" in str(error) else None, str(error)) from error
