"""What can be done to an activation: add, ablate, set a projection, replace.

Each is a frozen dataclass that implements :class:`workbench.models.interventions.Intervention`: a pure function that
returns a new tensor and leaves its input alone.  Outside its scope, and where its dose (multiplier or strength) is 0,
the output equals the input bit for bit; the arithmetic is float32 and rounded once to the activation's dtype.
Several interventions compose in the order they are passed.

Every vector may be one for all rows ([d], or a :class:`SteeringVector`) or one a row ([rows, d]), and every dose a
number or one a row ([rows]), where a row is the caller's: the index into the prompts given to ``generate``.  So one
batch can hold a sweep over doses and directions.  Wrong shapes raise :class:`DataError`.

``fingerprint`` and ``basis`` tell which model the vectors were made on (None: a bare tensor, unknown), so that a model
can refuse those of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from steering.vectors import SteeringVector
from workbench.errors import ArtifactError, DataError
from workbench.models.interventions import Scope, Where
from workbench.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    Vector = SteeringVector | Tensor
    Dose = float | Tensor

__all__ = ["Ablate", "Add", "Replace", "SetProjection"]


@dataclass(frozen=True, eq=False)
class Add:
    """Add ``multiplier * vector``.

    >>> where = Where(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), torch.tensor([[2, 2]]))
    >>> Add(Site(0), torch.tensor([1.0, 2.0]), multiplier=3.0)(torch.zeros(1, 2, 2), where)  # the last prompt token
    tensor([[[0., 0.],
             [3., 6.]]])
    """

    site: Site
    vector: Vector
    multiplier: Dose = 1.0
    scope: Scope = Scope()
    _tensor: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _settle(self, "multiplier")
        object.__setattr__(self, "_tensor", _values(self, self.vector))

    fingerprint = property(lambda self: _stamp(self.vector, "fingerprint"))
    basis = property(lambda self: _stamp(self.vector, "basis"))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        dose = _dose_at(self, self.multiplier, activation, where)
        vector = _vector_at(self, self._tensor, activation, where)
        return _edit(activation, self.scope.mask(where), dose, lambda z: z + dose * vector)


@dataclass(frozen=True, eq=False)
class Ablate:
    """Remove the component along a direction: ``z - strength * (z . v) v`` with v of length 1.

    ``direction`` is one direction, one a row ([rows, d]), or a list of directions whose whole span is removed.
    Strength 1 removes it, 2 reflects it.

    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> Ablate(Site(0), torch.tensor([2.0, 0.0]))(torch.tensor([[[5.0, 7.0]]]), where)
    tensor([[[0., 7.]]])
    """

    site: Site
    direction: Vector | Sequence[Vector]
    strength: Dose = 1.0
    scope: Scope = Scope()
    _tensor: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _settle(self, "strength")
        if isinstance(self.direction, SteeringVector | torch.Tensor):
            object.__setattr__(self, "_tensor", _normalized(self, self.direction))
        else:
            object.__setattr__(self, "_tensor", _orthonormal(self, self.direction))

    fingerprint = property(lambda self: _stamp(self.direction, "fingerprint"))
    basis = property(lambda self: _stamp(self.direction, "basis"))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        dose = _dose_at(self, self.strength, activation, where)
        mask = self.scope.mask(where)
        if isinstance(self.direction, SteeringVector | torch.Tensor):
            unit = _vector_at(self, self._tensor, activation, where)
            return _edit(activation, mask, dose, lambda z: z - dose * _along(z, unit) * unit)
        _check_width(self, self._tensor, activation)
        span = self._tensor.to(activation.device, _wide(activation))  # [k d], orthonormal
        return _edit(activation, mask, dose, lambda z: z - dose * (z @ span.mT @ span))


@dataclass(frozen=True, eq=False)
class SetProjection:
    """Give the component along a direction a value: ``z + strength * (value - z . v) v`` with v of length 1.

    ``value`` is in activation units, a number or one a row.  The parts of z orthogonal to v stay.

    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> SetProjection(Site(0), torch.tensor([2.0, 0.0]), value=-1.0)(torch.tensor([[[5.0, 7.0]]]), where)
    tensor([[[-1.,  7.]]])
    """

    site: Site
    direction: Vector
    value: Dose = 0.0
    strength: Dose = 1.0
    scope: Scope = Scope()
    _tensor: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _settle(self, "value", "strength")
        object.__setattr__(self, "_tensor", _normalized(self, self.direction))

    fingerprint = property(lambda self: _stamp(self.direction, "fingerprint"))
    basis = property(lambda self: _stamp(self.direction, "basis"))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        dose, value = _dose_at(self, self.strength, activation, where), _dose_at(self, self.value, activation, where)
        unit = _vector_at(self, self._tensor, activation, where)
        return _edit(activation, self.scope.mask(where), dose, lambda z: z + dose * (value - _along(z, unit)) * unit)


@dataclass(frozen=True, eq=False)
class Replace:
    """Put ``value`` in the activation's place; ``strength`` between 0 and 1 blends the two linearly.

    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> Replace(Site(0), torch.tensor([1.0, 2.0]))(torch.tensor([[[5.0, 7.0]]]), where)
    tensor([[[1., 2.]]])
    """

    site: Site
    value: Vector
    strength: Dose = 1.0
    scope: Scope = Scope()
    _tensor: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _settle(self, "strength")
        object.__setattr__(self, "_tensor", _values(self, self.value))

    fingerprint = property(lambda self: _stamp(self.value, "fingerprint"))
    basis = property(lambda self: _stamp(self.value, "basis"))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        dose = _dose_at(self, self.strength, activation, where)
        value = _vector_at(self, self._tensor, activation, where)
        # (1 - dose) z + dose value: exactly the value at dose 1.
        return _edit(activation, self.scope.mask(where), dose, lambda z: (1 - dose) * z + dose * value)


def _edit(activation: Tensor, mask: Tensor, dose: Dose, change: Callable[[Tensor], Tensor]) -> Tensor:
    """``change`` where the mask holds and the dose is not 0, elsewhere the very bits of the activation."""
    touched = mask[..., None] & (dose != 0)
    wide = activation.to(_wide(activation))
    return torch.where(touched, change(wide).to(activation.dtype), activation)


def _wide(values: Tensor) -> torch.dtype:
    """float32, or float64 for float64: what the arithmetic is done in."""
    return torch.promote_types(values.dtype, torch.float32)


def _along(z: Tensor, unit: Tensor) -> Float[Tensor, "batch pos 1"]:
    return (z * unit).sum(-1, keepdim=True)


def _name(owner: Any) -> str:
    return f"{type(owner).__name__} at {owner.site}"


def _settle(owner: Any, *doses: str) -> None:
    """Read the text forms of site and scope; make each dose a float or a tensor [rows]."""
    object.__setattr__(owner, "site", Site.parse(owner.site))
    object.__setattr__(owner, "scope", Scope.parse(owner.scope))
    for what in doses:
        dose = torch.as_tensor(getattr(owner, what))
        if dose.ndim > 1 or not dose.isfinite().all():
            raise DataError(f"{_name(owner)}: {what} must be a finite number, or finite numbers [rows]")
        object.__setattr__(owner, what, float(getattr(owner, what)) if dose.ndim == 0 else dose)


def _values(owner: Any, vector: Vector) -> Tensor:
    """The tensor [d] or [rows, d] of a vector; anything else raises."""
    values = vector.vector if isinstance(vector, SteeringVector) else torch.as_tensor(vector)
    if values.ndim not in (1, 2) or 0 in values.shape or not values.is_floating_point():
        raise DataError(f"{_name(owner)}: a vector must be floating-point [d] or [rows, d], not {list(values.shape)}")
    if not values.isfinite().all():
        raise DataError(f"{_name(owner)}: the vector is not finite")
    return values


def _normalized(owner: Any, direction: Vector) -> Tensor:
    values = _values(owner, direction)
    norms = values.double().norm(dim=-1, keepdim=True)
    if not bool((norms > 0).all()) or not bool(norms.isfinite().all()):
        raise DataError(f"{_name(owner)}: a direction has norm 0 or is not finite, so there is nothing to project on")
    return (values.double() / norms).to(_wide(values))


def _orthonormal(owner: Any, directions: Sequence[Vector]) -> Float[Tensor, "k d"]:
    """An orthonormal basis of the span of directions [d]."""
    for stamp in ("fingerprint", "basis"):
        _stamp(directions, stamp)  # refuse a mixture
    units = [_normalized(owner, direction) for direction in directions]
    if not units or any(unit.ndim != 1 or unit.shape != units[0].shape for unit in units):
        raise DataError(f"{_name(owner)}: a list of directions must hold vectors [d] of one width")
    _, singular, rows = torch.linalg.svd(torch.stack(units).double(), full_matrices=False)
    return rows[singular > 1e-6 * singular[0]].to(units[0].dtype)


def _check_width(owner: Any, values: Tensor, activation: Tensor) -> None:
    if values.shape[-1] != activation.shape[-1]:
        raise DataError(
            f"{_name(owner)}: the vector has {values.shape[-1]} components, the activation {activation.shape[-1]}"
        )


def _check_rows(owner: Any, values: Tensor, where: Where) -> None:
    highest = int(where.rows.max())
    if highest >= len(values):
        raise DataError(f"{_name(owner)}: it has values for {len(values)} rows, the batch has a row {highest}")


def _vector_at(owner: Any, values: Tensor, activation: Tensor, where: Where) -> Tensor:
    """The vector of every element: [d], or [batch pos d] when there is one a row."""
    _check_width(owner, values, activation)
    values = values.to(activation.device, _wide(activation))
    if values.ndim == 1:
        return values
    _check_rows(owner, values, where)
    return values[where.rows]


def _dose_at(owner: Any, dose: Dose, activation: Tensor, where: Where) -> Dose:
    """The dose of every element: a number, or [batch pos 1] when there is one a row."""
    if not isinstance(dose, torch.Tensor):
        return dose
    _check_rows(owner, dose, where)
    return dose.to(activation.device, _wide(activation))[where.rows][..., None]


def _stamp(source: Vector | Sequence[Vector], what: str) -> str | None:
    vectors = [source] if isinstance(source, SteeringVector | torch.Tensor) else source
    stamps = {getattr(vector, what) for vector in vectors if isinstance(vector, SteeringVector)}
    if len(stamps) > 1:
        raise ArtifactError(f"vectors of different {what} in one intervention: {sorted(map(str, stamps))}")
    return stamps.pop() if stamps else None
