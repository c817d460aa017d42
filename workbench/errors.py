"""Errors that a user can act on.

Every mistake a user can make ends in a :class:`WorkbenchError` whose message is one line that says what was wrong,
where, and what would be right.  The command line and the app print that line and nothing else; anything that is not
a ``WorkbenchError`` is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import reprlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST = 1000  # a line that quotes what was passed may quote a book


class WorkbenchError(Exception):
    """Base of all errors caused by input; its text is one line meant for the user."""

    def __init__(self, line: str = "") -> None:
        line = " ".join(str(line).splitlines())
        super().__init__(line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}...")


class SiteError(WorkbenchError, ValueError):
    """A site that cannot be read, or that a model does not have."""


class SpecError(WorkbenchError, ValueError):
    """A specification or option with an unusable value."""


class ModelError(WorkbenchError):
    """A model that is missing, cannot be loaded, or cannot do what was asked of it."""


class ArtifactError(WorkbenchError):
    """An artifact (vector, probe, activation store) that is broken or belongs to another model."""


class DataError(WorkbenchError, ValueError):
    """Data that is empty, of the wrong shape, or not finite."""


class UnreadableError(DataError, TypeError):
    """Data of a type that holds no numbers; a ``TypeError`` too, as scikit-learn expects of its estimators."""


class RunError(WorkbenchError):
    """A run folder that is locked, unwritable, or belongs to another spec."""


class WorkbenchWarning(UserWarning):
    """One line that a user should read although the work goes on; given by :func:`warn`."""


class MissingExtraError(WorkbenchError, ImportError):
    """An optional dependency that is not installed; the message names the extra."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}: install it with pip install 'activation-workbench[{extra}]'"
        )


def warn(line: str) -> None:
    """Give one line as a :class:`WorkbenchWarning`; the command line prints it, once, to stderr."""
    warnings.warn(line, WorkbenchWarning, stacklevel=3)


@contextmanager
def quiet_logger(name: str) -> Iterator[None]:
    """Only errors of a library's logger are heard inside."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def extra(package: str, name: str) -> Any:
    """The module of a package that comes with the extra ``name``; :class:`MissingExtraError` without it.

    >>> extra("json", "none").loads("1")
    1
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, name) from error


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest valid name, else the list of valid names.

    >>> did_you_mean("resid_pots", ["resid_post", "resid_pre"])
    "; did you mean 'resid_post'?"
    >>> did_you_mean("zzz", ["a", "b"])
    '; valid: a, b'
    """
    names = list(valid)
    name = name if isinstance(name, str | int) or not isinstance(name, Iterable) else ""  # not a deep list
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; valid: {', '.join(names)}"


def check_known(name: Any, valid: Iterable[Any], what: str, error: type[WorkbenchError] = SpecError) -> None:
    """Raise ``error`` for a name that is not among the valid ones, with the nearest that is.

    >>> check_known("gredy", ["greedy", "random"], "oracle")
    Traceback (most recent call last):
    workbench.errors.SpecError: unknown oracle 'gredy'; did you mean 'greedy'?
    """
    valid = list(valid)
    if not isinstance(name, str | int):
        raise error(f"unknown {what} {reprlib.repr(name)} ({type(name).__name__}); valid: {', '.join(map(str, valid))}")
    if name not in valid:
        raise error(f"unknown {what} {name!r}{did_you_mean(name, valid)}")


def check_keys(given: Iterable[Any], known: Iterable[str], what: str) -> None:
    """Raise :class:`SpecError` for a key that is not known, with the nearest that is."""
    known = list(known)
    for key in given:
        if key not in known:
            raise SpecError(f"{what} has no field {str(key)!r}{did_you_mean(key, known)}")
