"""The rows of a run's units, gathered by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.runs.contents import RunContents

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gathered"]


def gathered(folder: RunContents, *kinds: str) -> pd.DataFrame:
    """The rows of the finished units that are called one of ``kinds``, or begin so and a dash; empty when none is."""
    import pandas as pd

    names = [name for name in folder.steps() if any(name == kind or name.startswith(f"{kind}-") for kind in kinds)]
    return pd.concat([folder.read(name) for name in names], ignore_index=True) if names else pd.DataFrame()
