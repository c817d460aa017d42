"""``FoldMoments``: moments of labelled rows, one set a fold of groups, from which a penalty can be chosen.

The squared error of a linear fit on rows held out is a quadratic form of their moments, so holding groups out needs no
second look at any row: fit on the sum of the other folds' moments, score on the fold's own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probes._inputs import bad_row, to_tensor
from probes.moments import Moments
from workbench.arguments import as_array, integer, real_array
from workbench.errors import DataError, check_known
from workbench.labels import label_array

Task: TypeAlias = Literal["classification", "regression"]

_CHUNK = 4096  # rows whose targets are made one-hot at a time
_REMEMBERED = 4096  # groups dealt to the folds in turn; later ones go by a hash, so that memory stays bounded


class FoldMoments:
    """Moments of labelled rows, one set a fold; rows of a group share a fold.

    ``task`` is "classification" (labels of any kind, new ones may turn up at any time) or "regression" (numbers); y is
    [rows] or [rows, targets].  Groups are dealt to the ``folds`` in the order in which they turn up; without groups,
    rows are.  ``folds=1`` keeps one set, from which no penalty can be chosen.  Memory is ``folds * d * (d + columns)``
    float64, whatever the number of rows; a column is a value, or a label of a target.

    >>> some = FoldMoments(folds=2)
    >>> some.update(torch.tensor([[1.0], [3.0]]), ["no", "yes"])
    >>> some.update(torch.tensor([[5.0]]), ["yes"])
    >>> some.total.n, some.labels, some.class_counts.tolist()
    (3, ['no', 'yes'], [[1.0, 2.0]])
    """

    def __init__(self, task: Task = "classification", folds: int = 5, device: torch.device | str = "cpu") -> None:
        check_known(task, get_args(Task), "task")
        folds = integer(folds, "folds", least=1)
        self.task, self.device = task, torch.device(device)
        self.labels: list[Any] = []  # in order of appearance
        self.n_targets = 0
        self._folds: list[Moments | None] = [None] * folds
        self._dealt: dict[Any, int] = {}
        self._rows = 0

    def update(self, x: Any, y: Any, groups: Any = None) -> None:
        """Add rows: x [rows, d], y [rows] or [rows, targets], groups [rows].

        Raises :class:`DataError` for NaN, infinities, and shapes other than those of the rows before.
        """
        x, y = to_tensor(x), as_array(y, "y")
        y = y[:, None] if y.ndim == 1 else y
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
            shapes = f"{list(x.shape)} and {list(y.shape)}"
            raise DataError(f"rows must be x [rows, d] and y [rows] or [rows, targets], not {shapes}")
        if self.n_targets not in (0, y.shape[1]):
            raise DataError(f"y has {y.shape[1]} targets, the rows before had {self.n_targets}")
        self.n_targets = y.shape[1]
        columns = self._codes(y) if self.task == "classification" else real_array(y, "y").astype(np.float64)
        fold_of = self._deal(groups, len(x))
        for start in range(0, len(x), _CHUNK):
            rows = slice(start, start + _CHUNK)
            self._add(x[rows].to(self.device), self._columns(columns[rows]), fold_of[rows])
            self._rows += len(fold_of[rows])

    def _add(self, x: Tensor, y: Tensor, fold_of: np.ndarray) -> None:
        for name, values in (("activations", x), ("targets", y)):
            if (row := bad_row(values)) is not None:
                raise DataError(f"{name} are not finite at row {self._rows + row}")
        for fold in np.unique(fold_of):
            found = self._folds[fold]
            if found is None:
                found = self._folds[fold] = Moments.empty(x.shape[1], y.shape[1], self.device)
            if x.shape[1] != len(found.mean_x):
                raise DataError(f"rows have {x.shape[1]} features, those before had {len(found.mean_x)}")
            chosen = torch.from_numpy(np.flatnonzero(fold_of == fold)).to(self.device)
            found.update(x[chosen], y[chosen])

    @property
    def total(self) -> Moments:
        """The moments of all rows."""
        return reduce(Moments.merge, self._kept())

    def splits(self) -> Iterator[tuple[Moments, Moments]]:
        """(moments to fit on, moments held out) of each fold that has rows; none where only one has."""
        kept = self._kept()
        for i, held in enumerate(kept if len(kept) > 1 else []):
            yield reduce(Moments.merge, kept[:i] + kept[i + 1 :]), held

    def _kept(self) -> list[Moments]:
        kept = [fold for fold in self._folds if fold is not None]
        if not kept:
            raise DataError("there are no rows to fit on")
        return kept

    @property
    def class_counts(self) -> np.ndarray:
        """Rows of each label (in the order of ``labels``) in each target, [targets, labels]."""
        total = self.total
        return np.rint((total.mean_y * total.n).reshape(self.n_targets, -1).cpu().numpy())

    def _codes(self, y: np.ndarray) -> np.ndarray:
        """Labels as their numbers in ``self.labels``, to which new ones are added."""
        codes, found = pd.factorize(y.ravel())
        if (codes < 0).any():
            raise DataError(
                f"labels of classes must not be missing or NaN: row {self._rows + int((codes < 0).argmax())}"
            )
        known = {label: number for number, label in enumerate(self.labels)}
        new = [label for label in found.tolist() if label not in known]
        if new:
            old, self.labels = self.labels, [*self.labels, *new]
            known |= {label: number for number, label in enumerate(new, len(old))}
            self._folds = [None if fold is None else self._laid_out(fold, old) for fold in self._folds]
        return np.array([known[label] for label in found.tolist()], dtype=np.int64)[codes].reshape(y.shape)

    def _laid_out(self, moments: Moments, labels: Sequence[Any]) -> Moments:
        """Moments whose columns were those of ``labels``, with columns for ``self.labels``; an unseen one is all 0."""
        if self.task == "regression" or list(labels) == self.labels:
            return moments
        places = torch.tensor([self.labels.index(label) for label in labels], device=self.device)
        wide = Moments.empty(len(moments.mean_x), self.n_targets * len(self.labels), self.device)
        wide.n, wide.mean_x, wide.xx = moments.n, moments.mean_x, moments.xx
        for name in ("mean_y", "xy", "yy"):
            old, new = getattr(moments, name), getattr(wide, name)
            shape = (*old.shape[:-1], self.n_targets)
            new.view(*shape, len(self.labels))[..., places] = old.view(*shape, len(labels))
        return wide

    def _columns(self, rows: np.ndarray) -> Tensor:
        """Values as they are; numbers of labels as one-hot columns, target by target."""
        found = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        if self.task == "regression":
            return found
        hot = torch.zeros((*found.shape, len(self.labels)), dtype=torch.float64, device=self.device)
        return hot.scatter_(2, found[..., None], 1.0).flatten(1)

    def _deal(self, groups: Any, n_rows: int) -> np.ndarray:
        """The fold of each row."""
        folds = len(self._folds)
        if groups is None:
            return (self._rows + np.arange(n_rows)) % folds
        codes, found = pd.factorize(label_array(groups, "groups"))
        if len(codes) != n_rows or (codes < 0).any():
            raise DataError(f"groups must be {n_rows} values, one a row and none missing")
        for group in found.tolist():
            if group not in self._dealt and len(self._dealt) < _REMEMBERED:
                self._dealt[group] = len(self._dealt) % folds
        hashed = (self._dealt.get(g, zlib.crc32(repr(g).encode()) % folds) for g in found.tolist())
        return np.fromiter(hashed, dtype=np.int64, count=len(found))[codes]
