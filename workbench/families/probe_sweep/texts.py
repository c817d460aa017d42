"""The source ``texts``: a table with a column of texts, columns of labels, and maybe a column of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probes.folds import duplicate_groups
from workbench.activations import ActivationSet, GenerationPrompt, Role
from workbench.activations.sources import Source, Task, infer_task
from workbench.arguments import shown
from workbench.errors import DataError, SpecError, check_keys, did_you_mean
from workbench.families.probe_sweep.prompts import capture_prompts, read_positions, sinks_of
from workbench.models.language_model import LanguageModel
from workbench.sites import Site

_OPTIONS = ("kind", "path", "text", "group", "sinks")


def _check(options: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Task]:
    for name, value in positions.items():
        if isinstance(read_positions(value, name)[0], Role | GenerationPrompt):
            raise SpecError(f"position {name!r}: texts have no roles; the source chats reads lists of messages")
    sinks_of(options)
    table = read_table(options)
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
    table = read_table(options)
    texts, labels = table[options["text"]].tolist(), table.drop(columns=options["text"])
    groups = _groups(options, table, texts)
    return capture_prompts(reader, texts, sites, positions, labels, groups, progress, sinks_of(options))


def _groups(options: Mapping[str, Any], table: pd.DataFrame, texts: list[str]) -> np.ndarray:
    """Groups of the texts; where equal texts lie in two groups, these are one."""
    column = options.get("group")
    return duplicate_groups(texts, table[column].to_numpy() if column else np.arange(len(texts)))


def read_table(options: Mapping[str, Any]) -> pd.DataFrame:
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
    for number, text in enumerate(table[options["text"]], 1):
        if not isinstance(text, str):
            where = f"{options['path']}, row {number}: {options['text']} is {shown(text)}"
            raise DataError(f"{where}, no text; lists of messages are read by the source chats")
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


def _texts(options: Mapping[str, Any]) -> list[str]:
    found: list[str] = read_table(options)[options["text"]].tolist()
    return found


TEXTS = Source(_capture, _check, texts=_texts)
