"""A direction that is added as far as the activation itself says: the learned edit of one rank.

Source: Wu et al. 2024, "ReFT: Representation finetuning for language models" (arXiv 2404.03592), whose LoReFT of rank 1
replaces ``z`` by ``z + r (w . z + b - r . z)``: that is this edit with ``direction = r`` and ``weights = w - r``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from steering._files import existing_file, replacing
from steering.edits import Edit, Multiplier, Vector, along, finite, number
from steering.vectors import SteeringTarget, SteeringVector
from workbench.errors import ArtifactError, DataError
from workbench.files import check_checksum, checksum

_FORMAT = "workbench-rank-one"


@dataclass(frozen=True, eq=False)
class RankOne(Edit):
    """Add ``multiplier * (weights . z + bias) * direction`` to ``z``.

    Args:
        direction: a :class:`SteeringVector`, a tensor [d], or one a row [rows, d]; its length counts.
        weights: what reads the gate off the activation: [d], or one a row [rows, d].
        bias: the gate where the weights read 0; a number or one a row [rows].
        multiplier: how many times it is added; a number or one a row [rows].
        site: as in :class:`steering.Add`.
        scope: as in :class:`steering.Add`.

    >>> import torch
    >>> from workbench.models import Where
    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> edit = RankOne(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]), 1.0, site=0)
    >>> edit(torch.tensor([[[5.0, 3.0]]]), where)  # 5 + (2 * 3 + 1)
    tensor([[[12.,  3.]]])
    """

    direction: Vector
    weights: Tensor
    bias: Multiplier = 0.0
    multiplier: Multiplier = 1.0
    metadata: dict[str, Any] = field(default_factory=dict, kw_only=True)

    _source = "direction"

    def _read(self) -> dict[str, Any]:
        weights, direction = finite(self, "weights", self.weights), finite(self, "direction", self.direction)
        if weights.shape[-1] != direction.shape[-1]:
            raise DataError(f"{self}: weights of width {weights.shape[-1]}, a direction of {direction.shape[-1]}")
        return {"bias": number(self, "bias"), "weights": weights, "direction": direction}

    def _change(self, z: Tensor, multiplier: Any, bias: Any, weights: Tensor, direction: Tensor) -> Tensor:
        return z + multiplier * (along(z, weights) + bias) * direction

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file (``direction`` and ``weights``, the rest as JSON in its header), all or nothing.

        Raises :class:`DataError` for values by row and for a direction that is no :class:`SteeringVector`.
        """
        from safetensors.torch import save

        vector = self.direction
        if not isinstance(vector, SteeringVector) or self.weights.ndim != 1 or isinstance(self.bias, Tensor):
            raise DataError(f"{self}: only one for all rows, whose direction is a steering vector, can be saved")
        tensors = {"direction": vector.vector, "weights": self.weights.detach().float().cpu().contiguous()}
        header: dict[str, Any] = {
            "format": _FORMAT,
            "site": str(vector.site.resolve(None)),
            "bias": self.bias,
            "name": vector.name,
            "metadata": self.metadata,
            "residual_norm": vector.residual_norm,
            **{what: getattr(vector, what) for what in ("fingerprint", "basis", "precision")},
        }
        header["checksum"] = checksum(header, {name: tensor.numpy() for name, tensor in tensors.items()})
        data = save(tensors, metadata={_FORMAT: json.dumps(header, sort_keys=True)})
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: SteeringTarget | None = None, force: bool = False) -> RankOne:
        """Read what :meth:`save` wrote; with ``model`` checked and stamped as by :meth:`SteeringVector.for_model`."""
        from safetensors import SafetensorError, safe_open

        file_path = existing_file(path)
        try:
            with safe_open(file_path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[_FORMAT])
                tensors = {name: file.get_tensor(name) for name in ("direction", "weights")}
                check_checksum(header, {name: tensor.numpy() for name, tensor in tensors.items()})
                stamps = {what: header[what] for what in ("fingerprint", "basis", "precision", "residual_norm", "name")}
                vector = SteeringVector(header["site"], tensors["direction"], **stamps)
                found = cls(vector, tensors["weights"], header["bias"], metadata=header["metadata"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} is not a saved edit of rank one ({error})") from error
        return found if model is None else replace(found, direction=vector.for_model(model, force), site=None)
