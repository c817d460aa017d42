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
    _n_rows: int | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _settle(self, _values(self, self.vector), "multiplier")

    fingerprint = property(lambda self: _stamp(self.vector, "fingerprint"))
    basis = property(lambda self: _stamp(self.vector, "basis"))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        vector, multiplier = _vector_on(self, activation), _dose_on(self.multiplier, activation)
        push = multiplier * vector  # [d] or [rows d]
        return _edit(self, activation, where, multiplier, lambda z, rows: z + _of(push, rows))


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
    _n_rows: int | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.direction, SteeringVector | torch.Tensor):
            _settle(self, _normalized(self, self.direction), "strength")
        else:
            _settle(self, _orthonormal(self, self.direction), "strength")

    fingerprint = property(lambda self: _stamp(self.direction, "fingerprint"))
    basis = property(lambda self: _stamp(self.direction, "basis"))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        vector, strength = _vector_on(self, activation), _dose_on(self.strength, activation)

        def remove(z: Tensor, rows: Tensor) -> Tensor:
            if vector.ndim == 3:  # a span
                return z - _of(strength, rows) * (z @ vector[0].mT @ vector[0])
            unit = _of(vector, rows)
            return z - _of(strength, rows) * _along(z, unit) * unit

        return _edit(self, activation, where, strength, remove)


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
    _n_rows: int | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _settle(self, _normalized(self, self.direction), "value", "strength")

    fingerprint = property(lambda self: _stamp(self.direction, "fingerprint"))
    basis = property(lambda self: _stamp(self.direction, "basis"))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        vector, strength = _vector_on(self, activation), _dose_on(self.strength, activation)
        value = _dose_on(self.value, activation)

        def move(z: Tensor, rows: Tensor) -> Tensor:
            unit = _of(vector, rows)
            return z + _of(strength, rows) * (_of(value, rows) - _along(z, unit)) * unit

        return _edit(self, activation, where, strength, move)


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
    _n_rows: int | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _settle(self, _values(self, self.value), "strength")

    fingerprint = property(lambda self: _stamp(self.value, "fingerprint"))
    basis = property(lambda self: _stamp(self.value, "basis"))

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        value, strength = _vector_on(self, activation), _dose_on(self.strength, activation)
        part = strength * value  # [d] or [rows d]; (1 - strength) z + part is exactly the value at strength 1
        return _edit(self, activation, where, strength, lambda z, rows: (1 - _of(strength, rows)) * z + _of(part, rows))


def _edit(
    owner: Any, activation: Tensor, where: Where, dose: Dose, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """``change(z, rows)`` of the elements in scope whose dose is not 0; the very bits of the activation elsewhere.

    ``change`` works on any leading shape: z is [..., d], rows [...].
    """
    if owner._n_rows is not None and int(where.rows.max()) >= owner._n_rows:
        raise DataError(
            f"{_name(owner)}: it has values for {owner._n_rows} rows, the batch has a row {int(where.rows.max())}"
        )
    touched = owner.scope.mask(where)
    touched = touched & ((dose != 0)[where.rows, 0] if isinstance(dose, torch.Tensor) else dose != 0)
    if touched.all():  # nearly every decoding step: no need to gather and scatter
        return change(activation.to(_wide(activation)), where.rows).to(activation.dtype)
    out = activation.clone()
    out[touched] = change(activation[touched].to(_wide(activation)), where.rows[touched]).to(activation.dtype)
    return out


def _of(values: Any, rows: Tensor) -> Any:
    """The value of each element: per-row values ([rows, 1] or [rows, d]) are looked up, others are the same for all."""
    return values[rows] if isinstance(values, torch.Tensor) and values.ndim == 2 else values


def _wide(values: Tensor) -> torch.dtype:
    """float32, or float64 for float64: what the arithmetic is done in."""
    return torch.promote_types(values.dtype, torch.float32)


def _along(z: Float[Tensor, "*elements d"], unit: Tensor) -> Float[Tensor, "*elements 1"]:
    return (z * unit).sum(-1, keepdim=True)


def _name(owner: Any) -> str:
    return f"{type(owner).__name__} at {owner.site}"


def _settle(owner: Any, tensor: Tensor, *doses: str) -> None:
    """Read the text forms of site and scope, keep the tensor, make each dose a float or a tensor [rows]."""
    rowwise = {"vector": tensor} if tensor.ndim == 2 else {}
    values: dict[str, Any] = {"site": Site.parse(owner.site), "scope": Scope.parse(owner.scope), "_tensor": tensor}
    for what in doses:
        dose = torch.as_tensor(getattr(owner, what))
        if dose.ndim > 1 or not dose.isfinite().all():
            raise DataError(f"{_name(owner)}: {what} must be a finite number, or finite numbers [rows]")
        values[what] = float(dose.double()) if dose.ndim == 0 else dose
        rowwise |= {what: dose} if dose.ndim == 1 else {}
    counts = {what: len(value) for what, value in rowwise.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{_name(owner)}: values for different numbers of rows: {counts}")
    values["_n_rows"] = next(iter(counts.values()), None)
    for what, value in values.items():
        object.__setattr__(owner, what, value)


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


def _orthonormal(owner: Any, directions: Sequence[Vector]) -> Float[Tensor, "1 k d"]:
    """An orthonormal basis of the span of directions [d]."""
    for stamp in ("fingerprint", "basis"):
        _stamp(directions, stamp)  # refuse a mixture
    units = [_normalized(owner, direction) for direction in directions]
    if not units or any(unit.ndim != 1 or unit.shape != units[0].shape for unit in units):
        raise DataError(f"{_name(owner)}: a list of directions must hold vectors [d] of one width")
    _, singular, rows = torch.linalg.svd(torch.stack(units).double(), full_matrices=False)
    return rows[singular > 1e-6 * singular[0]].to(units[0].dtype)[None]


def _vector_on(owner: Any, activation: Tensor) -> Tensor:
    """The vectors on the activation's device, in the dtype of the arithmetic."""
    width, expected = owner._tensor.shape[-1], activation.shape[-1]
    if width != expected:
        raise DataError(f"{_name(owner)}: the vector has {width} components, the activation {expected}")
    return owner._tensor.to(activation.device, _wide(activation))


def _dose_on(dose: Dose, activation: Tensor) -> Dose:
    """A number, or [rows, 1] on the activation's device."""
    if isinstance(dose, torch.Tensor):
        return dose.to(activation.device, _wide(activation))[:, None]
    return dose


def _stamp(source: Vector | Sequence[Vector], what: str) -> str | None:
    vectors = [source] if isinstance(source, SteeringVector | torch.Tensor) else source
    stamps = {getattr(vector, what) for vector in vectors if isinstance(vector, SteeringVector)}
    if len(stamps) > 1:
        raise ArtifactError(f"vectors of different {what} in one intervention: {sorted(map(str, stamps))}")
    return stamps.pop() if stamps else None
