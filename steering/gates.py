"""What a condition reads: the cosine with a direction, or the score of a linear probe.

A :class:`Gate` belongs to a site and says, token by token, whether what it reads lies between two values;
:func:`steering.conditional` makes interventions act only where it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steering.edits import ByRow, Multiplier, Vector, along, finite, normalized, number, of_rows, stamp
from steering.from_probe import is_probe, probe_weights
from workbench.errors import DataError
from workbench.models.interventions import Where


@dataclass(frozen=True, eq=False)
class Gate(ByRow):
    """What is read off an activation at a site, and between which values it must lie.

    A subclass reads its fields into tensors (``_read``) and says in ``_score`` what is read of activations z [..., d].
    """

    above: Multiplier | None = field(default=None, kw_only=True)
    below: Multiplier | None = field(default=None, kw_only=True)

    fingerprint = property(lambda self: stamp(getattr(self, self._source), "fingerprint"))
    basis = property(lambda self: stamp(getattr(self, self._source), "basis"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.above is None and self.below is None:
            raise DataError(f"{self}: say above=, below= or both, the values that the condition holds between")
        above = -math.inf if self.above is None else number(self, "above")
        below = math.inf if self.below is None else number(self, "below")
        self._hold({"above": above, "below": below} | self._read())

    def _read(self) -> dict[str, Any]:
        raise NotImplementedError

    def _score(self, z: Tensor, *parts: Any) -> Float[Tensor, "*elements 1"]:
        raise NotImplementedError

    def score(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos"]:
        """What is read of each activation (float32)."""
        return self._read_off(activation, where)[0][..., 0]

    def holds(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Bool[Tensor, "batch pos"]:
        """Whether it lies between the two values, them excluded."""
        score, above, below = self._read_off(activation, where)
        return ((score > above) & (score < below))[..., 0]

    def _read_off(self, activation: Tensor, where: Where) -> tuple[Tensor, Any, Any]:
        wide = torch.promote_types(activation.dtype, torch.float32)
        above, below, *parts = of_rows(self._parts_on(activation, wide, where), where.rows)
        return self._score(activation.to(wide), *parts), above, below


@dataclass(frozen=True, eq=False)
class Cosine(Gate):
    """The cosine of the activation with a direction.

    Args:
        direction: a :class:`SteeringVector`, a tensor [d], or one a row [rows, d].
        above: it must be more than this; a number or one a row [rows].
        below: it must be less than this, likewise.
        site: where it is read; by default where the vector was made.

    >>> where = Where(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), torch.tensor([[2, 2]]))
    >>> Cosine(torch.tensor([2.0, 0.0]), above=0.5, site=0).holds(torch.tensor([[[3.0, 4.0], [3.0, 6.0]]]), where)
    tensor([[ True, False]])
    """

    direction: Vector

    _source = "direction"

    def _read(self) -> dict[str, Any]:
        return {"direction": normalized(self, self.direction)}

    def _score(self, z: Tensor, unit: Tensor) -> Float[Tensor, "*elements 1"]:
        return along(z, unit) / z.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(z.dtype).tiny)


@dataclass(frozen=True, eq=False)
class ProbeScore(Gate):
    """The score of a linear probe, ``weights . z + bias``.

    Args:
        weights: a fitted linear probe (of :mod:`probes` or scikit-learn; one of :func:`probes.saving.load_probe` brings
            its site and model), or its weights: a :class:`SteeringVector`, a tensor [d], or one a row [rows, d].
        bias: of the score; by default the probe's, else 0; a number or one a row [rows].
        target: one of the probe's classes, where there are more than two.
        above: the score must be more than this; 0 where neither this nor ``below`` is said.
        below: it must be less than this.
        site: where it is read.
        fingerprint: of the model that the probe was fitted on (None: unknown).
        basis: the coordinates of its residual stream.

    >>> where = Where(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), torch.tensor([[2, 2]]))
    >>> ProbeScore(torch.tensor([1.0, 1.0]), -5.0, site=0).holds(torch.tensor([[[3.0, 4.0], [3.0, 1.0]]]), where)
    tensor([[ True, False]])
    """

    weights: Any
    bias: Multiplier | None = None
    target: Any = field(default=None, kw_only=True)
    fingerprint: str | None = field(default=None, kw_only=True)
    basis: str | None = field(default=None, kw_only=True)

    _source = "weights"

    def __post_init__(self) -> None:
        given, belongs = self.weights, {}
        if is_probe(given):
            weights, bias = probe_weights(given, self.target)
            belongs = {what: getattr(given, f"{what}_", None) for what in ("site", "fingerprint", "basis")}
            self._set(weights=weights, bias=bias if self.bias is None else self.bias)
        else:
            belongs = {what: stamp(given, what) for what in ("fingerprint", "basis")}
        self._set(**{what: known for what, known in belongs.items() if getattr(self, what) is None})
        if self.above is None and self.below is None:
            self._set(above=0.0)
        if self.bias is None:
            self._set(bias=0.0)
        super().__post_init__()

    def _read(self) -> dict[str, Any]:
        return {"bias": number(self, "bias"), "weights": finite(self, "weights", self.weights)}

    def _score(self, z: Tensor, bias: Any, weights: Tensor) -> Float[Tensor, "*elements 1"]:
        return along(z, weights) + bias
