"""Directions of sparse autoencoders, read from the folders that sae-lens writes.

A folder holds ``cfg.json`` and ``sae_weights.safetensors`` with the decoder ``W_dec`` [d_sae, d]: row i is what
feature i writes into the stream.  Where it was trained is said by ``hook_name`` (``hook_point`` in old files, under
``metadata`` in new ones), a TransformerLens hook name; a transcoder writes at its ``hook_name_out``.  One row is read,
never the whole file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from steering._files import existing_file
from steering.vectors import SteeringTarget, SteeringVector
from workbench.arguments import a_path, integer
from workbench.errors import ArtifactError, SiteError
from workbench.sites import Site

_WEIGHTS, _DECODER = "sae_weights.safetensors", "W_dec"
_HOOKS = ("hook_name_out", "hook_name", "hook_point")
_HEADS = ("hook_head_index_out", "hook_head_index", "hook_point_head_index")
_TOLD = ("model_name", "hook_name", "architecture", "normalize_activations", "release", "sae_lens_version")


def sae_vector(
    folder: str | os.PathLike[str],
    feature: int,
    *,
    site: Site | str | int | None = None,
    model: SteeringTarget | None = None,
    force: bool = False,
    name: str = "",
) -> SteeringVector:
    """The decoder direction of one feature of a sparse autoencoder, as long as the file has it.

    Args:
        folder: with ``cfg.json`` and ``sae_weights.safetensors``.
        feature: its number, from 0.
        site: where the vector belongs, for a folder whose hook name the workbench does not know.
        model: checks width and layer, and stamps the vector with its fingerprint (:meth:`SteeringVector.for_model`);
            the folder itself only names its model.
        force: as there.
        name: of the vector; by default ``folder/feature``.

    Raises:
        ArtifactError: for a folder that is broken or lacks something, and for a feature that it does not have.

    >>> import json, tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "cfg.json").write_text(json.dumps({"hook_name": "blocks.5.hook_resid_pre"}))
    ...     save_file({"W_dec": torch.eye(8)[:, :4].contiguous()}, f"{folder}/sae_weights.safetensors")
    ...     sae_vector(folder, 2, name="third")
    SteeringVector('third', blocks.5.hook_resid_pre, d=4, norm=1)
    """
    place = a_path(folder)
    config = _config(place)
    where = Site.parse(site) if site is not None else _site(place, config)
    row = _row(place / _WEIGHTS, integer(feature, "feature"))
    metadata = {"layout": "sae-lens", "feature": int(feature)}
    metadata |= {key: config[key] for key in _TOLD if isinstance(config.get(key), str)}
    vector = SteeringVector(where, row, name=name or f"{place.name}/{feature}", metadata=metadata)
    return vector if model is None else vector.for_model(model, force)


def _config(folder: Path) -> dict[str, Any]:
    """What ``cfg.json`` says, its ``metadata`` on one level with the rest."""
    path = existing_file(folder / "cfg.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not readable JSON ({error})") from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} is not a JSON object")
    more = found.pop("metadata", None)
    return found | (more if isinstance(more, dict) else {})


def _site(folder: Path, config: dict[str, Any]) -> Site:
    hook = next((config[key] for key in _HOOKS if config.get(key)), None)
    if not isinstance(hook, str):
        raise ArtifactError(f"{folder / 'cfg.json'} has no hook_name: say where its vectors belong with site=")
    if any(config.get(key) is not None for key in _HEADS):
        raise ArtifactError(f"{folder} is of one attention head of {hook}: its directions are none of the stream")
    try:
        return Site.parse(hook)
    except SiteError as error:
        raise ArtifactError(f"{folder / 'cfg.json'}: {error}; say it with site=") from None


def _row(path: Path, feature: int) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(existing_file(path), framework="pt") as file:
            names = sorted(file.keys())
            if _DECODER not in names:
                raise ArtifactError(f"{path} has no {_DECODER} [d_sae, d], but {', '.join(names[:6])}")
            decoder = file.get_slice(_DECODER)
            shape = decoder.get_shape()
            if len(shape) != 2:
                raise ArtifactError(f"{path}: {_DECODER} is of shape {list(shape)}, not [d_sae, d]")
            if not 0 <= feature < shape[0]:
                raise ArtifactError(f"{path} has no feature {feature}: they are numbered from 0 to {shape[0] - 1}")
            return decoder[feature : feature + 1][0]
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} is not a readable safetensors file ({error})") from error
