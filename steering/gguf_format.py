"""GGUF control vectors, as llama.cpp applies and repeng writes them.

A file holds one-dimensional float32 tensors ``direction.N``, and ``direction.N`` is added to the output of block N,
which is ``resid_post`` of layer N.  llama.cpp starts at N = 1, so the output of block 0 cannot be expressed; other
writers (EasySteer) do store a ``direction.0``, which is read.  The format says neither whether to add or to project,
nor on which model, nor how strongly (llama.cpp's scale is a multiplier): what is exported here also carries the
fingerprint, names and residual norms (hence doses) under ``workbench.vectors``, a key that other readers skip.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from steering._files import existing_file, replacing
from steering.vectors import SteeringTarget, SteeringVector
from workbench.errors import ArtifactError
from workbench.sites import Site

_ARCHITECTURE = "controlvector"
_OURS = "workbench.vectors"
_TENSOR = re.compile(r"direction\.(\d{1,6})")


def export_gguf(vectors: Iterable[SteeringVector], path: str | os.PathLike[str], model_hint: str) -> None:
    """Write vectors, at most one a layer, as a control vector.

    Raises :class:`ArtifactError` for what the format cannot express.

    Args:
        vectors: of ``resid_post`` of layer 1 or later (or ``resid_pre`` of layer k, the same place as ``resid_post`` of
            k - 1).  For a file that has a dose at scale 1, multiply the vector by that dose's multiplier
            (:func:`steering.strengths`).
        path: the file to write.
        model_hint: llama.cpp's name of the architecture, e.g. ``"llama"``.

    >>> import tempfile
    >>> vector = SteeringVector(Site(3), torch.ones(4), name="calm")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_gguf([vector], f"{folder}/calm.gguf", model_hint="llama")
    ...     import_gguf(f"{folder}/calm.gguf")
    [SteeringVector('calm', blocks.3.hook_resid_post, d=4, norm=2)]
    """
    import gguf

    blocks = by_block(list(vectors), "GGUF", first=1)
    first = next(iter(blocks.values()))
    ours = {
        "fingerprint": first.fingerprint,
        "precision": first.precision,
        "names": {block: vector.name for block, vector in blocks.items()},
        "metadata": {block: vector.metadata for block, vector in blocks.items()},
        "residual_norms": {block: vector.residual_norm for block, vector in blocks.items()},
    }
    with replacing(path) as temporary:
        writer = gguf.GGUFWriter(str(temporary), _ARCHITECTURE)
        writer.add_string(f"{_ARCHITECTURE}.model_hint", model_hint)
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(blocks))
        writer.add_string(_OURS, json.dumps(ours, sort_keys=True))
        for block, vector in sorted(blocks.items()):
            writer.add_tensor(f"direction.{block}", vector.vector.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def import_gguf(
    path: str | os.PathLike[str], model: SteeringTarget | None = None, force: bool = False
) -> list[SteeringVector]:
    """Read a control vector: one :class:`SteeringVector` a direction, by layer, with the file's keys as metadata.

    With ``model`` each vector is checked and stamped as by :meth:`SteeringVector.for_model`.
    """
    fields, tensors = _read(existing_file(path))
    if fields.get("general.architecture") != _ARCHITECTURE:
        raise ArtifactError(
            f"{path} is not a control vector: its architecture is {fields.get('general.architecture')!r}"
        )
    ours = _ours(fields.pop(_OURS, None))
    metadata = {key: fields[key] for key in sorted(fields) if key.startswith(f"{_ARCHITECTURE}.")}
    vectors = [
        SteeringVector(
            site=Site(layer),
            vector=tensors[layer],
            fingerprint=ours.get("fingerprint"),
            precision=ours.get("precision"),
            name=ours.get("names", {}).get(str(layer), Path(path).stem),
            metadata=metadata | ours.get("metadata", {}).get(str(layer), {}),
            residual_norm=ours.get("residual_norms", {}).get(str(layer)),
        )
        for layer in sorted(tensors)
    ]
    if not vectors:
        raise ArtifactError(f"{path} holds no tensor named direction.N")
    return vectors if model is None else [vector.for_model(model, force) for vector in vectors]


def by_block(vectors: list[SteeringVector], what: str, first: int) -> dict[int, SteeringVector]:
    """Vectors by the block whose output they are added to, checked for what a format called ``what`` can hold, which
    begins with block ``first``."""
    if not vectors:
        raise ArtifactError("no vectors to export")
    found: dict[int, SteeringVector] = {}
    for vector in vectors:
        block = vector.site.layer - (vector.site.component == "resid_pre")
        if vector.site.component not in ("resid_post", "resid_pre") or block < first:
            raise ArtifactError(f"{what} cannot express {vector.site}: only resid_post of layer {first} and later")
        if block in found:
            raise ArtifactError(f"two vectors for the output of block {block}: {what} holds one a layer")
        if vector.basis != "raw":
            raise ArtifactError(
                f"{vector!r} is in basis {vector.basis!r}: {what} is applied to the raw residual stream"
            )
        other = next(iter(found.values()), vector)
        if (vector.fingerprint, vector.d_model) != (other.fingerprint, other.d_model):
            raise ArtifactError(f"{vector!r} and {other!r} are not of the same model: {what} holds vectors of one")
        found[block] = vector
    return found


def _read(path: Path) -> tuple[dict[str, Any], dict[int, torch.Tensor]]:
    """Scalar and string fields, and direction tensors by N; a broken file raises :class:`ArtifactError`."""
    import gguf

    tensors = {}
    try:
        reader = gguf.GGUFReader(str(path))
        fields = {
            key: value for key, f in reader.fields.items() if isinstance(value := f.contents(), str | int | float)
        }
        for tensor in reader.tensors:
            found = _TENSOR.fullmatch(tensor.name)
            if found and (tensor.tensor_type != gguf.GGMLQuantizationType.F32 or tensor.data.ndim != 1):
                raise ArtifactError(f"{path}: {tensor.name} must be one-dimensional F32")
            if found:
                tensors[int(found[1])] = torch.from_numpy(tensor.data.copy())
    except (ValueError, IndexError, KeyError, OverflowError, OSError, MemoryError, TypeError) as error:
        raise ArtifactError(f"{path} is not a readable GGUF file ({error})") from error
    return fields, tensors


def _ours(text: Any) -> dict[str, Any]:
    """What :func:`export_gguf` added; empty when it is absent or not of the expected form."""
    try:
        ours = json.loads(text)
        well_formed = isinstance(ours["fingerprint"], str | None) and isinstance(ours.get("residual_norms", {}), dict)
        well_formed &= all(
            isinstance(name, str) and isinstance(ours["metadata"][block], dict) for block, name in ours["names"].items()
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return {}
    return ours if well_formed else {}
