"""Names of a package that are loaded from its modules when they are first used, so that importing it stays light."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_exports(
    package: str, modules: Mapping[str, Sequence[str]], packages: Mapping[str, Sequence[str]] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package: ``modules`` says which of its modules has which names, and
    ``packages`` which names are those of other packages.

    A name is looked up once and is the package's own from then on.  An unknown one raises :class:`AttributeError`.

    >>> get, names = lazy_exports("workbench", {"sites": ("Site",)})
    >>> get("Site").__name__
    'Site'
    """
    homes = {name: f"{package}.{module}" for module, names in modules.items() for name in names}
    homes |= {name: other for other, names in (packages or {}).items() for name in names}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
