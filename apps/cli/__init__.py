"""The ``workbench`` command.

A command is a function whose arguments tyro makes options of; those of ``run`` come from the families that are found.
Each imports what is heavy itself, so that ``workbench --help`` answers at once.
"""

from __future__ import annotations

from apps.cli.main import main

__all__ = ["main"]
