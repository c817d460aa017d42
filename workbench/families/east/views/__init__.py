"""EAST in the explorer: figures, words, and what the agent said steered beside unsteered."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.families import Table, View
from workbench.families.east.views.transcripts import transcripts
from workbench.figures.record import Record, Tables
from workbench.figures.style import words

__all__ = ["views"]


def views() -> tuple[View, ...]:
    """The tabs beside the claims."""
    return (
        View("Figures", figures=("",)),
        View("Words", figures=("words-",), tables=_words),
        View("Transcripts", draw=transcripts),
    )


def _words(record: Record) -> Iterator[Table]:
    """All words; the figure shows those that change most."""
    table = Tables(record).table("words")
    for rendering, part in table.groupby("rendering", sort=False) if table is not None else ():
        shown = part.drop(columns="rendering").sort_values("ratio", ascending=False)
        yield Table(
            f"All words, {words(str(rendering))}", shown,
            "Counts in thoughts with EAST and without; ratio of their relative frequencies.",
        )  # fmt: skip
