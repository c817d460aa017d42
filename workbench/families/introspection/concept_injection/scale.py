"""How strongly a vector is injected, as a column: ``dose`` (the length of what is added as a share of the residual
stream's), or ``multiplier`` in runs that were given raw ones, and in those of before 0.1."""

from __future__ import annotations

import pandas as pd

SCALES = ("dose", "multiplier")


def scale_of(table: pd.DataFrame) -> str:
    """The column that a table of a run has.

    >>> scale_of(pd.DataFrame({"layer": [1], "dose": [0.3]}))
    'dose'
    """
    return SCALES[0] if SCALES[0] in table else SCALES[1]
