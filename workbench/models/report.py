"""The result of a conformance check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One check: the worst ``difference`` found and the ``tolerance`` it is held to; ``note`` says what broke."""

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
