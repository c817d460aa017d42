"""Names of a package that are loaded from its modules when they are first used, so that importing it stays light."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any


def lazy_exports(package: str, *own: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The ``__getattr__``, ``__dir__`` and ``__all__`` of a package that is being imported.

    Its ``__init__`` names what it offers once, in imports under ``if TYPE_CHECKING:``, where a type checker finds them.
    They are read from there, looked up when they are first used, and the package's own from then on.  ``own`` are
    further public names, which it defines itself.  An unknown name raises :class:`AttributeError`.

    >>> get, names, public = lazy_exports("workbench")
    >>> get("Site").__name__, "Site" in public
    ('Site', True)
    """
    tree = ast.parse(inspect.getsource(sys.modules[package]))
    later = [line for block in tree.body if isinstance(block, ast.If) for line in block.body]
    homes = {name.name: line.module for line in later if isinstance(line, ast.ImportFrom) for name in line.names}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(str(homes[name])), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names, sorted({*own, *homes})
