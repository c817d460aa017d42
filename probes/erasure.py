"""``leace``: the smallest change of activations after which no linear probe can read a concept.

LEAst-squares Concept Erasure (Belrose et al., arXiv 2306.03819, theorem 4.3), by the authors' package
``concept-erasure``: ``r(x) = x - W^+ P W (x - mean)`` with ``W = cov(x)^(-1/2)`` and P the orthogonal projection on the
columns of ``W cov(x, z)``.  Afterwards all classes have the same mean on the rows it was fitted on, so the best linear
prediction of the concept is a constant, and no other affine map with that property moves the activations less.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probes._artifact import read_artifact, write_artifact
from probes.fold_moments import FoldMoments, Task
from probes.moments import spread_of
from workbench.arguments import flag, real_array, refused
from workbench.errors import ArtifactError, DataError
from workbench.models.fingerprint import ModelStamp, check_stamp
from workbench.sites import Site

_FORMAT = "workbench-erasure"
_LEAST = 1e-7  # correlations with the concept below this are rounding


@dataclass(frozen=True, eq=False)
class Erasure:
    """An affine map x -> matrix x + bias that differs from the identity by a matrix of low rank.

    ``left`` [d, k] and ``right`` [k, d] (float64, on the CPU): x - left right (x - mean).  ``site``, ``basis``,
    ``fingerprint`` and ``precision`` say where it belongs, None where unknown.
    """

    left: Float[Tensor, "d k"]
    right: Float[Tensor, "k d"]
    mean: Float[Tensor, " d"]
    site: Site | None = None
    basis: str = "raw"
    fingerprint: str | None = None
    precision: str | None = None

    def __call__(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
        """Activations without the concept; computed in float32 at least, returned in the dtype of ``x``."""
        with refused("activations"):
            x = torch.atleast_1d(torch.as_tensor(x))
        if x.shape[-1] != len(self.mean):
            raise DataError(f"this erasure is of activations of width {len(self.mean)}, not {x.shape[-1]}")
        dtype = torch.promote_types(x.dtype, torch.float32)
        left, right, mean = (each.to(x.device, dtype) for each in (self.left, self.right, self.mean))
        wide = x.to(dtype)
        return (wide - (wide - mean) @ right.T @ left.T).to(x.dtype)

    @property
    def matrix(self) -> Float[Tensor, "d d"]:
        """I - left right: the linear part."""
        return torch.eye(len(self.mean), dtype=self.left.dtype) - self.left @ self.right

    @property
    def bias(self) -> Float[Tensor, " d"]:
        """left right mean: the constant part."""
        return self.left @ (self.right @ self.mean)

    @property
    def rank(self) -> int:
        """How many directions are erased: at most the number of classes less one, or of values."""
        return self.left.shape[1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all."""
        header = {
            "site": None if self.site is None else str(self.site),
            "basis": self.basis,
            "fingerprint": self.fingerprint,
            "precision": self.precision,
        }
        write_artifact(path, _FORMAT, header, {name: getattr(self, name).numpy() for name in ("left", "right", "mean")})

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: ModelStamp | None = None, force: bool = False) -> Erasure:
        """Read what :meth:`save` wrote; with ``model``, one of another model or basis raises unless ``force``."""
        header, arrays = read_artifact(path, _FORMAT, "a saved erasure")
        try:
            site = None if header["site"] is None else Site.parse(header["site"])
            left, right, mean = (torch.from_numpy(arrays[name]) for name in ("left", "right", "mean"))
            loaded = cls(left, right, mean, site, header["basis"], header["fingerprint"], header.get("precision"))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} is not a saved erasure ({error})") from error
        if model is not None:
            check_stamp(f"erasure {path}", header, model, force)
        return loaded


def leace(
    X: Any,
    y: Any,
    task: Task = "classification",
    *,
    shrinkage: bool = False,
    site: Site | str | int | None = None,
    basis: str = "raw",
    fingerprint: str | None = None,
    precision: str | None = None,
) -> Erasure:
    """The eraser of a concept.

    Args:
        X: activations [rows, d].
        y: labels or numbers, [rows] or [rows, targets].
        task: whether y are classes or numbers.
        shrinkage: estimate the covariance with the package's random-matrix shrinkage, for few rows a feature; the
            classes' means still become equal, the change is then the least for that estimate.
        site, basis, fingerprint, precision: where the activations come from, kept with the eraser.

    Returns:
        An :class:`Erasure`, a callable on activations [..., d].

    Raises:
        DataError: for fewer than two rows, and rows or labels that are not finite.

    >>> eraser = leace([[1.0, 0.0], [3.0, 1.0], [1.0, 1.0], [3.0, 0.0]], [0, 1, 0, 1])
    >>> eraser(torch.tensor([[1.0, 5.0], [3.0, 5.0]])), eraser.rank
    (tensor([[2., 5.],
            [2., 5.]]), 1)
    """
    from concept_erasure import LeaceFitter

    moments = FoldMoments(task, folds=1)
    moments.update(X, y)
    total = moments.total
    if total.n < 2:
        raise DataError("erasure needs at least two rows")
    if task == "classification" and bool(((moments.class_counts > 0).sum(1) < 2).any()):
        raise DataError(f"y holds one class only, {moments.labels[0]!r}: there is nothing to erase")
    if task == "regression" and not np.ptp(real_array(y, "y"), axis=0).any():
        raise DataError("y is the same in every row: there is nothing to erase")
    d, columns = total.xy.shape
    # LEACE never adds variance (tr P S P' = tr Q S, Q a projection): the package's guard would only act on rounding.
    shrinkage = flag(shrinkage, "shrinkage")
    fitter = LeaceFitter(
        d, columns, dtype=torch.float64, device=total.xx.device, svd_tol=_LEAST, shrinkage=shrinkage,
        constrain_cov_trace=False,
    )  # fmt: skip
    fitter.n += total.n
    fitter.mean_x, fitter.mean_z = total.mean_x, total.mean_y
    spread = spread_of(total.yy / total.n, total.mean_y)  # so that the tolerance is one of correlations
    fitter.sigma_xx_, fitter.sigma_xz_ = total.xx, total.xy / spread
    eraser = fitter.eraser
    kept = eraser.proj_right.norm(dim=1) > 0  # the package sets directions below its tolerance to 0
    left, right = eraser.proj_left[:, kept].cpu(), eraser.proj_right[kept].cpu()
    where = None if site is None else Site.parse(site).resolve(None)
    return Erasure(left, right, total.mean_x.cpu(), where, basis, fingerprint, precision)
