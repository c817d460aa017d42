"""Internal RL in the explorer: figures, final numbers, and a player of its episodes."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.families import Table, View
from workbench.families.internal_rl.report import final_table
from workbench.families.internal_rl.views.player import player
from workbench.figures.record import Record

__all__ = ["views"]


def views() -> tuple[View, ...]:
    """The tabs beside gates and claims."""
    return (
        View("Learning", figures=("learning_curves", "final_success"), tables=_final),
        View("Discovery", figures=("rate_distortion", "switches", "codes"), tables=_over_seeds),
        View("Beliefs and control", figures=("beliefs", "belief_history", "controllers", "base_model")),
        View("Episodes", draw=player),
    )


def _final(record: Record) -> Iterator[Table]:
    if "final.parquet" in record.artifacts:
        yield final_table(record.load_table("final"))


def _over_seeds(record: Record) -> Iterator[Table]:
    if "discovery_over_seeds.parquet" in record.artifacts:
        caption = "The intervals resample seeds; there is none where there is one seed."
        rows = record.load_table("discovery_over_seeds")
        yield Table("Every measure of every discovery, means over seeds", rows, caption)
