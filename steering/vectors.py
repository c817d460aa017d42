"""``SteeringVector``: a direction in activation space that knows where it belongs.

A bare tensor does not say at which layer of which model it was read, so it can be added to the wrong one and still
look plausible.  A steering vector carries its site, its basis (the coordinates of the residual stream: ``"raw"`` are
those of the checkpoint, a back end that rewrites the weights has others) and the fingerprint of its model; arithmetic
and loading refuse to mix them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from steering._files import existing_file, replacing
from workbench.arguments import UNREADABLE, integer, number, one_of, shown, text
from workbench.errors import ArtifactError, DataError, SiteError, SpecError
from workbench.files import check_checksum, checksum
from workbench.models.fingerprint import check_stamp, stamp_of
from workbench.seeding import derive_seed
from workbench.sites import Site

_FORMAT = "workbench-steering-vector"
_RESIDUAL_WIDE = {"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"}


def real_tensor(value: Any) -> Tensor | None:
    """What torch makes of a value; None when that is not a tensor of real numbers.

    >>> real_tensor([1.0, 2.0]), real_tensor("2"), real_tensor(1j)
    (tensor([1., 2.]), None, None)
    """
    try:
        tensor = value.vector if isinstance(value, SteeringVector) else torch.as_tensor(value)
        return None if tensor.is_complex() or tensor.is_meta or tensor.layout != torch.strided else tensor
    except UNREADABLE:
        return None


def rows_of(activations: Any) -> Float[Tensor, "*rows d"]:
    """Activations [..., d] as a floating-point tensor; anything else raises :class:`DataError`."""
    found = real_tensor(activations)
    if found is None or found.ndim == 0 or not found.is_floating_point():
        given = shown(activations) if found is None else f"{found.dtype} {list(found.shape)}"
        raise DataError(f"activations must be floating-point numbers [..., d], not {given}")
    return found


@runtime_checkable
class SteeringTarget(Protocol):
    """What a vector asks of a model before it agrees to be used on it; every ``LanguageModel`` has these."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def basis(self) -> str: ...
    @property
    def d_model(self) -> int: ...
    @property
    def n_layers(self) -> int: ...


