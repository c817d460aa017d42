"""The paper's orderings as a table: what was claimed, whether it held here, and the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.cli.console import new_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["orderings_table"]


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
