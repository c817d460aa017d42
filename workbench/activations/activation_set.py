"""``ActivationSet``: activations of some sites, a table that says what each row is, and the model they came from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

from workbench.arguments import as_array, listed, mapping, one_of, real_array, refused, shown
from workbench.errors import ArtifactError, DataError, did_you_mean
from workbench.labels import SINK, labelled_rows
from workbench.models.fingerprint import ModelStamp, check_stamp
from workbench.sites import Site, SiteMap

Rows = slice | ArrayLike | torch.Tensor


@dataclass(frozen=True, eq=False, repr=False)
class ActivationSet:
    """Activations [rows, d] of one or more sites, with labels and groups of the rows.

    ``labels``: a table (or dict of columns) with one line a row.  ``groups``: the name of a label column, or one value
    a row; rows of one group (an episode, a prompt) belong on the same side of any split.  Left out, each row is its own
    group; it becomes an array [rows].  ``fingerprint``, ``basis`` and ``precision`` are the model's, ``model`` is its
    name.  ``activations`` (a dict by site will do) become a :class:`SiteMap`, which knows the model's number of layers
    where ``capture`` made it.
    Wrong shapes, NaN and infinities raise :class:`DataError`, which names the site and the row.

    >>> some = ActivationSet({Site(1): torch.eye(3)}, {"entropy": [0.1, 0.5, 0.2], "episode": [0, 0, 1]}, "episode")
    >>> some
    ActivationSet(3 rows of 2 groups, blocks.1.hook_resid_post: 3)
    >>> some.select(some.labels.entropy > 0.15)["1.resid_post"]
    tensor([[0., 1., 0.],
            [0., 0., 1.]])
    """

    activations: SiteMap[Float[Tensor, "rows d"]]
    labels: pd.DataFrame = field(default_factory=pd.DataFrame)
    groups: Any = None
    fingerprint: str | None = None
    basis: str = "raw"
    model: str = ""
    precision: str | None = None

    def __post_init__(self) -> None:
        tensors = {site: _tensor(site, x) for site, x in mapping(self.activations, "activations").items()}
        activations = SiteMap(tensors, getattr(self.activations, "n_layers", None))
        if not activations:
            raise DataError("an activation set needs at least one site")
        n_rows = len(next(iter(activations.values())))
        for site, activation in activations.items():
            if activation.ndim != 2 or len(activation) != n_rows:
                raise DataError(f"activations of {site} must be [{n_rows}, d], not {list(activation.shape)}")
        labels = label_table(self.labels, n_rows)
        object.__setattr__(self, "activations", activations)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "groups", group_values(self.groups, labels, n_rows))
        for site, activation in activations.items():
            _check_finite(site, activation, labels)

    def __len__(self) -> int:
        return len(next(iter(self.activations.values())))

    def __getitem__(self, site: Site | str | int) -> Float[Tensor, "rows d"]:
        """Activations of one site; :class:`SiteError` when it was not captured."""
        return self.activations[site]

    def __repr__(self) -> str:
        groups = len(set(self.groups.tolist()))
        sinks = f"{self.labels[SINK].sum()} at attention sinks, " if SINK in self.labels else ""
        return f"ActivationSet({len(self)} rows of {groups} groups, {sinks}{_widths(self)})"

    @property
    def n_layers(self) -> int | None:
        """Layers of the model, where known: then -1 is its last."""
        return self.activations.n_layers

    @property
    def sites(self) -> tuple[Site, ...]:
        """The captured sites, in the order asked for."""
        return tuple(self.activations)

    def numpy(self, site: Site | str | int) -> Float[np.ndarray, "rows d"]:
        """Activations of one site as float32 (half precision is widened: NumPy has no bfloat16)."""
        return self[site].to("cpu", torch.float32).numpy()

    def read(self, site: Site | str | int, rows: Rows | None = None) -> Float[Tensor, "rows d"]:
        """As :meth:`workbench.activations.ActivationStore.read`: activations of a site, of all rows or some."""
        found = self[site]
        return found if rows is None else found[torch.from_numpy(row_numbers(rows, len(self))).to(found.device)]

    def xy(
        self, site: Site | str | int, target: str
    ) -> tuple[Float[np.ndarray, "rows d"], Shaped[np.ndarray, " rows"], Shaped[np.ndarray, " rows"]]:
        """What a probe is fitted on: activations in float32, the label column ``target``, and the groups.

        Rows without that label, and those that ``capture`` marked as read at attention sinks, are left out, with a
        warning.  Raises :class:`SiteError` for another site, :class:`DataError` for another column, one without labels,
        or one that mixes numbers and text.

        >>> X, y, groups = ActivationSet({Site(1): torch.eye(2)}, {"side": ["left", "right"]}).xy(1, "side")
        >>> X.shape, y.tolist(), groups.tolist()
        ((2, 2), ['left', 'right'], [0, 1])
        """
        x = self.numpy(site)
        rows, y = labelled_rows(self.labels, target)
        return x[rows], y, self.groups[rows]

    def select(self, rows: Rows) -> ActivationSet:
        """Some of the rows: a slice, a list of row numbers in any order, or a boolean mask."""
        index = row_numbers(rows, len(self))
        chosen = torch.from_numpy(index)
        return replace(
            self,
            activations=self.activations.map(lambda x: x[chosen.to(x.device)]),
            labels=self.labels.iloc[index],
            groups=self.groups[index],
        )

    @staticmethod
    def concatenate(sets: Sequence[ActivationSet]) -> ActivationSet:
        """All rows of sets of one model and the same sites, in order.

        Raises :class:`ArtifactError` for sets of different models, bases or sites.
        """
        sets = [one_of(each, ActivationSet, "a set") for each in listed(sets, "sets")]
        if not sets:
            raise DataError("there is no activation set to put together")
        first = sets[0]
        for other in sets[1:]:
            check_same_kind(first, other, "cannot put activation sets together")
        joined = {site: torch.cat([each[site] for each in sets]) for site in first.sites}
        return replace(
            first,
            activations=SiteMap(joined, first.n_layers),
            labels=pd.concat([each.labels for each in sets], ignore_index=True),
            groups=np.concatenate([each.groups for each in sets]),
        )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a new folder, in the format of :class:`workbench.activations.ActivationStore` (one shard)."""
        from workbench.activations.store import ActivationStore

        with ActivationStore(folder) as store:
            if store.exists:
                raise ArtifactError(f"{store.path} holds activations already: choose another folder")
            store.append(self)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], model: ModelStamp | None = None, force: bool = False
    ) -> ActivationSet:
        """Read what :meth:`save` (or a finished store) wrote, into memory.

        With ``model``, activations of another model or basis raise :class:`ArtifactError` unless ``force``.
        """
        from workbench.activations.store import ActivationStore

        store = ActivationStore(folder)
        if not store.exists:
            raise ArtifactError(f"no activations are saved in {folder}")
        if model is not None:
            m = store.manifest
            stamp = {"fingerprint": m.fingerprint, "basis": m.basis, "precision": m.precision}
            check_stamp(f"the set in {folder}", stamp, model, force)
        return store.to_set()


