"""Writes every notebook's ``.ipynb`` from its ``.py``, without outputs; with ``--check`` says which pairs differ.

The ``.py`` (jupytext's percent format) is what diffs and reviews read, the ``.ipynb`` what Jupyter opens.  Cell ids
follow from the place and the text of a cell, so the same ``.py`` gives the same bytes.  ``make notebooks`` runs this.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jupytext
import nbformat

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NOTEBOOKS", "main", "paired"]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def paired(path: Path) -> str:
    """The text of the ``.ipynb`` that belongs to the ``.py`` at ``path``."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "jupytext": {"formats": "ipynb,py:percent"}}
    for place, cell in enumerate(notebook.cells):
        cell["id"] = hashlib.sha256(f"{place} {cell.source}".encode()).hexdigest()[:12]
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook, version=4)) + "\n"


def main(arguments: Sequence[str] = ()) -> int:
    """Write the notebooks, or check them; 1 when a check finds a pair that differs."""
    stale = []
    for source in sorted(NOTEBOOKS.glob("[0-9]*.py")):
        target, text = source.with_suffix(".ipynb"), paired(source)
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        stale.append(target.name)
        if "--check" not in arguments:
            target.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"not as their .py says, or with outputs: {', '.join(stale)} (make notebooks)\n")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
