"""Named tensors with metadata, as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.arguments import mapping
from workbench.errors import DataError, RunError
from workbench.runs.specs import plain_json

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

# One key: safetensors writes several in no fixed order, and the same tensors must give the same bytes.
_KEY = "metadata"


def tensor_bytes(tensors: Mapping[str, Tensor | np.ndarray], metadata: Mapping[str, Any] | None = None) -> bytes:
    """Tensors (any device, any strides, shared storage or not) and JSON-able metadata as a safetensors file."""
    import torch
    from safetensors.torch import save

    copies = {}
    for name, tensor in mapping(tensors, "tensors").items():
        try:
            copies[name] = torch.as_tensor(tensor).detach().to("cpu", copy=True).contiguous()
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"{name!r} cannot be saved as a tensor: {error}") from error
    if not all(isinstance(name, str) for name in copies):
        raise DataError(f"tensors must be named by texts, not {list(copies)}")
    return save(copies, {_KEY: json.dumps(plain_json(mapping(metadata, "metadata"), "metadata"), sort_keys=True)})


def read_tensors(path: Path, framework: str = "pt") -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors (on the CPU; with ``framework`` "np" NumPy arrays, without a wait for torch) and metadata of a file.

    A missing or broken file raises :class:`RunError` naming it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as file:
            metadata = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is broken: {error}") from error
