"""Names of experiments, runs, steps, artifacts and figures: file names that cannot leave their folder."""

from __future__ import annotations

import re

from workbench.arguments import shown
from workbench.errors import RunError

# Portable: no separator, no leading dash, and no leading dot (hidden files and our temporary ones).
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,=+@-]*")
_LONGEST = 150


def check_name(name: str, what: str) -> str:
    """Return ``name`` if it is safe as a file name, else raise :class:`RunError`; ``what`` says what it names.

    >>> check_name("layer=3,multiplier=-2.0", "step")
    'layer=3,multiplier=-2.0'
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name) and ".." not in name and len(name) <= _LONGEST):
        given = repr(name[:80]) if isinstance(name, str) else shown(name)
        raise RunError(
            f"{what} name {given} cannot be a file name: use letters, digits and _.,=+@- only, start with "
            f"a letter, digit or _, write no '..', and stay within {_LONGEST} characters"
        )
    return name
