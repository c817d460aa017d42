"""Figures of an EAST run (arXiv 2406.00244), drawn from the tables that the experiment writes.

Every number with an interval comes from a table; rows of single prompts are shown by their median and quartiles, as a
description of the rows and not as an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import plotly.graph_objects as go

from workbench.errors import WorkbenchError
from workbench.families.east.figures.behaviour import cumulative_arms, entropy_by_step, regret
from workbench.families.east.figures.steering import entropy_by_multiplier, layer_multiplier_heatmap, transfer_matrix
from workbench.families.east.figures.vectors import thought_trace, vector_norms, words_table
from workbench.figures.style import drawn

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Record",
    "cumulative_arms",
    "drawings_of",
    "entropy_by_multiplier",
    "entropy_by_step",
    "figures_of",
    "layer_multiplier_heatmap",
    "regret",
    "thought_trace",
    "transfer_matrix",
    "vector_norms",
    "words_table",
]


class Record(Protocol):
    """What a figure needs of a run; :class:`workbench.runs.RunRecord` and an open run folder are both such."""

    @property
    def artifacts(self) -> list[str]: ...
    @property
    def spec(self) -> dict[str, Any]: ...
    def steps(self) -> list[str]: ...
    def read(self, unit: str) -> pd.DataFrame: ...
    def load_table(self, name: str) -> pd.DataFrame: ...
    def read_json(self, name: str) -> Any: ...


def figures_of(record: Record) -> dict[str, go.Figure]:
    """All figures for which the run has tables, by name; ``{}`` for a run that has none yet.

    Names end on the rendering where a figure shows one (``entropy_by_multiplier-buttons``).  A table that lacks what a
    figure draws costs that figure only.
    """
    return drawn(drawings_of(record))


Draw = Callable[[], go.Figure]


def drawings_of(record: Record) -> dict[str, Draw]:
    """What draws each figure of the run's tables, by name, for who shows one at a time; drawing raises
    :class:`DataError` when a table lacks what the figure needs."""
    return dict(_drawings(record))


def _drawings(record: Record) -> Iterator[tuple[str, Draw]]:
    tables = _Tables(record)
    results, behaviour = tables.table("results"), tables.table("behaviour")
    steps, words = tables.table("entropy_by_step"), tables.table("words")
    norms, thoughts = tables.units("vectors"), tables.units("thoughts")
    played = tables.units("behaviour", "steered")
    chosen = tables.chosen()
    if results is not None:
        for r in _renderings(results):
            yield f"entropy_by_multiplier-{r}", _bind(entropy_by_multiplier, results, r, chosen.get(r))
        yield "layer_multiplier", _bind(layer_multiplier_heatmap, results, tables.min_valid(), chosen)
        if results["rendering"].nunique() > 1:
            yield "transfer", _bind(transfer_matrix, results, chosen)
    if played is not None:
        for r in _renderings(played):
            yield f"cumulative_arms-{r}", _bind(cumulative_arms, played[played["rendering"] == r])
    if steps is not None:
        for r in _renderings(steps):
            yield f"entropy_by_step-{r}", _bind(entropy_by_step, steps[steps["rendering"] == r])
    if thoughts is not None:
        for r in _renderings(thoughts):
            yield f"thought_trace-{r}", _bind(thought_trace, thoughts[thoughts["rendering"] == r])
    if words is not None:
        for r in _renderings(words):
            yield f"words-{r}", _bind(words_table, words[words["rendering"] == r])
    if behaviour is not None:
        yield "regret", _bind(regret, behaviour)
    if norms is not None:
        yield "vector_norms", _bind(vector_norms, norms)


def _bind(draw: Callable[..., go.Figure], *tables: Any) -> Draw:
    return lambda: draw(*tables)


def _renderings(table: pd.DataFrame) -> Sequence[str]:
    return list(dict.fromkeys(table["rendering"])) if "rendering" in table else []


class _Tables:
    """Tables of a record; what is missing or broken is None."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def table(self, name: str) -> pd.DataFrame | None:
        return self._try(self.record.load_table, name) if f"{name}.parquet" in self.record.artifacts else None

    def units(self, *kinds: str) -> pd.DataFrame | None:
        """Rows of all finished units of some kinds (``vectors-buttons`` is of kind ``vectors``)."""
        import pandas as pd

        names = [unit for kind in kinds for unit in self.record.steps() if unit.startswith(f"{kind}-")]
        frames = [frame for name in names if (frame := self._try(self.record.read, name)) is not None]
        return pd.concat(frames, ignore_index=True) if frames else None

    def chosen(self) -> Mapping[str, Mapping[str, float]]:
        found = self._try(self.record.read_json, "chosen") if "chosen.json" in self.record.artifacts else None
        return found if isinstance(found, dict) else {}

    def min_valid(self) -> float:
        return float(self.record.spec.get("min_valid", 0.0))

    def _try(self, read: Callable[[str], Any], name: str) -> Any:
        try:
            return read(name)
        except WorkbenchError:
            return None
