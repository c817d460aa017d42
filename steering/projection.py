"""Bounds and angles: keep a component between two values, turn one in a plane.

:class:`Clamp` leaves alone what is between its bounds.  :class:`Rotate` turns the part of an activation that lies
in the plane of two directions and keeps its length, so that however strong the steering, the residual stream is as long
as before (angular steering, Vu and Nguyen 2025, arXiv 2510.26243).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from steering.edits import Edit, Multiplier, Vector, along, normalized, number, stamp
from workbench.errors import DataError

_PARALLEL = 1e-4  # the sine of the angle below which two directions span no plane


@dataclass(frozen=True, eq=False)
class Clamp(Edit):
    """Keep the component along a direction between two values: ``z + multiplier * (clip(z . v, low, high) - z . v) v``.

    Args:
        direction: v, taken at length 1: one direction, or one a row [rows, d].
        low: the least that the component may be, in activation units; a number or one a row [rows]; None: no bound.
        high: the most, likewise.
        multiplier: how much of the way an activation outside goes; a number or one a row [rows].
        site: as in :class:`steering.Add`.
        scope: as in :class:`steering.Add`.

    >>> from workbench.models import Where
    >>> where = Where(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), torch.tensor([[2, 2]]))
    >>> below = Clamp(torch.tensor([2.0, 0.0]), high=4.0, site=0, scope="prompt")
    >>> below(torch.tensor([[[5.0, 7.0], [3.0, 7.0]]]), where)
    tensor([[[4., 7.],
             [3., 7.]]])
    """

    direction: Vector
    low: Multiplier | None = None
    high: Multiplier | None = None
    multiplier: Multiplier = 1.0

    _source = "direction"

    def _read(self) -> dict[str, Any]:
        if self.low is None and self.high is None:
            raise DataError(f"{self}: say low, high or both: the component is kept between them")
        low = -math.inf if self.low is None else number(self, "low")
        high = math.inf if self.high is None else number(self, "high")
        if bool((torch.as_tensor(low) > torch.as_tensor(high)).any()):
            raise DataError(f"{self}: low is above high ({self.low} and {self.high})")
        return {"low": low, "high": high, "direction": normalized(self, self.direction)}

    def _change(self, z: Tensor, multiplier: Any, low: Any, high: Any, unit: Tensor) -> Tensor:
        found = along(z, unit)
        bounds = [torch.as_tensor(bound, dtype=z.dtype, device=z.device) for bound in (low, high)]
        return z + multiplier * (torch.minimum(torch.maximum(found, bounds[0]), bounds[1]) - found) * unit


@dataclass(frozen=True, eq=False)
class Rotate(Edit):
    """Turn the part of an activation that lies in a plane, from the first direction towards the second.

    With b1 the first direction at length 1 and b2 what the second has at right angles to it, the component
    ``x = (z . b1, z . b2)`` becomes ``R(multiplier * degrees) x``; with ``to=True`` it ends at the angle ``degrees``
    from b1, wherever it was (the multiplier then is the share of the way, the shorter one around).  All else of z
    stays, and so does its norm.

    Args:
        plane: two directions that span it, each a :class:`SteeringVector`, a tensor [d] or one a row [rows, d].
        degrees: the angle, a number or one a row [rows].
        multiplier: how much of the angle; a number or one a row [rows].
        to: whether the angle is where the component ends, and not how far it goes.
        site: as in :class:`steering.Add`.
        scope: as in :class:`steering.Add`.

    >>> from workbench.models import Where
    >>> where = Where(torch.tensor([[0]]), torch.tensor([[0]]), torch.tensor([[1]]))
    >>> plane = [torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])]
    >>> Rotate(plane, 90.0, site=0)(torch.tensor([[[0.0, 2.0, 7.0]]]), where).round(decimals=5) + 0.0
    tensor([[[-2.,  0.,  7.]]])
    >>> Rotate(plane, 90.0, to=True, site=0)(torch.tensor([[[2.0, 0.0, 7.0]]]), where).round(decimals=5) + 0.0
    tensor([[[0., 2., 7.]]])
    """

    plane: Sequence[Vector]
    degrees: Multiplier
    multiplier: Multiplier = 1.0
    to: bool = field(default=False, kw_only=True)

    _source = "plane"

    def _read(self) -> dict[str, Any]:
        if not isinstance(self.plane, list | tuple) or len(self.plane) != 2:
            raise DataError(f"{self}: a plane is given by two directions, [first, second]")
        for what in ("fingerprint", "basis"):
            stamp(self.plane, what)  # refuse a mixture
        first, second = (normalized(self, direction) for direction in self.plane)
        if first.shape[-1] != second.shape[-1]:
            raise DataError(f"{self}: the two directions have widths {first.shape[-1]} and {second.shape[-1]}")
        rest = second.double() - along(second.double(), first.double()) * first.double()
        if not bool((rest.norm(dim=-1) > _PARALLEL).all()):
            raise DataError(f"{self}: the two directions are parallel, and span no plane")
        return {"degrees": number(self, "degrees"), "first": first, "second": normalized(self, rest).to(first.dtype)}

    def _change(self, z: Tensor, multiplier: Any, degrees: Any, first: Tensor, second: Tensor) -> Tensor:
        x, y = along(z, first), along(z, second)
        angle = torch.as_tensor(degrees, dtype=z.dtype, device=z.device) * (math.pi / 180)
        if self.to:
            angle = angle - torch.atan2(y, x)
            angle = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi  # the shorter way around
        cos, sin = torch.cos(multiplier * angle), torch.sin(multiplier * angle)
        return z + (cos * x - sin * y - x) * first + (sin * x + cos * y - y) * second
