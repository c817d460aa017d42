"""Claims: what a paper says, judged on a run's tables, with the numbers that the verdict rests on.

A claim is judged in every place where it can be (each task, say), so it gives one verdict or several, or none where the
run has nothing to judge it by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import DataError
from workbench.statistics import Interval

if TYPE_CHECKING:
    import pandas as pd

TABLE, OLD_TABLE = "claims", "orderings"
COLUMNS = ("claim", "on", "held", "evidence", "estimate", "low", "high")
_NAN = float("nan")


@dataclass(frozen=True)
class Verdict:
    """Whether a claim held, and why.  ``on``: where it was judged (a task, a position), when there are several places;
    ``estimate, low, high``: the difference that decides, where it is one number."""

    held: bool
    evidence: str
    on: str = ""
    estimate: float = _NAN
    low: float = _NAN
    high: float = _NAN


@dataclass(frozen=True)
class Claim:
    """A statement and ``judge(context)``, which gives its verdicts.

    >>> claim = Claim("more is better", lambda context: [verdict("more less little", Interval(0.5, 0.2, 0.8))])
    >>> [each.held for each in claim.judge(None)]
    [True]
    """

    name: str
    judge: Callable[[Any], Iterable[Verdict]]


def verdict(what: str, difference: Interval, on: str = "", sign: int = 1, above: float = 0.0) -> Verdict:
    """Held when the interval of ``difference`` lies above ``above``; with ``sign`` -1, below its negative.

    >>> print(verdict("success, trained less untrained", Interval(0.25, -0.05, 0.5)).evidence)
    success, trained less untrained: +0.250 [-0.050, +0.500]
    """
    bound = difference.low if sign > 0 else -difference.high
    return Verdict(bool(bound > above), f"{what}: {difference.text(3, '+')}", on, **asdict(difference))


def judge(claims: Iterable[Claim], context: Any) -> pd.DataFrame:
    """The verdicts as a table with the columns :data:`COLUMNS`, in the order of the claims."""
    import pandas as pd

    rows = [{"claim": claim.name} | asdict(each) for claim in claims for each in claim.judge(context)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"held": bool})


def read_claims(record: Any) -> pd.DataFrame | None:
    """The table of claims of a run, None where it has none; older runs call it ``orderings`` and have no ``on``."""
    for table in (TABLE, OLD_TABLE):
        if f"{table}.parquet" in record.artifacts:
            found = record.load_table(table).rename(columns={"ordering": "claim", "rendering": "on"})
            if not {"claim", "held", "evidence"} <= set(found):
                raise DataError(f"{table}.parquet of {record.path} is no table of claims: it has {', '.join(found)}")
            return found.assign(on=found.get("on", "")).reindex(columns=list(COLUMNS))
    return None
