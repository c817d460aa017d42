"""What the interventions share: where they act, one value or one a row, and the bits that they leave alone.

:class:`AtSite` settles the site and the scope, :class:`ByRow` the values that are one for all rows or one a row, and
:class:`Edit` applies a change to the activations in scope.  A new intervention says what its values are and what it
does to ``z``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from steering.vectors import SteeringVector, real_tensor
from workbench.arguments import shown
from workbench.errors import ArtifactError, DataError, SiteError
from workbench.models.interventions import Scope, Where
from workbench.sites import Site

Vector = SteeringVector | Tensor
Multiplier = float | Tensor


@dataclass(frozen=True, eq=False)
class HasSite:
    """What belongs to a site; ``_source`` names the field, its first, that may bring it."""

    site: Any = field(default=None, kw_only=True)  # anything that Site.parse reads; a Site once built

    _source: ClassVar[str] = "vector"

    def __new__(cls, *given: Any, **named: Any) -> Self:
        if given and isinstance(given[0], Site | str | int):
            call = f"{cls.__name__}({cls._source}, ..., site={given[0]!r})"
            raise SiteError(f"{cls.__name__} takes the {cls._source} first and the site by name: {call}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        self._set(site=self._place())

    def __str__(self) -> str:
        return f"{type(self).__name__} at {self.site}"

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _place(self) -> Site:
        """The site that was said, or else the one that all vectors bring."""
        if self.site is not None:
            return Site.parse(self.site)
        name, sites = type(self).__name__, {vector.site for vector in _vectors(getattr(self, self._source))}
        if not sites:
            raise SiteError(f"{name}: only a steering vector knows its site: pass site=, such as site='3.resid_post'")
        if len(sites) > 1:
            found = ", ".join(map(str, sorted(sites)))
            raise SiteError(f"{name}: the directions are of different sites ({found}): say with site= where to act")
        return sites.pop()


@dataclass(frozen=True, eq=False)
class AtSite(HasSite):
    """Where an intervention acts: a site, and a scope of positions."""

    scope: Any = field(default=Scope(), kw_only=True)  # anything that Scope.parse reads; a Scope once built

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(scope=Scope.parse(self.scope))


class ByRow(HasSite):
    """Values that are the same for all of the caller's rows, or one a row.

    They are numbers and tensors [d] or [1, k, d] for all rows, [rows, 1] or [rows, d] by row; the last one is d wide.
    """

    def _hold(self, parts: dict[str, Any]) -> None:
        rows = {name: len(part) for name, part in parts.items() if by_row(part)}
        if len(set(rows.values())) > 1:
            raise DataError(f"{self}: values for different numbers of rows: {rows}")
        self._set(_parts=tuple(parts.values()), _n_rows=next(iter(rows.values()), None))

    def _parts_on(self, activation: Tensor, dtype: torch.dtype, where: Where) -> list[Any]:
        """The parts on the activation's device; an activation of another width and rows without values are refused."""
        parts, n_rows = self._parts, self._n_rows  # type: ignore[attr-defined]
        width, expected = parts[-1].shape[-1], activation.shape[-1]
        if width != expected:
            raise DataError(f"{self}: the {self._source} has width {width}, the activation {expected}")
        if n_rows is not None and int(where.rows.max()) >= n_rows:
            raise DataError(f"{self}: it has values for {n_rows} rows, the batch has a row {int(where.rows.max())}")
        return [part.to(activation.device, dtype) if isinstance(part, torch.Tensor) else part for part in parts]


