"""What can be done to an activation: add, ablate, set a projection, replace.

Each is a frozen dataclass that implements :class:`workbench.models.interventions.Intervention`: a pure function that
returns a new tensor and leaves its input alone.  The vector or direction comes first, then the multiplier, then by name
where it acts: ``site``, which a :class:`SteeringVector` brings with it (another one must be said) and a plain tensor
needs, as a :class:`Site`, its text or a layer; and ``scope``, a :class:`Scope` or its text.

Outside its scope, and where its multiplier is 0, the output equals the input bit for bit; the arithmetic is float32 and
rounded once to the activation's dtype.  Several interventions compose in the order they are passed.

How strongly is said by ``multiplier``, in :class:`Add` also by ``dose``: the length of what is added as a share of the
residual stream's at that site.  The others go a share of the way to where they end, and know no dose: multiplier 1 is
all of it, on every model and layer.

Every vector may be one for all rows ([d], or a :class:`SteeringVector`) or one a row ([rows, d]), and every multiplier
a number or one a row ([rows]), where a row is the caller's: the index into the prompts given to ``generate``.  So one
batch can hold a sweep over multipliers and directions.  What cannot be used raises :class:`DataError` when built, a
missing or unreadable site :class:`SiteError`, an unreadable scope :class:`SpecError`.

``fingerprint`` and ``basis`` tell which model the vectors were made on (None: a bare tensor, unknown), so that a model
can refuse those of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from steering.calibration import multiplier_for, norm_at
from steering.edits import Edit, Multiplier, Vector, along, finite, normalized, number, stamp
from workbench.errors import DataError
from workbench.models.interventions import Where


@dataclass(frozen=True, eq=False)
class Add(Edit):
    """Add ``multiplier * vector``, or as much of it as is a ``dose``.

    Args:
        vector: a :class:`SteeringVector`, a tensor [d], or one a row [rows, d].
        multiplier: how many times it is added, a number or one a row [rows]; 1 where neither it nor a dose is said.
        dose: instead of it, the length of what is added as a share of the typical norm of the activations at the site;
            a number or one a row [rows], negative against the vector.  That norm is the vector's ``residual_norm``
            where it has one and acts at its own site, and else the model's own (``model.residual_norm(site)``).
        site: where it acts; by default where the vector was made.  A plain tensor needs it.
        scope: the positions; by default the last prompt token and every generated one.

    >>> from steering import SteeringVector
    >>> from workbench.models import Where
    >>> where = Where(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), torch.tensor([[2, 2]]))
    >>> Add(torch.tensor([1.0, 2.0]), 3.0, site=0)(torch.zeros(1, 2, 2), where)  # the last prompt token
    tensor([[[0., 0.],
             [3., 6.]]])
    >>> Add(SteeringVector(3, torch.ones(2))).site
    Site(layer=3, component='resid_post')
    >>> half = Add(SteeringVector(0, torch.tensor([3.0, 4.0]), residual_norm=20.0), dose=0.5)
    >>> half(torch.zeros(1, 2, 2), where)  # of length 10
    tensor([[[0., 0.],
             [6., 8.]]])
    """

    vector: Vector
    multiplier: Multiplier | None = None
    dose: Multiplier | None = field(default=None, kw_only=True)

    def for_model(self, model: Any) -> Add:
        """The same with its multiplier, where a dose is what is said."""
        if self.dose is None:
            return self
        zero = not bool(torch.as_tensor(self.dose).any())
        norm = 1.0 if zero else norm_at(self.vector, self.site, model)
        return replace(self, multiplier=multiplier_for(self.dose, self.vector, norm), dose=None)

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        acting = self if self.dose is None else self.for_model(None)
        return super(Add, acting).__call__(activation, where)

    def _strength(self) -> float | Float[Tensor, "rows 1"]:
        if self.dose is None:
            self._set(multiplier=1.0 if self.multiplier is None else self.multiplier)
            return number(self, "multiplier")
        if self.multiplier is not None:
            raise DataError(f"{self}: give a multiplier or a dose, not both")
        return number(self, "dose")

    def _read(self) -> dict[str, Any]:
        return {"vector": finite(self, "vector", self.vector)}

    def _change(self, z: Tensor, multiplier: Any, vector: Tensor) -> Tensor:
        return z + multiplier * vector


@dataclass(frozen=True, eq=False)
class Ablate(Edit):
    """Remove the component along a direction: ``z - multiplier * (z . v) v`` with v of length 1.

    Args:
        direction: one direction, one a row [rows, d], or a list of directions whose whole span is removed.
        multiplier: 1 removes the component, 2 reflects it; a number or one a row [rows].
        site: as in :class:`Add`.
        scope: as in :class:`Add`.

    >>> from workbench.models import Where
    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> Ablate(torch.tensor([2.0, 0.0]), site=0)(torch.tensor([[[5.0, 7.0]]]), where)
    tensor([[[0., 7.]]])
    """

    direction: Vector | Sequence[Vector]
    multiplier: Multiplier = 1.0

    _source = "direction"

    def _read(self) -> dict[str, Any]:
        spanned = isinstance(self.direction, list | tuple)
        return {"direction": (_orthonormal if spanned else normalized)(self, self.direction)}

    def _change(self, z: Tensor, multiplier: Any, unit: Tensor) -> Tensor:
        if isinstance(self.direction, list | tuple):  # unit: [1 k d]
            return z - multiplier * (z @ unit[0].mT @ unit[0])
        return z - multiplier * along(z, unit) * unit


@dataclass(frozen=True, eq=False)
class SetProjection(Edit):
    """Give the component along a direction a value: ``z + multiplier * (value - z . v) v`` with v of length 1.

    The parts of z orthogonal to v stay.

    Args:
        direction: one direction, or one a row [rows, d].
        value: what the component becomes, in activation units; a number or one a row [rows].
        multiplier: how much of the way it goes; a number or one a row [rows].
        site: as in :class:`Add`.
        scope: as in :class:`Add`.

    >>> from workbench.models import Where
    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> SetProjection(torch.tensor([2.0, 0.0]), -1.0, site=0)(torch.tensor([[[5.0, 7.0]]]), where)
    tensor([[[-1.,  7.]]])
    """

    direction: Vector
    value: Multiplier = 0.0
    multiplier: Multiplier = 1.0

    _source = "direction"

    def _read(self) -> dict[str, Any]:
        return {"value": number(self, "value"), "direction": normalized(self, self.direction)}

    def _change(self, z: Tensor, multiplier: Any, value: Any, unit: Tensor) -> Tensor:
        return z + multiplier * (value - along(z, unit)) * unit


@dataclass(frozen=True, eq=False)
class Replace(Edit):
    """Put ``value`` in the activation's place.

    Args:
        value: a :class:`SteeringVector`, a tensor [d], or one a row [rows, d].
        multiplier: how much of the way it goes: between 0 and 1 the two are blended linearly.
        site: as in :class:`Add`.
        scope: as in :class:`Add`.

    >>> from workbench.models import Where
    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> Replace(torch.tensor([1.0, 2.0]), site=0)(torch.tensor([[[5.0, 7.0]]]), where)
    tensor([[[1., 2.]]])
    """

    value: Vector
    multiplier: Multiplier = 1.0

    _source = "value"

    def _read(self) -> dict[str, Any]:
        return {"value": finite(self, "value", self.value)}

    def _change(self, z: Tensor, multiplier: Any, value: Tensor) -> Tensor:
        return (1 - multiplier) * z + multiplier * value  # exactly the value at multiplier 1


def _orthonormal(owner: Edit, directions: Any) -> Float[Tensor, "1 k d"]:
    """An orthonormal basis of the span of directions [d]."""
    for what in ("fingerprint", "basis"):
        stamp(directions, what)  # refuse a mixture
    units = [normalized(owner, direction) for direction in directions]
    if not units or any(unit.ndim != 1 or unit.shape != units[0].shape for unit in units):
        raise DataError(f"{owner}: a list of directions must hold vectors [d] of one width")
    _, singular, rows = torch.linalg.svd(torch.stack(units).double(), full_matrices=False)
    return rows[singular > 1e-6 * singular[0]].to(units[0].dtype)[None]
