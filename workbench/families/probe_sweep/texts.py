"""The source ``texts``: a table with a column of texts, columns of labels, and maybe a column of groups.

All positions that are counted (``last``, ``-3``, ``[-3, -2, -1]``) are read in one pass a text; ``mean``, ``all``,
windows, spans and roles take one pass more each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from probes.folds import duplicate_groups
from workbench.activations import ActivationSet, Role, Span, capture
from workbench.activations.positions import Positions, check_positions
from workbench.activations.sources import Source, Task, infer_task
from workbench.errors import DataError, SpecError, check_keys, did_you_mean
from workbench.models.interventions import Window
from workbench.models.language_model import LanguageModel
from workbench.sites import Site, SiteMap

_OPTIONS = ("kind", "path", "text", "group")
_COUNTED = {"last": (-1,), "first": (0,)}
_FORMS = ("concatenate", "span", "role", "window", "occurrence", "markup")


def _check(options: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Task]:
    for name, value in positions.items():
        read_positions(value, name)
    table = _table(options)
    special = {options["text"], options.get("group")}
    return {str(name): infer_task(table[name]) for name in table if name not in special}


def _capture(
    options: Mapping[str, Any],
    *,
    model: LanguageModel,
    reader: LanguageModel,
    sites: Sequence[Site],
    positions: Mapping[str, Any],
    device: str | None = None,
    progress: bool = False,
) -> dict[str, ActivationSet]:
    table = _table(options)
    texts = table[options["text"]].tolist()
    rows = {"labels": table.drop(columns=options["text"]), "groups": _groups(options, table, texts)}

    def read(where: Positions) -> ActivationSet:
        return capture(reader, texts, sites, where, progress=progress, **rows)

    forms = {name: read_positions(value, name) for name, value in positions.items()}
    counted = {name: (form, joined) for name, (form, joined) in forms.items() if isinstance(form, tuple)}
    found = {name: read(form) for name, (form, _) in forms.items() if name not in counted}
    if counted:
        every = tuple(dict.fromkeys(index for indices, _ in counted.values() for index in indices))
        together = read(every)
        for name, (indices, joined) in counted.items():
            found[name] = _pick(together, [every.index(index) for index in indices], len(every), joined)
    return {name: found[name] for name in positions}


def _groups(options: Mapping[str, Any], table: pd.DataFrame, texts: list[str]) -> np.ndarray:
    """Groups of the texts; where equal texts lie in two groups, these are one."""
    column = options.get("group")
    return duplicate_groups(texts, table[column].to_numpy() if column else np.arange(len(texts)))


def _pick(rows: ActivationSet, places: Sequence[int], each: int, joined: bool) -> ActivationSet:
    """The rows of some of the ``each`` positions of every text; ``joined``: side by side in one row a text."""
    starts = np.arange(0, len(rows), each)
    if not joined:
        return rows.select((starts[:, None] + np.asarray(places)).ravel())
    first = rows.select(starts + places[0])
    wide = {site: torch.cat([rows.select(starts + place)[site] for place in places], 1) for site in rows.sites}
    sites = SiteMap(wide, rows.n_layers)
    return ActivationSet(sites, first.labels, first.groups, rows.fingerprint, rows.basis, rows.model, rows.precision)


def read_positions(value: Any, name: str) -> tuple[Positions, bool]:
    """Positions as a sweep file writes them, and whether several make one row; :class:`SpecError` when they are none.

    >>> read_positions("last", "p"), read_positions({"concatenate": [-2, -1]}, "p")
    (((-1,), False), ((-2, -1), True))
    >>> read_positions({"span": "red"}, "p")
    (Span(text='red', occurrence=None), False)
    """
    if isinstance(value, str) and value in _COUNTED:
        return _COUNTED[value], False
    try:
        if isinstance(value, Mapping):
            return _from_fields(dict(value))
        return check_positions(value), False
    except (SpecError, TypeError, ValueError) as error:
        raise SpecError(f"position {name!r}: {error}") from None


def _from_fields(value: dict[str, Any]) -> tuple[Positions, bool]:
    check_keys(value, _FORMS, "it")
    if "concatenate" in value:
        found = check_positions(value["concatenate"])
        if not isinstance(found, tuple):
            raise SpecError("concatenate needs a list of positions, such as [-3, -2, -1]")
        return found, True
    if "window" in value:
        return Window(*value["window"]), False
    if "span" in value:
        return Span(str(value["span"]), value.get("occurrence")), False
    if "role" in value:
        return Role(str(value["role"]), value.get("occurrence"), bool(value.get("markup", False))), False
    raise SpecError("give one of concatenate, window, span, role")


def _table(options: Mapping[str, Any]) -> pd.DataFrame:
    """The table that ``path`` names, without lines that have no text."""
    check_keys(options, _OPTIONS, "source texts")
    for needed in ("path", "text"):
        if needed not in options:
            raise SpecError(f"source texts needs {needed!r}: {'a CSV, Parquet or JSONL file' * (needed == 'path')}")
    table = _read(Path(options["path"]), str(options["text"]))
    for field in ("text", "group"):
        column = options.get(field)
        if column is not None and column not in table:
            raise SpecError(f"source: {field} names no column {column!r}{did_you_mean(column, map(str, table))}")
        if column is not None and (not len(table) or table[column].isna().any()):
            raise DataError(
                f"{options['path']} has no lines, or lines without a value in its {field} column {column!r}"
            )
    return table


def _read(path: Path, text: str) -> pd.DataFrame:
    readers: dict[str, Any] = {
        ".csv": partial(_csv, text=text),
        ".parquet": pd.read_parquet,
        ".jsonl": partial(pd.read_json, lines=True, dtype=False),
    }
    if path.suffix not in readers:
        raise SpecError(f"source: {path.name} is not a table that can be read: {', '.join(readers)}")
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError) as error:
        raise SpecError(f"source: cannot read {path}: {' '.join(str(error).split())[:200]}") from None


def _csv(path: Path, text: str) -> pd.DataFrame:
    """A CSV file in which text stays what it says (None, NA); in columns of numbers such words are missing values."""
    table, told = pd.read_csv(path), pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={text: str})
    for name in table:
        values = table[name].dropna()
        if name == text or values.empty or pd.api.types.infer_dtype(values) == "string":
            table[name] = told[name]
    return table


TEXTS = Source(_capture, _check)
