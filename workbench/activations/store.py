"""``ActivationStore``: activations on disk, written piece by piece, read without loading them all.

A store is a folder with ``manifest.json`` and, for each shard, ``shards/000000.safetensors`` (one tensor a site) and
``shards/000000.parquet`` (labels and groups).  Files appear whole, the manifest last, so a writer killed at any moment
leaves a readable store that lacks at most the shard in hand.  Reading maps the files and touches only what is asked;
what is touched for the first time is compared with its checksum.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from workbench.activations.activation_set import ActivationSet, Rows, row_numbers
from workbench.activations.manifest import MANIFEST, Manifest
from workbench.activations.shards import ShardFiles
from workbench.arguments import a_path
from workbench.errors import ArtifactError, DataError, SiteError, did_you_mean
from workbench.files import make_folder, remove_temporaries
from workbench.labels import labelled_rows
from workbench.locks import Lock
from workbench.models.memory import memory_errors
from workbench.sites import Site, SiteMap
from workbench.tables import read_frames

_SHARDS, _LOCK, _GROUP = "shards", ".lock", "__group__"


class ActivationStore:
    """A folder of activations; one that does not exist yet is empty and is made by the first ``append``.

    Writing takes a lock that is held until ``close`` (or the end of the ``with`` block); a second writer gets a
    :class:`RunError`.  Readers need no lock and see the shards that were there when the store was opened.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ActivationStore(folder) as store:
    ...         for step in range(3):
    ...             store.append(ActivationSet({Site(1): torch.full((2, 4), float(step))}, {"step": [step, step]}))
    ...     len(store), store.read("1.resid_post", rows=[5, 0])[:, 0], store.labels["step"].tolist()
    (6, tensor([2., 0.]), [0, 0, 1, 1, 2, 2])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = a_path(path, "a store")
        self.manifest = Manifest.read(self.path)
        self._lock = Lock(self.path / _LOCK)
        self._checked: dict[int, set[str]] = {}  # tensors that were compared with their checksums, by shard

    # ---- what is there

    @property
    def exists(self) -> bool:
        """Whether anything was ever written."""
        return (self.path / MANIFEST).exists()

    def __len__(self) -> int:
        return sum(shard.rows for shard in self.manifest.shards)

    def __repr__(self) -> str:
        sites = ", ".join(f"{name}: {kind['d']}" for name, kind in self.manifest.sites.items())
        return f"ActivationStore({str(self.path)!r}, {len(self)} rows in {len(self.manifest.shards)} shards, {sites})"

    @property
    def sites(self) -> tuple[Site, ...]:
        """The captured sites, in the order asked for."""
        return tuple(map(Site.parse, self.manifest.sites))

    @property
    def labels(self) -> pd.DataFrame:
        """The labels of all rows (read anew each time)."""
        return self._table().drop(columns=_GROUP, errors="ignore")

    @property
    def groups(self) -> np.ndarray:
        """The group of every row."""
        return self._table()[_GROUP].to_numpy()

    # ---- reading

    def read(self, site: Site | str | int, rows: Rows | None = None) -> Float[Tensor, "rows d"]:
        """Activations of a site: all rows, a slice, row numbers in any order, or a boolean mask."""
        name = str(Site.parse(site).resolve(self.manifest.n_layers))
        if name not in self.manifest.sites:
            raise SiteError(f"{name} is not in {self.path}{did_you_mean(name, self.manifest.sites)}")
        chosen = row_numbers(slice(None) if rows is None else rows, len(self))
        kind = self.manifest.sites[name]
        too_much = f"{len(chosen):,} rows of {name} do not fit: read some rows, or go through the store shard by shard"
        with memory_errors(too_much, ArtifactError):
            result = torch.empty((len(chosen), kind["d"]), dtype=getattr(torch, kind["dtype"]))
        for number, places, local in self._by_shard(chosen):
            result[places] = self._tensors(number, [name])[name][local]
        return result

    def xy(
        self, site: Site | str | int, target: str
    ) -> tuple[Float[np.ndarray, "rows d"], Shaped[np.ndarray, " rows"], Shaped[np.ndarray, " rows"]]:
        """As :meth:`ActivationSet.xy`; only that site is read."""
        rows, y = labelled_rows(self.labels, target)
        return self.read(site, rows).to(torch.float32).numpy(), y, self.groups[rows]

    def shards(self) -> Iterator[ActivationSet]:
        """The shards in order, each as a set whose tensors are mapped from the file."""
        for number in range(len(self.manifest.shards)):
            yield self._set(self._tensors(number, list(self.manifest.sites)), self._labels([number]))

    __iter__ = shards

    def to_set(self, rows: Rows | None = None) -> ActivationSet:
        """All rows, or some, in memory."""
        if not self.manifest.shards:
            raise DataError(f"there are no activations in {self.path}")
        table = self._table()
        if rows is not None:
            table = table.iloc[row_numbers(rows, len(self))]
        return self._set({name: self.read(name, rows) for name in self.manifest.sites}, table)

    def _set(self, tensors: Mapping[str, Tensor], table: pd.DataFrame) -> ActivationSet:
        labels, groups = table.drop(columns=_GROUP), table[_GROUP].to_numpy()
        m = self.manifest
        return ActivationSet(SiteMap(tensors, m.n_layers), labels, groups, m.fingerprint, m.basis, m.model, m.precision)

    def _by_shard(self, chosen: np.ndarray) -> Iterator[tuple[int, Tensor | slice, Tensor | slice]]:
        """(shard, places in the result, rows within the shard) of each shard that holds chosen rows."""
        ends = np.cumsum([shard.rows for shard in self.manifest.shards])
        shard_of = np.searchsorted(ends, chosen, side="right")
        order = np.argsort(shard_of, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(shard_of[order])) + 1) if len(chosen) else []:
            number = int(shard_of[places[0]])
            first = ends[number] - self.manifest.shards[number].rows
            yield number, _index(places), _index(chosen[places] - first)

    def _tensors(self, number: int, names: list[str]) -> dict[str, Tensor]:
        checked = self._checked.setdefault(number, set())
        return self._files(number).read_tensors(names, self.manifest.shards[number], checked)

    def _table(self) -> pd.DataFrame:
        shards = self.manifest.shards
        # A table without rows knows no types: it counts only when there is no other.
        return self._labels([number for number, shard in enumerate(shards) if shard.rows] or [0][: len(shards)])

    def _labels(self, numbers: list[int]) -> pd.DataFrame:
        files = [self._files(number) for number in numbers]
        for number, each in zip(numbers, files, strict=True):
            each.check_labels(self.manifest.shards[number])
        return read_frames([each.labels for each in files], ArtifactError) if files else pd.DataFrame(columns=[_GROUP])

    def _files(self, number: int) -> ShardFiles:
        return ShardFiles(self.path / _SHARDS, number)

    def broken(self) -> dict[int, str]:
        """The shards that are missing, broken or not what was written: number -> what is wrong.  It reads all files.

        The same :func:`capture_to_store` makes them anew.
        """
        found = {}
        for number, shard in enumerate(self.manifest.shards):
            try:
                self._files(number).check(list(self.manifest.sites), shard)
            except ArtifactError as error:
                found[number] = str(error)
        return found

    # ---- writing

    def append(self, some: ActivationSet) -> None:
        """Add rows as one shard; they are on disk when this returns.

        Raises :class:`ArtifactError` for activations of another model, basis, sites, dtype or label columns than those
        in the store, or when the store belongs to a :func:`capture_to_store`; :class:`RunError` when another process
        writes to it or the disk is full.
        """
        self._open()
        if self.manifest.request:
            raise ArtifactError(f"{self.path} was made by capture_to_store, which alone adds to it: take another store")
        self._write(some, len(self.manifest.shards))

    def claim(self, request: dict[str, Any], free: tuple[str, ...] = ()) -> tuple[dict[str, Any], int]:
        """For ``capture_to_store``: tie an empty store to a request, or check that it is tied to this one.

        Keys in ``free`` need not agree.  Returns the request that holds (the store's) and the number of inputs
        that are stored already.
        """
        self._open()
        if not self.manifest.request:
            if self.manifest.shards:
                raise ArtifactError(
                    f"{self.path} holds activations of another origin than capture_to_store: choose another"
                )
            self._commit(replace(self.manifest, request=request))
        old = self.manifest.request
        for key in sorted({*old, *request} - set(free)):
            if old.get(key) != request.get(key):
                raise ArtifactError(
                    f"{self.path} belongs to another capture: {key} is {old.get(key)} there and {request.get(key)} here"
                )
        return old, max((shard.stop for shard in self.manifest.shards), default=0)

    def write_inputs(self, some: ActivationSet, first: int, stop: int, number: int | None = None) -> None:
        """For ``capture_to_store``: the rows of inputs [first, stop) as one shard more, or as shard ``number`` anew."""
        self._open()
        self._write(some, len(self.manifest.shards) if number is None else number, first, stop)

    def close(self) -> None:
        """Let others write; closing twice does nothing."""
        self._lock.release()

    def __enter__(self) -> ActivationStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        """Become the writer: see what others wrote since this store was opened, remove what killed ones left behind."""
        if self._lock.held:
            return
        make_folder(self.path / _SHARDS)
        self._lock.acquire()
        try:
            self.manifest = Manifest.read(self.path)
            remove_temporaries(self.path)
        except BaseException:
            self.close()
            raise

    def _write(self, some: ActivationSet, number: int, first: int = 0, stop: int = 0) -> None:
        if _GROUP in some.labels:
            raise DataError(f"{_GROUP!r} cannot be the name of a label column")
        manifest = _of_the_kind(self.manifest, some)
        tensors = {str(site): x.cpu().contiguous() for site, x in some.activations.items()}
        shard = self._files(number).write(tensors, some.labels.assign(**{_GROUP: some.groups}), first, stop)
        self._checked.pop(number, None)
        shards = self.manifest.shards
        self._commit(replace(manifest, shards=(*shards[:number], shard, *shards[number + 1 :])))

    def _commit(self, manifest: Manifest) -> None:
        manifest.write(self.path)
        self.manifest = manifest


def _index(numbers: np.ndarray) -> Tensor | slice:
    """An index; a slice where it can be one, which copies once instead of twice."""
    if (np.diff(numbers) == 1).all():
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return torch.from_numpy(numbers)


def _of_the_kind(manifest: Manifest, some: ActivationSet) -> Manifest:
    """The manifest with what all rows have in common; :class:`ArtifactError` when these are not of the same kind."""
    kind = {
        "fingerprint": some.fingerprint,
        "basis": some.basis,
        "precision": some.precision,
        "sites": {
            str(site): {"d": x.shape[1], "dtype": str(x.dtype).removeprefix("torch.")}
            for site, x in some.activations.items()
        },
        "columns": list(map(str, some.labels.columns)),
    }
    if manifest.sites:
        for name, new in kind.items():
            old = getattr(manifest, name)
            if new != old:
                raise ArtifactError(f"these activations do not belong into this store: {name} {new}, not {old}")
        kind = {}
    known = {"model": manifest.model or some.model, "n_layers": manifest.n_layers or some.n_layers}
    return replace(manifest, **known, **kind)  # type: ignore[arg-type]
