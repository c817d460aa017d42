"""The result of a conformance check."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from workbench.errors import WorkbenchWarning


@dataclass(frozen=True)
class Row:
    """One check: the worst ``difference`` found and the ``tolerance`` it is held to; ``note`` says what broke, or what
    was not tried."""

    check: str
    difference: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the difference is within the tolerance (a NaN is not)."""
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class Report:
    """What :func:`check_backend` found; ``str(report)`` is a table."""

    title: str
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every check held."""
        return all(row.ok for row in self.rows)

    def __str__(self) -> str:
        width = max(len(row.check) for row in self.rows)
        lines = [self.title, f"{'check':{width}}  {'difference':>10}  {'tolerance':>9}"]
        for row in self.rows:
            verdict = "ok" if row.ok else "FAILED"
            line = f"{row.check:{width}}  {row.difference:10.2g}  {row.tolerance:9.2g}  {verdict}  {row.note}"
            lines.append(line.rstrip())
        return "\n".join(lines)


class Check(NamedTuple):
    """A check that is still to be run: ``measure`` finds the worst difference."""

    name: str
    measure: Callable[[], float]
    tolerance: float
    note: str = ""


def run_all(checks: Iterable[Check]) -> tuple[Row, ...]:
    """Run each check.  One that raises has failed; a warning that it gives is its note.

    >>> run_all([Check("one", lambda: 0.5, 1.0), Check("other", lambda: 1 / 0, 1.0)])[1].note
    'ZeroDivisionError: division by zero'
    """
    return tuple(_run(check) for check in checks)


def failed(name: str, error: Exception, tolerance: float = 0.0) -> Row:
    """The row of a check that cannot run."""
    reason = next(iter(str(error).splitlines()), "")
    return Row(name, float("inf"), tolerance, f"{type(error).__name__}: {reason}")


def _run(check: Check) -> Row:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WorkbenchWarning)
        try:
            row = Row(check.name, float(check.measure()), check.tolerance, check.note)
        except Exception as error:  # whatever it is
            row = failed(check.name, error, check.tolerance)
    said = [str(each.message) for each in caught if issubclass(each.category, WorkbenchWarning)]
    return replace(row, note="; ".join(filter(None, [row.note, *dict.fromkeys(said)])))
