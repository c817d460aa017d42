"""Steering vectors of vllm-lens, as its HTTP API takes them.

A file holds the JSON text of ``apply_steering_vectors``: a list of objects with ``activations`` [layers, d] (base64 of
the numbers, with ``dtype``, ``shape``, perhaps ``compression``), ``layer_indices``, ``scale``, ``norm_match`` and
``position_indices``.  ``scale`` times row i is added to the output of layer ``layer_indices[i]``, which is
``resid_post``, at every token of prompt and generation, the first included.  With ``norm_match`` a row is first made as
long as each token's own residual stream, so ``scale`` then is a dose, of each token and not of a typical one.

The format can say neither another component, nor which tokens of the generation, nor which model.  What is exported
here also carries fingerprint, names and residual norms under ``workbench``, a key that vllm-lens skips.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from steering._files import existing_file, replacing
from steering.gguf_format import by_block
from steering.vectors import SteeringVector
from workbench.arguments import number
from workbench.errors import ArtifactError, SpecError, warn
from workbench.sites import Site

_DTYPES = {"float64": "<f8", "float32": "<f4", "float16": "<f2", "int16": "<i2"}
_MOST = 2**30  # bytes of one set of vectors


def export_vllm_lens(
    vectors: Iterable[SteeringVector],
    path: str | os.PathLike[str],
    *,
    multiplier: float | None = None,
    dose: float | None = None,
) -> None:
    """Write vectors, at most one a layer, as one steering vector of vllm-lens.

    Raises :class:`ArtifactError` for what the format cannot express.

    Args:
        vectors: of ``resid_post`` of any layer (or ``resid_pre`` of layer k, the same place as ``resid_post`` of
            k - 1).
        path: the file to write.
        multiplier: its ``scale``; 1 unless a dose is said.
        dose: instead of it: its ``scale`` with ``norm_match``, a share of each token's own norm.

    >>> import tempfile
    >>> vector = SteeringVector(Site(0), torch.ones(4), name="calm")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_vllm_lens([vector], f"{folder}/calm.json", multiplier=2)
    ...     import_vllm_lens(f"{folder}/calm.json")
    [SteeringVector('calm', blocks.0.hook_resid_post, d=4, norm=4)]
    """
    if multiplier is not None and dose is not None:
        raise SpecError("give a multiplier or a dose, not both")
    scale = number(1.0 if multiplier is None else multiplier, "multiplier") if dose is None else number(dose, "dose")
    by_layer = dict(sorted(by_block(list(vectors), "vllm-lens", first=0).items()))
    found = list(by_layer.values())
    values = np.stack([vector.vector.numpy() for vector in found]).astype("<f4")
    entry = {
        "activations": {
            "data": base64.b64encode(values.tobytes()).decode("ascii"),
            "dtype": "float32",
            "original_dtype": "torch.float32",
            "shape": list(values.shape),
        },
        "layer_indices": list(by_layer),
        "scale": scale,
        "norm_match": dose is not None,
        "position_indices": None,
        "workbench": {
            "fingerprint": found[0].fingerprint,
            "precision": found[0].precision,
            "names": [vector.name for vector in found],
            "metadata": [vector.metadata for vector in found],
            "residual_norms": [vector.residual_norm for vector in found],
        },
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps([entry]), encoding="utf-8")


def import_vllm_lens(path: str | os.PathLike[str]) -> list[SteeringVector]:
    """The vectors of a file, by layer, times their ``scale``.

    Where ``norm_match`` is set, the vector is as it stands and its metadata has ``dose``, the scale.  Raises
    :class:`ArtifactError` for a broken file and for vectors by position, which belong to one prompt.
    """
    file = existing_file(path)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        entries = found if isinstance(found, list) else [found]
        return [vector for entry in entries for vector in _entry(entry, file)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ArtifactError(f"{file} is not a steering vector of vllm-lens ({error})") from error


def _entry(entry: dict[str, Any], path: Path) -> list[SteeringVector]:
    values = _values(entry["activations"], path)
    layers = [int(layer) for layer in entry["layer_indices"]]
    if values.ndim != 2 or entry.get("position_indices") is not None:
        raise ArtifactError(f"{path} holds vectors by position {list(values.shape)}: they belong to one prompt")
    if len(layers) != len(values):
        raise ArtifactError(f"{path} has {len(layers)} layers for {len(values)} vectors")
    scale, matched = float(entry.get("scale", 1.0)), bool(entry.get("norm_match", False))
    metadata: dict[str, Any] = {"layout": "vllm-lens"}
    if matched:
        warn(f"{path} adds at a share of each token's own norm: the nearest here is Add(vector, dose={scale:g})")
        metadata["dose"] = scale
    ours = _ours(entry.get("workbench"), len(layers))
    return [
        SteeringVector(
            Site(layer),
            row if matched else scale * row,
            fingerprint=ours["fingerprint"],
            precision=ours["precision"],
            name=name or path.stem,
            metadata=own | metadata,
            residual_norm=norm,
        )
        for layer, row, name, own, norm in sorted(
            zip(layers, values, ours["names"], ours["metadata"], ours["residual_norms"], strict=True),
            key=lambda each: each[0],
        )
    ]


def _values(given: dict[str, Any], path: Path) -> Float[Tensor, "*layers d"]:
    """The numbers; nothing of another type, larger than it says or too large is read."""
    dtype, shape = _DTYPES.get(given["dtype"]), [int(n) for n in given["shape"]]
    size = math.prod(shape) * np.dtype(dtype).itemsize if dtype else 0
    if dtype is None or not 0 < size <= _MOST or min(shape) < 1:
        raise ArtifactError(f"{path}: vectors of {given['dtype']} {shape} are not read")
    raw = base64.b64decode(given["data"], validate=True)
    if given.get("compression") == "zstd":
        raw = _unpacked(raw, size, path)
    elif given.get("compression") is not None:
        raise ArtifactError(f"{path} is compressed with {given['compression']}, which vllm-lens does not write")
    if len(raw) != size:
        raise ArtifactError(f"{path}: {len(raw)} bytes where {given['dtype']} {shape} has {size}")
    values = torch.from_numpy(np.frombuffer(raw, dtype=dtype).reshape(shape).copy())
    if given.get("original_dtype") == "torch.bfloat16":
        values = values.view(torch.bfloat16)
    return values.float()


def _unpacked(raw: bytes, size: int, path: Path) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise ArtifactError(f"{path} is compressed: reading it needs the package zstandard") from None
    try:
        with zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            return bytes(stream.read(size + 1))  # never more than it says
    except zstandard.ZstdError as error:
        raise ArtifactError(f"{path} is damaged ({error})") from error


def _ours(given: Any, n: int) -> dict[str, Any]:
    """What :func:`export_vllm_lens` added; nothing where it is absent or not of the expected form."""
    lists = {"names": [""] * n, "metadata": [{} for _ in range(n)], "residual_norms": [None] * n}
    if not isinstance(given, dict) or any(len(given.get(key) or ()) != n for key in lists):
        return {"fingerprint": None, "precision": None, **lists}
    return given
