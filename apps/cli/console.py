"""Where output goes: results to stdout, what happens meanwhile to stderr; and keeping other libraries quiet."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["quiet", "results", "say", "show_progress"]

_WIDTH_OF_FILES = 140  # a pipe or file has no width; rich would cut tables at 80


def results() -> Console:
    """The console of results."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_FILES
    return Console(width=width, highlight=False)


def say(line: str) -> None:
    """One line about what is being done."""
    print(line, file=sys.stderr, flush=True)


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
