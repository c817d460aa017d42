"""Tables as the command line prints them: plain ones, and the claims of a paper with what held here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["new_table", "orderings_table"]


def new_table(title: str, *columns: str, numbers: str = "") -> Table:
    """A table; columns whose names ``numbers`` holds (separated by ``|``) are right-aligned."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True)
    table.min_width = len(title)
    right = numbers.split("|")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def orderings_table(orderings: pd.DataFrame) -> Any:
    """A rich table of ``ordering, held, evidence`` and, where there are several, ``rendering``."""
    from rich.text import Text

    held, several = int(orderings["held"].sum()), "rendering" in orderings
    columns = ["ordering", *(["on"] if several else []), "", "evidence"]
    table = new_table(f"orderings of the paper: {held} of {len(orderings)} held", *columns)
    place = {name: i for i, name in enumerate(orderings["ordering"].unique())}  # the paper's order
    for row in orderings.sort_values("ordering", key=lambda names: names.map(place), kind="stable").itertuples():
        verdict = "[green]held[/green]" if row.held else "[red]not held[/red]"
        on = [str(row.rendering)] if several else []
        table.add_row(Text(str(row.ordering)), *on, verdict, Text(str(row.evidence)))  # brackets are no markup
    return table
