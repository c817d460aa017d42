"""Tables as the command line prints them: plain ones, and the claims of a paper with what held here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from rich.text import Text


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


def text_table(title: str, frame: pd.DataFrame) -> Table:
    """A frame of text and numbers as it is; columns of numbers are right-aligned."""
    numbers = [str(name) for name in frame if frame[name].dtype.kind in "iuf"]
    table = new_table(title, *map(str, frame.columns), numbers="|".join(numbers))
    for row in frame.itertuples(index=False):
        table.add_row(*(as_text(cell) for cell in row))
    return table


def claims_table(claims: pd.DataFrame) -> Table:
    """The claims of a run (:func:`workbench.families.claims.read_claims`) and what held, in the paper's order."""
    held, several = int(claims["held"].sum()), bool((claims["on"] != "").any())
    columns = ["claim", *(["on"] if several else []), "", "evidence"]
    table = new_table(f"claims of the paper: {held} of {len(claims)} held", *columns)
    place = {name: i for i, name in enumerate(claims["claim"].unique())}
    for row in claims.sort_values("claim", key=lambda names: names.map(place), kind="stable").itertuples():
        verdict = "[green]held[/green]" if row.held else "[red]not held[/red]"
        on = [as_text(row.on)] if several else []
        table.add_row(as_text(row.claim), *on, verdict, as_text(row.evidence))
    return table


def as_text(cell: Any) -> Text:
    """Text whose brackets are no markup."""
    from rich.text import Text

    return Text(str(cell))