def check_same_kind(first: ActivationSet, other: ActivationSet, what: str) -> None:
    """Raise :class:`ArtifactError` unless both have the same model, basis, sites, widths and label columns."""
    for name, one, two in (
        ("fingerprint", first.fingerprint, other.fingerprint),
        ("basis", first.basis, other.basis),
        ("precision", first.precision, other.precision),
        ("sites", _widths(first), _widths(other)),
        ("label columns", list(first.labels), list(other.labels)),
    ):
        if one != two:
            raise ArtifactError(f"{what}: {name} {one} and {two}")


def row_numbers(rows: Rows, n_rows: int) -> np.ndarray:
    """``rows`` as non-negative row numbers; :class:`DataError` for a row that does not exist."""
    if isinstance(rows, slice):
        return np.arange(n_rows)[rows].copy()  # torch takes no negative strides
    chosen = np.atleast_1d(as_array(rows, "rows"))
    if chosen.dtype == bool:
        if chosen.shape != (n_rows,):
            raise DataError(f"a mask of {len(chosen)} entries does not fit {n_rows} rows")
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise DataError(f"rows must be a slice, row numbers or a boolean mask, not {rows!r:.60}")
    chosen = chosen.astype(np.int64)
    wrong = chosen[(chosen < -n_rows) | (chosen >= n_rows)]
    if len(wrong):
        raise DataError(f"row {wrong[0]} does not exist: there are {n_rows} rows")
    return chosen % max(n_rows, 1)


def label_table(labels: pd.DataFrame | Mapping[str, Any], n_rows: int) -> pd.DataFrame:
    """Labels as a table of ``n_rows`` lines numbered from 0; :class:`DataError` when they are none."""
    columns = labels if isinstance(labels, pd.DataFrame) else mapping(labels, "labels")
    empty = not len(labels.columns) if isinstance(labels, pd.DataFrame) else not columns
    with refused("labels are not a table"):
        table = pd.DataFrame(index=range(n_rows)) if empty else pd.DataFrame(columns).reset_index(drop=True)
    if len(table) != n_rows:
        raise DataError(f"{len(table)} labels for {n_rows} rows: give one line a row")
    return table


def group_values(groups: Any, labels: pd.DataFrame, n_rows: int) -> np.ndarray:
    """One group a row, from a label column or values (None: each row is its own)."""
    if groups is None:
        return np.arange(n_rows)
    if isinstance(groups, str):
        if groups not in labels:
            raise DataError(f"labels have no column {groups!r} to group by{did_you_mean(groups, map(str, labels))}")
        groups = labels[groups]
    with refused("groups"):
        values = pd.Series(as_array(groups, "groups"))
    if len(values) != n_rows:
        raise DataError(f"{len(values)} groups for {n_rows} rows: give one a row")
    if values.isna().any():
        raise DataError(f"row {int(values.isna().argmax())} has no group: every row needs one")
    return values.to_numpy()


def _tensor(site: Any, values: Any) -> Tensor:
    """Activations of a site as a floating-point tensor."""
    with refused(f"activations of {site}"):
        found = (values if isinstance(values, Tensor) else torch.from_numpy(real_array(values, "they"))).detach()
        if found.is_complex() or found.is_meta or found.layout != torch.strided:
            raise DataError(f"activations of {site} must be real numbers in memory, not {shown(values)}")
    return found


def _check_finite(site: Site, activation: Tensor, labels: pd.DataFrame) -> None:
    if activation.isfinite().all():
        return
    row = int((~activation.isfinite()).any(1).nonzero()[0])
    where = ", ".join(f"{name} {labels[name].iloc[row]}" for name in ("input", "position") if name in labels)
    dtype = str(activation.dtype).removeprefix("torch.")
    raise DataError(f"activations of {site} are not finite at row {row}{where and f' ({where})'}, in {dtype}")


def _widths(some: ActivationSet) -> str:
    return ", ".join(f"{site}: {activation.shape[1]}" for site, activation in some.activations.items())
