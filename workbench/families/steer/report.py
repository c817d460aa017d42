"""What a steering run says first: every layer and dose, then the chosen one beside its controls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families import Table
from workbench.families.steer.summary import DAMAGE, EFFECT
from workbench.figures.record import Record
from workbench.statistics import Interval

_LABELS = {
    "vector": "vector",
    "prompt": "a sentence in front",
    "random": "random direction",
    "shuffled": "shuffled vector",
}
_GRID = (
    "change of the log-odds of the up words over the down words on the test prompts (nats), in brackets the damage:\n"
    "change of the NLL of neutral text (nats a token). Dose: length of what is added as a share of the residual norm."
)
_BESIDE = (
    "brackets: 95% intervals over prompts, and over neutral texts; over draws: mean change of each random or shuffled "
    "vector,\nstandard deviation and ends. Layer and dose were chosen on other prompts."
)


def report(record: Record) -> Iterator[Table]:
    """The grid of layers and doses, and the chosen layer and dose beside every control."""
    results, chosen = record.load_table("results"), record.read_json("chosen")
    yield Table("effect (damage) by layer and dose", _grid(results), _GRID)
    title = f"layer {chosen['layer']}, dose {chosen['dose']:g}, beside its controls"
    yield Table(title, _beside(results, chosen["dose"], chosen["layer"]), _BESIDE)


def _grid(results: pd.DataFrame) -> pd.DataFrame:
    cells = results[results["method"] == "vector"].set_index(["layer", "dose", "measure"])["estimate"].unstack()
    texts = cells.apply(lambda cell: f"{cell[EFFECT]:+.2f} ({cell[DAMAGE]:+.2f})", axis=1).unstack()
    texts.columns = [f"{dose:+g}" for dose in texts.columns]
    return texts.reset_index()


def _beside(results: pd.DataFrame, dose: float, layer: int) -> pd.DataFrame:
    shown = results[(results["method"] == "prompt") | ((results["layer"] == layer) & (results["dose"].abs() == dose))]
    order = {method: place for place, method in enumerate(_LABELS)}
    groups = sorted(shown.groupby(["method", "side", "dose"]), key=lambda group: (order[group[0][0]], -group[0][2]))
    found = []
    for (method, side, at), rows in groups:
        effect, damage = (rows[rows["measure"] == measure].iloc[0] for measure in (EFFECT, DAMAGE))
        found.append({
            "condition": _label(method, side, at), "effect": Interval.of(effect).text(2, "+"),
            "over draws": _draws(effect), "damage": Interval.of(damage).text(2, "+"),
        })  # fmt: skip
    return pd.DataFrame(found)


def _label(method: str, side: str, dose: float) -> str:
    if method == "prompt":
        return f"{_LABELS[method]}, {side}"
    return f"{_LABELS[method]}, dose {dose:+g}"


def _draws(row: pd.Series[Any]) -> str:
    if row["draws"] < 2:
        return ""
    return f"sd {row['spread']:.2f}, {row['least']:+.2f} to {row['most']:+.2f} ({row['draws']:.0f})"
