"""The header of a GGUF file: what it says of itself, which tensors it holds, and whether it is whole.

A GGUF file is llama.cpp's: metadata (``general.architecture``, ``llama.block_count``, the tokenizer, ...), a table of
tensors, and their values, mostly quantised.  Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from workbench.errors import ModelError

SUFFIX = ".gguf"
_MAGIC, _VERSIONS = b"GGUF", (2, 3)
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_FLOAT32, _STRING, _ARRAY = 6, 8, 9


@dataclass(frozen=True)
class Tensor:
    """A tensor: ``shape`` as PyTorch has it, ``kind`` as llama.cpp calls it (F32, Q4_1), and where its bytes are."""

    shape: tuple[int, ...]
    kind: str
    start: int
    size: int


@dataclass(frozen=True)
class GGUFFile:
    """The header of a GGUF file; ``metadata`` holds numbers, texts and lists of them."""

    path: Path
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def quantisation(self) -> str:
        """The kind in which most weights are held, such as Q4_1."""
        held: Counter[str] = Counter()
        for tensor in self.tensors.values():
            held[tensor.kind] += prod(tensor.shape)
        return held.most_common(1)[0][0] if held else "none"

    @property
    def exact_dtype(self) -> str:
        """The narrowest dtype in use that holds every matrix as it is: bfloat16, or float32."""
        kinds = {tensor.kind for tensor in self.tensors.values() if len(tensor.shape) > 1}
        return "bfloat16" if kinds == {"BF16"} else "float32"

    def values(self, name: str) -> np.ndarray:
        """A tensor's values, float32[shape]; raises :class:`ModelError` for a quantisation that cannot be undone."""
        tensor = self.tensors[name]
        held = np.memmap(self.path, np.uint8, "r", tensor.start, (tensor.size,))
        try:
            return gguf.dequantize(held, gguf.GGMLQuantizationType[tensor.kind]).reshape(tensor.shape)
        except NotImplementedError:
            raise ModelError(f"cannot read {self.path}: {name} is of the quantisation {tensor.kind}") from None

    @cached_property
    def made_from(self) -> dict[str, str]:
        """What a model that is read from the file was made from: its name, SHA-256 and quantisation."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"file": self.path.name, "sha256": digest, "quantisation": self.quantisation}


def read_gguf(path: str | os.PathLike[str]) -> GGUFFile:
    """Read the header of a GGUF file.

    Raises :class:`ModelError` for what is no GGUF file, is cut short, or is one part of several.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                raise ModelError(f"{path} is no GGUF file: it does not begin with the letters GGUF")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                metadata, tensors = _header(_Cursor(data), path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except (struct.error, UnicodeDecodeError, KeyError, OverflowError, MemoryError) as error:
        raise ModelError(f"cannot read {path}: it is damaged or cut short ({type(error).__name__})") from error
    end = max((tensor.start + tensor.size for tensor in tensors.values()), default=0)
    if end > (size := path.stat().st_size):
        raise ModelError(f"cannot read {path}: it is cut short, {size:,} of at least {end:,} bytes")
    if (parts := int(metadata.get("split.count", 1))) > 1:
        raise ModelError(f"{path} is one of {parts} parts: join them with llama-gguf-split --merge")
    return GGUFFile(path, metadata, tensors)


class _Cursor:
    """Reads values one after another."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 4

    def numbers(self, letter: str, count: int = 1) -> tuple[Any, ...]:
        form = f"<{count}{letter}"
        found = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return found

    def text(self) -> str:
        (length,) = self.numbers("Q")
        found = self.data[self.at : self.at + length]
        if len(found) < length:
            raise struct.error("a text reaches beyond the end")
        self.at += length
        return found.decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            (of,), (count,) = self.numbers("I"), self.numbers("Q")
            if of in (_STRING, _ARRAY):
                return [self.value(of) for _ in range(count)]
            return list(self.numbers(_FORMATS[of], count))
        (found,) = self.numbers(_FORMATS[kind])
        # The shortest decimal of a float32: what stands in the configuration that it was written from.
        return float(str(np.float32(found))) if kind == _FLOAT32 else found


def _header(cursor: _Cursor, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    (version,) = cursor.numbers("I")
    if version not in _VERSIONS:
        order = "its numbers are big-endian" if version & 0xFFFF == 0 else f"it is of version {version}"
        raise ModelError(f"cannot read {path}: {order}; GGUF files of version 2 and 3, little-endian, are read")
    n_tensors, n_values = cursor.numbers("Q", 2)
    metadata: dict[str, Any] = {}
    for _ in range(n_values):
        key = cursor.text()
        metadata[key] = cursor.value(*cursor.numbers("I"))
    table = []
    for _ in range(n_tensors):
        name = cursor.text()
        shape = tuple(reversed(cursor.numbers("Q", *cursor.numbers("I"))))
        table.append((name, shape, *cursor.numbers("I"), *cursor.numbers("Q")))
    alignment = int(metadata.get("general.alignment", 32))
    first = -(-cursor.at // alignment) * alignment
    return metadata, {name: _tensor(path, name, shape, kind, first + at) for name, shape, kind, at in table}


def _tensor(path: Path, name: str, shape: tuple[int, ...], kind: int, start: int) -> Tensor:
    try:
        known = gguf.GGMLQuantizationType(kind)
    except ValueError:
        raise ModelError(f"cannot read {path}: {name} is of the unknown quantisation {kind}") from None
    block, size = gguf.GGML_QUANT_SIZES[known]
    return Tensor(shape, known.name, start, prod(shape) // block * size)