@dataclass(frozen=True, eq=False)
class Edit(AtSite, ByRow):
    """An intervention that changes each activation in its scope by itself.

    A subclass has a ``multiplier``, reads its other fields into tensors (``_read``), and says in ``_change`` what
    becomes of activations z [..., d], given the multiplier and those tensors as they apply to each of them.
    """

    _change: ClassVar[Callable[..., Tensor]]
    fingerprint = property(lambda self: stamp(getattr(self, self._source), "fingerprint"))
    basis = property(lambda self: stamp(getattr(self, self._source), "basis"))
    precision = property(lambda self: _precision(getattr(self, self._source)))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._hold({"multiplier": self._strength()} | self._read())

    def _strength(self) -> float | Float[Tensor, "rows 1"]:
        return number(self, "multiplier")

    def _read(self) -> dict[str, Any]:
        """The values by name, as :class:`ByRow` holds them."""
        raise NotImplementedError

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        wide = torch.promote_types(activation.dtype, torch.float32)
        parts = self._parts_on(activation, wide, where)
        acts = parts[0] != 0
        touched = self.scope.mask(where) & (acts[where.rows, 0] if by_row(acts) else acts)
        if touched.all():  # nearly every decoding step: no need to gather and scatter
            return self._change(activation.to(wide), *of_rows(parts, where.rows)).to(activation.dtype)
        out = activation.clone()
        out[touched] = self._change(activation[touched].to(wide), *of_rows(parts, where.rows[touched])).to(out.dtype)
        return out

    def acts_on(self, rows: Int[Tensor, " *rows"]) -> Bool[Tensor, " *rows"]:
        """Which of the caller's rows it may change: those with a multiplier other than 0."""
        acts = self._parts[0] != 0  # type: ignore[attr-defined]
        if not by_row(acts):
            return torch.full_like(rows, bool(acts), dtype=torch.bool)
        beyond = rows >= len(acts)  # which is refused where it is steered
        return beyond | acts.to(rows.device)[rows.masked_fill(beyond, 0), 0]


def of_rows(parts: Sequence[Any], rows: Tensor) -> list[Any]:
    """The parts that apply to each element: those by row are looked up, the others are the same for all."""
    return [part[rows] if by_row(part) else part for part in parts]


def by_row(part: Any) -> bool:
    return isinstance(part, torch.Tensor) and part.ndim == 2


def number(owner: HasSite, what: str) -> float | Float[Tensor, "rows 1"]:
    """A field that is a number or one a row; the field itself becomes a float or a tensor [rows]."""
    given = getattr(owner, what)
    found = real_tensor(given)
    if found is None or found.ndim > 1 or found.dtype == torch.bool or not found.isfinite().all():
        raise DataError(f"{owner}: {what} must be a finite number, or finite numbers [rows], not {shown(given)}")
    value = float(found.double()) if found.ndim == 0 else found
    owner._set(**{what: value})
    return value[:, None] if isinstance(value, torch.Tensor) else value


def finite(owner: HasSite, what: str, vector: Vector) -> Tensor:
    """The tensor [d] or [rows, d] of a vector, which ``what`` names in errors; anything else raises."""
    values = real_tensor(vector)
    if values is None or values.ndim not in (1, 2) or 0 in values.shape or not values.is_floating_point():
        found = shown(vector) if values is None else f"{values.dtype} {list(values.shape)}"
        raise DataError(f"{owner}: the {what} must be floating-point [d] or [rows, d], not {found}")
    if not values.isfinite().all():
        raise DataError(f"{owner}: the {what} is not finite")
    return values


def along(z: Float[Tensor, "*elements d"], unit: Tensor) -> Float[Tensor, "*elements 1"]:
    """The component of activations along a direction of length 1."""
    return (z * unit).sum(-1, keepdim=True)


def normalized(owner: HasSite, direction: Any) -> Tensor:
    """The tensor [d] or [rows, d] of a direction, of length 1."""
    values = finite(owner, "direction", direction)
    norms = values.double().norm(dim=-1, keepdim=True)
    if not bool((norms > 0).all()) or not bool(norms.isfinite().all()):
        raise DataError(f"{owner}: a direction has norm 0 or is not finite, so there is nothing to project on")
    return (values.double() / norms).to(torch.promote_types(values.dtype, torch.float32))


def _vectors(source: Any) -> list[SteeringVector]:
    """The steering vectors among what was given: one, or several in a list."""
    several = source if isinstance(source, list | tuple) else [source]
    return [vector for vector in several if isinstance(vector, SteeringVector)]


def _precision(source: Any) -> str | None:
    """The precisions of the model that the vectors were made in; several are all named."""
    found = sorted({vector.precision for vector in _vectors(source) if vector.precision})
    return " and ".join(found) or None


def stamp(source: Any, what: str) -> str | None:
    """The ``fingerprint`` or ``basis`` that all vectors share; raises :class:`ArtifactError` where they differ."""
    stamps = {getattr(vector, what) for vector in _vectors(source)}
    if len(stamps) > 1:
        raise ArtifactError(f"vectors of different {what} in one intervention: {sorted(map(str, stamps))}")
    return stamps.pop() if stamps else None
