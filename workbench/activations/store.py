"""``ActivationStore``: activations on disk, written piece by piece, read without loading them all.

A store is a folder with ``manifest.json`` and, for each shard, ``shards/000000.safetensors`` (one tensor a site) and
``shards/000000.parquet`` (labels and groups).  Files appear whole, the manifest last, so a writer killed at any moment
leaves a readable store that lacks at most the shard in hand.  Reading maps the files and touches only what is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from workbench.activations.activation_set import ActivationSet, Rows, row_numbers
from workbench.activations.manifest import MANIFEST, Manifest, Shard
from workbench.arguments import a_path
from workbench.errors import ArtifactError, DataError, SiteError, did_you_mean
from workbench.files import disk_errors, make_folder, remove_temporaries, replacing, write_bytes
from workbench.labels import labelled_rows
from workbench.locks import Lock
from workbench.sites import Site, SiteMap
from workbench.tables import frame_bytes, read_frames

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
            table = read_frames([self._file(number, "parquet")], ArtifactError)
            yield self._set(self._tensors(number, list(self.manifest.sites)), table)

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
        return ActivationSet(SiteMap(tensors, m.n_layers), labels, groups, m.fingerprint, m.basis, m.model)

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
        from safetensors import SafetensorError, safe_open

        path = self._file(number, "safetensors")
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{path} is missing or broken: {error}") from error
        rows = self.manifest.shards[number].rows
        if any(len(tensor) != rows for tensor in tensors.values()):
            raise ArtifactError(f"{path} does not hold the {rows} rows that the manifest gives it")
        return tensors

    def _table(self) -> pd.DataFrame:
        shards = self.manifest.shards
        # A table without rows knows no types: it counts only when there is no other.
        numbers = [number for number, shard in enumerate(shards) if shard.rows] or list(range(len(shards)))[:1]
        paths = [self._file(number, "parquet") for number in numbers]
        return read_frames(paths, ArtifactError) if paths else pd.DataFrame(columns=[_GROUP])

    def _file(self, number: int, kind: str) -> Path:
        return self.path / _SHARDS / f"{number:06d}.{kind}"

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
        self._write(some, _with_shard(self.manifest, some))

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

    def append_inputs(self, some: ActivationSet, first: int, stop: int) -> None:
        """For ``capture_to_store``: add the rows of inputs [first, stop) as one shard."""
        self._open()
        self._write(some, _with_shard(self.manifest, some, first, stop))

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

    def _write(self, some: ActivationSet, manifest: Manifest) -> None:
        from safetensors.torch import save_file

        number = len(self.manifest.shards)
        if _GROUP in some.labels:
            raise DataError(f"{_GROUP!r} cannot be the name of a label column")
        tensors = {str(site): x.cpu().contiguous() for site, x in some.activations.items()}
        table = some.labels.assign(**{_GROUP: some.groups})
        labels = frame_bytes(table, f"the labels of shard {number}")
        path = self._file(number, "safetensors")
        with replacing(path) as temporary, disk_errors(path):
            _save(save_file, tensors, temporary)
        write_bytes(self._file(number, "parquet"), labels)
        self._commit(manifest)

    def _commit(self, manifest: Manifest) -> None:
        manifest.write(self.path)
        self.manifest = manifest


def _index(numbers: np.ndarray) -> Tensor | slice:
    """An index; a slice where it can be one, which copies once instead of twice."""
    if (np.diff(numbers) == 1).all():
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return torch.from_numpy(numbers)


def _save(save_file: Any, tensors: dict[str, Tensor], path: Path) -> None:
    """``save_file`` whose errors about the disk are those of the operating system."""
    from safetensors import SafetensorError

    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(28 if "No space" in str(error) else None, str(error)) from error


def _with_shard(manifest: Manifest, some: ActivationSet, first: int = 0, stop: int = 0) -> Manifest:
    """The manifest with one more shard; :class:`ArtifactError` when its rows are not of the same kind."""
    kind = {
        "fingerprint": some.fingerprint,
        "basis": some.basis,
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
    shards = (*manifest.shards, Shard(len(some), first, stop))
    known = {"model": manifest.model or some.model, "n_layers": manifest.n_layers or some.n_layers}
    return replace(manifest, **known, **kind, shards=shards)  # type: ignore[arg-type]
