"""Model cards: what a shipped model is, how it was made, and how good it was measured to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import DataError
from workbench.files import write_bytes


def write_card(folder: Path, text: str, facts: dict[str, Any], quality: pd.DataFrame, rows: Sequence[str]) -> Path:
    """Write ``README.md`` (the card) and ``quality.json`` into a model's folder.

    ``text`` has places ``{facts}`` and ``{quality}`` for the two tables, and may name any of the facts.  ``quality``:
    one row a measure with ``estimate, low, high`` (NaN bounds: not shown) and the columns ``rows``, which name its
    lines; the other columns of the table are the measures.  Raises :class:`DataError` when a line has a measure twice.
    """
    twice = quality.duplicated([*rows, "measure"])
    if twice.any():
        raise DataError(f"quality has two values of {quality['measure'][twice].iloc[0]!r} in one line: name more rows")
    measures, keys = list(dict.fromkeys(quality["measure"])), list(rows)
    lines = ["| " + " | ".join([*keys, *measures]) + " |", "|---" * (len(keys) + len(measures)) + "|"]
    for names, part in quality.groupby(keys, sort=False, dropna=False):
        cells = part.set_index("measure")
        shown = [_cell(cells.loc[m]) if m in cells.index else "" for m in measures]
        lines.append("| " + " | ".join([*map(str, names), *shown]) + " |")
    table = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    card = text.format(facts=table, quality="\n".join(lines), **facts)
    write_bytes(folder / "README.md", card.encode())
    write_bytes(folder / "quality.json", quality.to_json(orient="records", indent=1).encode())
    return folder / "README.md"


def _cell(row: pd.Series[Any]) -> str:
    text = f"{row['estimate']:.3g}"
    return text if row.isna().get("low", True) else f"{text} [{row['low']:.3g}, {row['high']:.3g}]"
