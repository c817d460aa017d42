"""What a run says, printed and drawn from its tables alone, as its family shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.console import log, results
from workbench.errors import WorkbenchError
from workbench.families.claims import read_claims

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from workbench.families.context import Log
    from workbench.families.family import Family
    from workbench.runs import RunRecord


def show(record: RunRecord) -> None:
    """Print what a run says and draw its figures, as a command does at its end."""
    print_report(record, results())
    draw(record, results(), log)


def print_report(record: RunRecord, out: Console) -> None:
    """Print the tables of the family's report, the claims, and where the files are."""
    from workbench.families import families
    from workbench.views.tables import claims_table, text_table

    if record.experiment in families():
        with record.reading():
            tables = list(families()[record.experiment].report(record))
        for table in tables:
            out.print(text_table(table.title, table.frame))
            out.print(*([table.caption, ""] if table.caption else []), sep="\n", markup=False)
    claims = read_claims(record)
    if claims is not None:
        out.print(claims_table(claims))
    out.print(f"tables and vectors: {record.path / 'artifacts'}", markup=False, soft_wrap=True)


def draw(record: RunRecord, out: Console, log: Log) -> None:
    """Write the figures of a run into its folder and print where they are, or say in one line why there are none."""
    from workbench.families import families

    if record.experiment not in families():
        log(f"no family {record.experiment!r} is installed that could draw figures")
        return
    log("drawing figures")
    try:
        files = _write(families()[record.experiment], record, log)
    except (WorkbenchError, OSError) as error:  # the results are written and reported: a picture must not fail them
        log(f"the figures could not be written: {error}")
        return
    kinds = {kind: sum(file.suffix == f".{kind.lower()}" for file in files) for kind in ("HTML", "PNG", "GIF")}
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count or kind != "GIF")
    out.print(f"figures: {record.path / 'figures'} ({counts})", markup=False, soft_wrap=True)


def _write(family: Family, record: RunRecord, log: Log) -> list[Path]:
    from workbench.figures.saving import save_figures
    from workbench.figures.style import drawn

    folder = record.path / "figures"
    return save_figures(drawn(family.figures(record)), folder, say=log) + family.pictures(record, folder, log)
