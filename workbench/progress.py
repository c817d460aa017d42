"""Progress bars for long work; nothing is drawn unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, show: bool, what: str) -> Iterator[Callable[[int], object]]:
    """Yield a function that advances a bar by a number of finished pieces (and does nothing when not ``show``)."""
    if not show:
        yield lambda _pieces: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda pieces: progress.advance(task, pieces)
