"""What packages bring: objects found in the folders of a package and in the entry points of others.

A family or a world is a folder whose ``__init__`` says what it is: a new one is a new folder and no edit of a caller.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, TypeVar

_LOG = logging.getLogger(__name__)
T = TypeVar("T")


def discover(package: str, attribute: str, kind: type[T], group: str = "") -> dict[str, T]:
    """The objects of ``kind`` that the subpackages of ``package`` list under ``attribute``, by their ``name``.

    Args:
        package: dotted name of a package; its direct subpackages are imported.
        attribute: what a subpackage calls its object of ``kind``, or tuple of them; one without it is left out.
        kind: a class whose instances have a ``name``.
        group: entry points of this group are read as well; each names such an object or tuple in another package.

    Returns:
        ``{name: object}``, built-in ones first.  What another package brings and cannot be loaded, or has a name that
        is taken, is logged as a warning and left out: it must not take the rest with it.
    """
    found: dict[str, T] = {}
    for module in _subpackages(package):
        found |= {each.name: each for each in _several(getattr(module, attribute, ()), kind)}  # type: ignore[attr-defined]
    for point in entry_points(group=group) if group else ():
        try:
            brought = {each.name: each for each in _several(point.load(), kind)}  # type: ignore[attr-defined]
        except Exception as error:  # another package's mistake, of whatever kind
            _LOG.warning("%s %r cannot be loaded: %s: %s", group, point.name, type(error).__name__, error)
            continue
        for name in sorted(found.keys() & brought.keys()):
            _LOG.warning("%s %r brings %r, which exists already: it is left out", group, point.name, name)
        found |= {name: each for name, each in brought.items() if name not in found}
    return found


def _subpackages(package: str) -> Iterator[Any]:
    root = importlib.import_module(package)
    for info in pkgutil.iter_modules(root.__path__):
        if info.ispkg:
            yield importlib.import_module(f"{package}.{info.name}")


def _several(value: Any, kind: type[T]) -> tuple[T, ...]:
    several = value if isinstance(value, tuple | list) else (value,)
    for each in several:
        if not isinstance(each, kind):
            raise TypeError(f"expected {kind.__name__}, got {type(each).__name__}")
    return tuple(several)


def lazily(package: str, where: str) -> Callable[..., Any]:
    """A function ``module:name`` of a package that is imported when it is first called.

    >>> parse = lazily("workbench", "sites:parse_sites")
    >>> parse("2", 4)
    (Site(layer=2, component='resid_post'),)
    """
    found = attribute(package, where)

    def call(*args: Any, **named: Any) -> Any:
        return found()(*args, **named)

    call.__name__ = call.__qualname__ = where.partition(":")[2]
    call.__doc__ = f"``{where}`` of {package}, imported when called."
    return call


def attribute(package: str, where: str) -> Callable[[], Any]:
    """A function that gives what ``module:name`` of a package is, imported when it is first called.

    >>> attribute("workbench", "sites:Site")().__name__
    'Site'
    """
    return lambda: pkgutil.resolve_name(f"{package}.{where}")


def functions_in(package: str, names: str, **homes: str) -> dict[str, Any]:
    """Functions of a package's modules by what they are for: each word of ``names`` is a module with a function of that
    name, ``homes`` say ``module:function``.

    >>> functions_in("workbench", "", parse="sites:parse_sites")["parse"]("2", 4)
    (Site(layer=2, component='resid_post'),)
    """
    where = {name: f"{name}:{name}" for name in names.split()} | homes
    return {name: lazily(package, place) for name, place in where.items()}