@dataclass(frozen=True, eq=False, repr=False)
class SteeringVector:
    """A vector [d] at a site of a model, with arithmetic and a file format.

    NaN, infinities, numbers that are not floating-point and shapes other than [d] raise :class:`DataError`.

    Args:
        site: where it was read and is added, a :class:`Site`, its text or a layer.
        vector: [d], kept as float32 on the CPU (a copy: later changes of the tensor given do not reach it).
        fingerprint: of the model (None: unknown).
        basis: the coordinates of the model's residual stream.
        name: shown in tables and figures.
        metadata: any JSON-able dict.
        precision: of the model, such as ``"bfloat16"`` (None: unknown).
        residual_norm: typical norm of the activations at ``site``, which a dose is a share of, from those that the
            vector was made of (:func:`steering.residual_norm`; None: the model that it is used on measures its own).

    >>> v = SteeringVector(Site(3), torch.tensor([3.0, 4.0]), name="calm")
    >>> v
    SteeringVector('calm', blocks.3.hook_resid_post, d=2, norm=5)
    >>> (2 * v - v / 2).norm
    7.5
    >>> v.project(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor([0.6000, 0.8000])
    """

    site: Site
    vector: Float[Tensor, " d"]
    fingerprint: str | None = None
    basis: str = "raw"
    name: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    precision: str | None = None
    residual_norm: float | None = None

    __array_ufunc__ = None  # so that a NumPy scalar times a vector comes to __rmul__

    def __post_init__(self) -> None:
        given = real_tensor(self.vector)
        if given is None or not given.is_floating_point():
            found = shown(self.vector) if given is None else given.dtype
            raise DataError(f"a steering vector holds floating-point numbers [d], not {found}")
        vector = given.detach().to("cpu", torch.float32, copy=True).contiguous()
        if vector.ndim != 1 or len(vector) == 0:
            raise DataError(f"a steering vector is one-dimensional [d], not of shape {list(vector.shape)}")
        if not vector.isfinite().all():
            bad = int((~vector.isfinite()).nonzero()[0])
            raise DataError(f"steering vector {self.name!r} is not finite: component {bad} is {vector[bad].item()}")
        try:
            metadata = json.loads(json.dumps(self.metadata, allow_nan=False))
        except UNREADABLE as error:
            raise DataError(f"metadata of steering vector {self.name!r} is not JSON: {error}") from error
        if not isinstance(metadata, dict):
            raise DataError(f"metadata of steering vector {self.name!r} must be a dict")
        text(self.name, "the name of a steering vector")
        norm = self.residual_norm
        if norm is not None and not (norm := number(norm, "residual_norm", 0)):
            raise DataError(f"residual_norm of steering vector {self.name!r} must be above 0")
        checked = {"site": Site.parse(self.site), "vector": vector, "metadata": metadata, "residual_norm": norm}
        for key, value in checked.items():
            object.__setattr__(self, key, value)

    def __repr__(self) -> str:
        return f"SteeringVector({self.name!r}, {self.site}, d={self.d_model}, norm={self.norm:.4g})"

    @property
    def d_model(self) -> int:
        """Number of components."""
        return len(self.vector)

    @property
    def norm(self) -> float:
        """Euclidean length, in activation units."""
        return float(self.vector.double().norm())

    def normalized(self) -> SteeringVector:
        """The same direction with length 1; raises :class:`DataError` for the zero vector."""
        return replace(self, vector=self._unit())

    def project(self, activations: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows"]:
        """Scalar projection of activations on the direction (float32; positive along the vector)."""
        activations = rows_of(activations)
        self._check_width(activations.shape[-1], "the activations have")
        return activations.float() @ self._unit().to(activations.device)

    def cosine(self, other: SteeringVector | Float[Tensor, " d"]) -> float:
        """Cosine with another vector of the same model and basis; the layers may differ."""
        if isinstance(other, SteeringVector):
            self._check_same_space(other, "compare")
        else:
            other = replace(self, vector=other)
        self._check_width(other.d_model, "the other vector has")
        norms = self.norm * other.norm
        if norms == 0:
            raise DataError("the cosine with a zero vector is not defined")
        return float(self.vector.double() @ other.vector.double()) / norms

    def shuffled(self, seed: int = 0) -> SteeringVector:
        """Control: the same components in a random order (same norm, dose and marginals).  Same seed, same order."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "shuffled"))
        order = torch.randperm(self.d_model, generator=generator)
        return self._control(self.vector[order], "shuffled", seed)

    def random_like(self, seed: int = 0) -> SteeringVector:
        """Control: a Gaussian direction of the same norm and dose.  Same seed, same direction."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "random"))
        draw = torch.randn(self.d_model, generator=generator, dtype=torch.float64)
        return self._control(draw * (self.norm / draw.norm()), "random", seed)

    def for_model(self, model: SteeringTarget, force: bool = False) -> SteeringVector:
        """This vector stamped for ``model``.

        Raises :class:`ArtifactError` when the vector was made for another model or basis, unless ``force``; the old
        stamp is then kept in the metadata as ``forced_from``.  A wrong width or a layer that the model lacks always
        raises.  A vector without a fingerprint (an imported one) takes the model's; a negative layer becomes the true
        one.
        """
        one_of(model, SteeringTarget, "model")
        if self.site.component in _RESIDUAL_WIDE and self.d_model != model.d_model:
            raise ArtifactError(f"{self!r} does not fit a model with d_model {model.d_model}")
        try:
            site = self.site.resolve(model.n_layers)
        except SiteError as error:
            raise ArtifactError(f"{self!r} does not fit the model: {error}") from None
        stamp = {"fingerprint": self.fingerprint, "basis": self.basis, "precision": self.precision}
        check_stamp(repr(self), stamp, model, force)
        wrong = self.fingerprint not in (None, model.fingerprint) or self.basis != model.basis
        old = {"forced_from": {"fingerprint": self.fingerprint, "basis": self.basis}} if wrong else {}
        norm = None if wrong else self.residual_norm
        return replace(self, site=site, **stamp_of(model), metadata=self.metadata | old, residual_norm=norm)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file: tensor ``vector`` and everything else as JSON in the header.  All or nothing."""
        from safetensors.torch import save

        header: dict[str, Any] = {
            "format": _FORMAT,
            "site": str(self.site.resolve(None)),
            "fingerprint": self.fingerprint,
            "basis": self.basis,
            "precision": self.precision,
            "residual_norm": self.residual_norm,
            "name": self.name,
            "metadata": self.metadata,
        }
        header["checksum"] = checksum(header, {"vector": self.vector.numpy()})
        # One metadata key, since safetensors does not fix the order of several: the same vector gives the same bytes.
        data = save({"vector": self.vector}, metadata={_FORMAT: json.dumps(header, sort_keys=True)})
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], model: SteeringTarget | None = None, force: bool = False
    ) -> SteeringVector:
        """Read what :meth:`save` wrote.  With ``model`` the vector is checked and stamped as by :meth:`for_model`."""
        from safetensors import SafetensorError, safe_open

        file_path = existing_file(path)
        try:
            with safe_open(file_path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[_FORMAT])
                check_checksum(header, {"vector": file.get_tensor("vector").numpy()})
                loaded = cls(
                    site=Site.parse(header["site"]),
                    vector=file.get_tensor("vector"),
                    fingerprint=header["fingerprint"],
                    basis=header["basis"],
                    name=header["name"],
                    metadata=header["metadata"],
                    precision=header.get("precision"),
                    residual_norm=header.get("residual_norm"),
                )
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} is not a saved steering vector ({error})") from error
        return loaded if model is None else loaded.for_model(model, force)

    def __add__(self, other: object) -> SteeringVector:
        return self._combine(other, torch.add, "+")

    def __sub__(self, other: object) -> SteeringVector:
        return self._combine(other, torch.sub, "-")

    def __radd__(self, other: object) -> SteeringVector:
        if isinstance(other, int) and other == 0:  # sum() starts from 0
            return self
        return self._combine(other, torch.add, "+")

    def __rsub__(self, other: object) -> SteeringVector:
        return self._combine(other, torch.sub, "-")

    def __mul__(self, scalar: float) -> SteeringVector:
        return replace(self, vector=self.vector.double() * self._scalar(scalar, "multiplied"))

    __rmul__ = __mul__

    def __truediv__(self, scalar: float) -> SteeringVector:
        divisor = self._scalar(scalar, "divided")
        if divisor == 0:
            raise DataError(f"{self!r} divided by zero")
        return replace(self, vector=self.vector.double() / divisor)

    def __neg__(self) -> SteeringVector:
        return replace(self, vector=-self.vector)

    def _combine(self, other: object, operation: Callable[..., Tensor], sign: str) -> SteeringVector:
        if not isinstance(other, SteeringVector):
            raise DataError(f"{self!r} {sign} {shown(other)}: both sides must be steering vectors")
        if self.site != other.site:
            raise ArtifactError(f"cannot combine vectors of different sites: {self.site} and {other.site}")
        self._check_same_space(other, "combine")
        self._check_width(other.d_model, "the other vector has")
        agreed = {k: v for k, v in self.metadata.items() if k in other.metadata and other.metadata[k] == v}
        name = f"{self.name} {sign} {other.name}" if self.name and other.name else self.name or other.name
        precision = self.precision if self.precision == other.precision else None
        norm = self.residual_norm if self.residual_norm == other.residual_norm else None
        vector = operation(self.vector, other.vector)
        return replace(self, vector=vector, name=name, metadata=agreed, precision=precision, residual_norm=norm)

    def _scalar(self, value: object, verb: str) -> float:
        try:
            return number(value, "a scalar")
        except SpecError:
            raise DataError(f"{self!r} can be {verb} by a number, not by {shown(value)}") from None

    def _check_same_space(self, other: SteeringVector, verb: str) -> None:
        for what in ("fingerprint", "basis"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise ArtifactError(f"cannot {verb} vectors of different {what}: {mine} and {theirs}")

    def _check_width(self, width: int, whose: str) -> None:
        if width != self.d_model:
            raise DataError(f"{self!r} has {self.d_model} components, {whose} {width}")

    def _unit(self) -> Float[Tensor, " d"]:
        if self.norm == 0 or not math.isfinite(1 / self.norm):
            raise DataError(f"{self!r} has no direction: its norm is {self.norm:g}")
        return (self.vector.double() / self.norm).float()

    def _control(self, vector: Tensor, kind: str, seed: int) -> SteeringVector:
        seed = integer(seed, "seed")
        name = f"{self.name} ({kind})" if self.name else kind
        return replace(self, vector=vector, name=name, metadata=self.metadata | {"control": kind, "seed": seed})
