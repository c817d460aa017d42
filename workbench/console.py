"""What commands share: options, consoles (results to stdout, what happens meanwhile to stderr), quiet libraries."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from workbench.errors import WorkbenchWarning

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_FILES = 140  # a pipe or file has no width; rich would cut tables at 80


def option(text: str, metavar: str | None = None) -> Any:
    """What ``--help`` says of an option; the second argument of ``Annotated``."""
    return tyro.conf.arg(metavar=metavar, help=text)


Runs = Annotated[Path, option("folder of runs", "DIR")]
Name = Annotated[str | None, option("of the run folder; default a hash of the spec", "NAME")]
NoProgress = Annotated[bool, option("draw no progress bars")]


def results() -> Console:
    """The console of results."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_FILES
    return Console(width=width, highlight=False)


def log(line: str) -> None:
    """One line about what is being done."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def show_progress(wanted: bool) -> bool:
    """Whether to draw progress bars: not into files and pipes."""
    return wanted and sys.stdout.isatty()


def quiet() -> None:
    """Silence the progress bars and advice of the libraries below; call before they are imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("once", category=WorkbenchWarning)
    warnings.showwarning = lambda message, *_: log(f"note: {message}")
