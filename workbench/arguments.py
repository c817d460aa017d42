"""What callers hand in, checked and made plain: numbers, flags, texts, paths and arrays, whatever library they are of.

Each function names the argument (``what``) and says in one line what was passed and what is expected.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Number, Real
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from workbench.errors import DataError, SpecError, UnreadableError, WorkbenchError

if TYPE_CHECKING:
    from jaxtyping import Shaped

T = TypeVar("T")
# What conversions raise of values that they cannot read; NotImplementedError and RecursionError are RuntimeErrors.
UNREADABLE = (TypeError, ValueError, RuntimeError, OverflowError)
# What can be iterated over and is no list: texts, and what has no order of its own.
NO_LISTS = (str, bytes, bytearray, memoryview, Mapping, set, frozenset)
_LONGEST_NAME = 255  # bytes of a file's name
_WIDTH, _WHOLE = 40, 400  # characters of a value that are shown, and of a library's refusal


def shown(value: object) -> str:
    """A value and its type, short enough for a line; of an array or table its shape.

    >>> shown("a"), shown(np.ones((2, 3)))
    ("'a' (str)", 'ndarray [2, 3]')
    """
    if isinstance(getattr(value, "shape", None), tuple) and value.shape:  # type: ignore[attr-defined]
        return f"{type(value).__name__} {list(value.shape)}"  # type: ignore[attr-defined]
    try:
        text = " ".join((repr(value) if len(str(value)) <= _WIDTH else reprlib.repr(value)).split())
    except Exception:  # a value whose repr fails, or that is nested too deeply
        return f"a {type(value).__name__}"
    return f"{text if len(text) <= _WIDTH else text[: _WIDTH - 3] + '...'} ({type(value).__name__})"


def integer(value: Any, what: str, least: int | None = None, most: int | None = None) -> int:
    """An integer of any library, from ``least`` to ``most``; truth values and fractions are none.

    >>> integer(np.int64(3), "n", least=1)
    3
    """
    truth = isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
    try:
        found = index(value) if not truth else None
    except UNREADABLE:
        found = None
    if found is None or (least is not None and found < least) or (most is not None and found > most):
        bound = "" if least is None else f" of at least {least}"
        bound += "" if most is None else f" and at most {most}"
        raise SpecError(f"{what} must be an integer{bound}, not {shown(value)}")
    return found


def number(value: Any, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite real number of any library within [low, high]; texts and truth values are none.

    >>> number(np.float32(0.5), "share", 0, 1)
    0.5
    """
    try:
        found = float(value) if isinstance(value, Real) or hasattr(value, "ndim") else math.nan
    except UNREADABLE:
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found) or not low <= found <= high:
        if low > -math.inf and high < math.inf:
            bound = f" from {low:g} to {high:g}"
        else:
            bound = f" of at least {low:g}" if low > -math.inf else ""
        raise SpecError(f"{what} must be a finite number{bound}, not {shown(value)}")
    return found


def flag(value: Any, what: str) -> bool:
    """A truth value.

    >>> flag(np.True_, "paired")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise SpecError(f"{what} must be True or False, not {shown(value)}")
    return bool(value)


def text(value: Any, what: str) -> str:
    """A text, of characters that can be written."""
    try:
        if isinstance(value, str) and value.encode("utf-8") is not None:
            return value
    except UnicodeEncodeError:
        pass
    raise DataError(f"{what} must be a text, not {shown(value)}")


def a_path(value: Any, what: str = "a path") -> Path:
    """A path from a text or path; ``~`` is the home folder.

    >>> str(a_path("runs/mine"))
    'runs/mine'
    """
    try:
        name = os.fspath(value)
        longest = max(map(len, os.fsencode(name).split(os.sep.encode())))
    except (TypeError, ValueError):
        name, longest = b"", 0
    if not isinstance(name, str) or not name or "\0" in name or longest > _LONGEST_NAME:
        raise DataError(f"{what} must be the name of a file or folder, not {shown(value)}")
    return Path(name).expanduser()


def one_of(value: Any, kind: type[T] | tuple[type[T], ...], what: str) -> T:
    """A value of a class of ours (or several)."""
    if not isinstance(value, kind):
        names = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        raise DataError(f"{what} must be a {names}, not {shown(value)}")
    return value


def to_numpy(values: Any) -> Any:
    """A tensor as a NumPy array on the CPU (half precision as float32: NumPy has no bfloat16); all else as it is."""
    if not hasattr(values, "detach"):
        return values
    with refused("a tensor cannot be read"):
        values = values.detach().cpu()
        return (values.float() if str(values.dtype) in ("torch.float16", "torch.bfloat16") else values).numpy()


def as_array(values: Any, what: str) -> Shaped[np.ndarray, "..."]:
    """What NumPy makes of a list, an array, a tensor or a Series; :class:`DataError` where it can make nothing."""
    with refused(f"{what} cannot be read as an array"):
        return np.asarray(to_numpy(values))


def real_array(values: Any, what: str) -> Shaped[np.ndarray, "..."]:
    """Real numbers as an array of their own type; :class:`DataError` for text, complex numbers, objects, None.

    >>> real_array([1, 2.5], "values").tolist()
    [1.0, 2.5]
    """
    array = as_array(values, what)
    if array.dtype.kind == "O" and all(isinstance(x, Number) and not isinstance(x, complex) for x in array.flat):
        with refused(f"{what} must be numbers"):
            array = array.astype(np.float64)  # Decimals, a Series that could hold NA
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what} must be numbers, not {shown(values) if array.ndim == 0 else array.dtype}")
    return array


def listed(values: Any, what: str, hint: str = "", kind: str = "a list") -> list[Any]:
    """The entries of a list (tuple, range, generator, array, tensor, Series).

    A text, bytes, dict, set (which has no order) or table (whose entries are names of columns) is none.
    Errors say that ``kind`` is expected, and end with ``hint``.

    >>> listed(range(1, 3), "steps")
    [1, 2]
    """
    single = isinstance(values, NO_LISTS) or getattr(values, "ndim", 1) == 0 or hasattr(values, "columns")
    try:
        if not single and isinstance(values, Iterable):
            return list(values)
    except UNREADABLE:  # a meta tensor, a generator that fails
        pass
    raise DataError(f"{what} must be {kind}, not {shown(values)}{hint}")


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A dict (None: an empty one)."""
    if value is not None and not isinstance(value, Mapping):
        raise DataError(f"{what} must be a dict, not {shown(value)}")
    return dict(value or {})


@contextmanager
def refused(what: str) -> Iterator[None]:
    """What a library refuses inside becomes a :class:`DataError` of one line that begins with ``what``."""
    try:
        yield
    except WorkbenchError:
        raise
    except UNREADABLE as error:
        kind = UnreadableError if isinstance(error, TypeError) else DataError
        raise kind(f"{what}: {' '.join(str(error).split())[:_WHOLE] or type(error).__name__}") from error
