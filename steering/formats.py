"""Reading the vector files that other projects write.

=====================  =========================================================  ====================================
layout                 what is in it                                              site
=====================  =========================================================  ====================================
ours                   safetensors of :meth:`SteeringVector.save`                 as saved
GGUF control vector    ``direction.N`` (llama.cpp, repeng, EasySteer)             ``resid_post`` of N
vllm-lens              JSON of ``apply_steering_vectors``                         ``resid_post`` of ``layer_indices``
saklas                 safetensors ``layer_i`` [d], JSON beside it                ``resid_post`` of i
persona vectors        ``*_diff.pt`` [layers + 1, d], HF's hidden states          0: the embeddings; k + 1: block k
refusal direction      folder: ``direction.pt`` [d], ``direction_metadata.json``  ``resid_pre`` of the named layer
mean differences       ``mean_diffs.pt`` [positions, layers, d]                   ``resid_pre``, one position at a time
=====================  =========================================================  ====================================

``.pt`` files are read with ``weights_only=True``: tensors, never other objects.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from steering._files import existing_file
from steering.gguf_format import import_gguf
from steering.vectors import SteeringTarget, SteeringVector
from steering.vllm_lens_format import import_vllm_lens
from workbench.errors import ArtifactError, SpecError
from workbench.sites import Site

_LAYOUTS = (
    "a saved SteeringVector, a GGUF control vector, JSON of vllm-lens, saklas safetensors (layer_0, layer_1, ...),"
    " persona vectors (*_diff.pt, [layers, d]), mean_diffs.pt [positions, layers, d] or a refusal_direction folder"
)
_SAKLAS_KEY = re.compile(r"layer_(\d{1,6})")
_SIDECAR_LIMIT = 1_000_000  # bytes


def import_vectors(
    path: str | os.PathLike[str],
    position: int | None = None,
    model: SteeringTarget | None = None,
    force: bool = False,
) -> list[SteeringVector]:
    """Read a vector file or folder of any layout in the table above, in layer order.

    Foreign files do not say which model they were made on.  Raises :class:`ArtifactError` for a file that is broken or
    of no known layout.

    Args:
        path: the file, or the folder of a refusal direction.
        position: one token position of ``mean_diffs.pt`` (an index into its first axis, negative from the end).
        model: checks width and layers, and stamps the vectors with its fingerprint (:meth:`SteeringVector.for_model`).
        force: take vectors of another model all the same.
    """
    found = Path(path)
    vectors = _refusal_folder(found, position) if found.is_dir() else _from_file(existing_file(found), position)
    return vectors if model is None else [vector.for_model(model, force) for vector in vectors]


def at_layer(
    vectors: Sequence[SteeringVector], layer: Site | str | int | None, n_layers: int
) -> list[tuple[SteeringVector, Site]]:
    """The vectors of a file that are meant when a ``layer`` is said, each with the site where it acts.

    None is all of them, each at its own.  A single vector acts at any layer; of several, those of that one are taken.
    A number keeps a vector's component.  Raises :class:`SpecError` when there is none.

    >>> one = [SteeringVector(1, torch.ones(2))]
    >>> [str(site) for _, site in at_layer(one, -1, n_layers=4)], at_layer(one, None, n_layers=4)[0][1].layer
    (['blocks.3.hook_resid_post'], 1)
    """
    if layer is None:
        return [(vector, vector.site) for vector in vectors]
    asked = Site.parse(layer).resolve(n_layers)
    by_number = isinstance(layer, int)
    sites = [replace(vector.site, layer=asked.layer) if by_number else asked for vector in vectors]
    own = [pair for pair in zip(vectors, sites, strict=True) if len(vectors) == 1 or pair[0].site == pair[1]]
    if not own:
        raise SpecError(f"there is no vector of {asked}: {', '.join(str(vector.site) for vector in vectors)}")
    return own


def _from_file(path: Path, position: int | None) -> list[SteeringVector]:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"GGUF":
        return import_gguf(path)
    if path.suffix == ".json":
        return import_vllm_lens(path)
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix in (".pt", ".pth", ".bin"):
        tensor = _torch_tensor(path)
        if tensor.ndim == 2:
            return _persona(tensor, path)
        if tensor.ndim == 3:
            return _mean_differences(tensor, path, position)
        raise ArtifactError(f"{path} holds a tensor {list(tensor.shape)} and no site; expected {_LAYOUTS}")
    raise ArtifactError(f"{path} is of no known layout; expected {_LAYOUTS}")


def _safetensors(path: Path) -> list[SteeringVector]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            if keys == ["vector"]:
                return [SteeringVector.load(path)]
            layers = {int(found[1]): key for key in keys if (found := _SAKLAS_KEY.fullmatch(key))}
            if not layers or len(layers) != len(keys):
                raise ArtifactError(f"{path} is of no known layout (keys {keys[:4]}); expected {_LAYOUTS}")
            metadata = {"layout": "saklas", "sidecar": _json(path.with_suffix(".json"))}
            return [
                SteeringVector(Site(layer), file.get_tensor(layers[layer]), name=path.stem, metadata=metadata)
                for layer in sorted(layers)
            ]
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} is not a readable safetensors file ({error})") from error


def _persona(tensor: Float[Tensor, "layers d"], path: Path) -> list[SteeringVector]:
    """Index k is HF's ``hidden_states[k]``: the embeddings, the blocks' outputs; the last one after the final norm."""
    last = len(tensor) - 1
    return [
        SteeringVector(
            site=Site(k - 1) if k else Site(0, "resid_pre"),
            vector=row,
            name=path.stem,
            metadata={"layout": "persona_vectors", "after_final_norm": 0 < k == last},
        )
        for k, row in enumerate(tensor)
    ]


def _mean_differences(
    tensor: Float[Tensor, "positions layers d"], path: Path, position: int | None
) -> list[SteeringVector]:
    n = len(tensor)
    if position is None or not -n <= position < n:
        raise ArtifactError(f"{path} holds {n} token positions: choose one with position={-n} to {n - 1}")
    metadata = {"layout": "refusal_direction", "position": position}
    return [
        SteeringVector(Site(layer, "resid_pre"), row, name=path.parent.name or path.stem, metadata=metadata)
        for layer, row in enumerate(tensor[position])
    ]


def _refusal_folder(folder: Path, position: int | None) -> list[SteeringVector]:
    """The chosen direction, or with ``position`` the mean differences of all layers at it."""
    if not (folder / "direction_metadata.json").is_file():
        raise ArtifactError(f"{folder} has no direction_metadata.json; expected {_LAYOUTS}")
    if position is not None:
        path = existing_file(folder / "mean_diffs.pt")
        return _mean_differences(_torch_tensor(path), path, position)
    chosen = _json(folder / "direction_metadata.json")
    layer = chosen.get("layer")
    if not isinstance(layer, int) or layer < 0:
        raise ArtifactError(f"{folder / 'direction_metadata.json'} names no layer")
    metadata = {"layout": "refusal_direction", "position": chosen.get("pos")}
    vector = _torch_tensor(existing_file(folder / "direction.pt"))
    return [SteeringVector(Site(layer, "resid_pre"), vector, name=folder.name, metadata=metadata)]


def _torch_tensor(path: Path) -> Tensor:
    """The one tensor of a ``.pt`` file; nothing else is unpickled."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(f"{path} could not be read as a plain tensor ({reason})") from error
    if not isinstance(loaded, torch.Tensor) or not loaded.is_floating_point():
        raise ArtifactError(f"{path} holds a {type(loaded).__name__}, not one tensor of numbers; expected {_LAYOUTS}")
    return loaded


def _json(path: Path) -> dict[str, Any]:
    """A small JSON object beside a vector file; empty when there is none.  NaN becomes null."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _SIDECAR_LIMIT:
            raise ArtifactError(f"{path} is larger than {_SIDECAR_LIMIT} bytes")
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: None)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not readable JSON ({error})") from error
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is not a JSON object")
    return content
