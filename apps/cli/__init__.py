"""The ``workbench`` command.

``main`` finds the command that the first words name; each command is one function in a module of this package and
imports what is heavy itself, so that ``workbench --help`` answers at once.
"""

from __future__ import annotations

from apps.cli.main import main

__all__ = ["main"]
