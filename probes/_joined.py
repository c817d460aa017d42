"""An activation set or store as what a probe is fitted on: X at a site, y from a label column, the set's groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped

from workbench.activations import ActivationSet, ActivationStore
from workbench.arguments import to_numpy
from workbench.errors import DataError, SpecError, check_known, did_you_mean
from workbench.labels import label_array, used_rows
from workbench.models.fingerprint import check_stamp
from workbench.sites import Site


@dataclass(frozen=True)
class Joined:
    """The rows of a set that have a label, and anything else that is said of them."""

    source: ActivationSet | ActivationStore
    site: Site | str | int
    target: str
    X: Float[np.ndarray, "rows d"]
    y: Shaped[np.ndarray, " rows"]
    groups: Shaped[np.ndarray, " rows"]
    rows: Int[np.ndarray, " rows"]

    @classmethod
    def of(cls, source: ActivationSet | ActivationStore, y: Any, groups: Any, site: Any, target: str | None) -> Joined:
        """Read it; :class:`SpecError` where the site or the target is not said, or y or groups are."""
        if y is not None or groups is not None:
            raise SpecError("y and groups are those of the activation set: give site= and target= alone")
        if target is None:
            raise SpecError(f"target= is needed: one of the labels {', '.join(map(str, source.labels))}")
        if site is None and len(source.sites) > 1:
            raise SpecError(f"site= is needed: one of {', '.join(map(str, source.sites))}")
        site = source.sites[0] if site is None else site
        X, labels, group_of = source.xy(site, target)
        rows = np.flatnonzero(used_rows(source.labels, target))
        return cls(source, site, target, X, labels, group_of, rows)

    def alongside(self, other: ActivationSet | ActivationStore) -> Joined:
        """The same of another set of the same model, read at the same site."""
        own: Any
        own, stamp = (getattr(each, "manifest", each) for each in (self.source, other))
        known = {name: getattr(stamp, name) for name in ("fingerprint", "basis", "precision")}
        if own.fingerprint is not None:
            check_stamp("the set of test=", known, own, advice="a probe is of one model")
        return Joined.of(other, None, None, self.site, self.target)

    def rows_of(self, values: Any) -> Any:
        """Values of all rows of the set, or its label column of that name, for the rows that are used."""
        if values is None or isinstance(values, int | np.integer):
            return values
        if isinstance(values, str):
            table = self.source.labels
            if values not in table:
                raise DataError(f"labels have no column {values!r}{did_you_mean(values, map(str, table))}")
            values = table[values]
        array = np.asarray(to_numpy(values))
        if array.ndim < 1 or len(array) != len(self.source):
            raise DataError(f"values of shape {list(array.shape)} for {len(self.source)} rows of the set: one a row")
        return array[self.rows]

    def features(self, values: Any) -> Any:
        """Other features of the same rows, from an array or from another set, read at the same site."""
        if not hasattr(values, "xy"):
            return self.rows_of(values)
        check_known(self.target, map(str, values.labels), "label of a control", DataError)
        table = values.labels[self.target]
        if len(table) != len(self.source) or not np.array_equal(
            label_array(table.iloc[self.rows], self.target), self.y
        ):
            raise DataError(f"the set of a control has other labels {self.target!r} than the one that is probed")
        return values.read(self.site, self.rows).to("cpu", torch.float32).numpy()
