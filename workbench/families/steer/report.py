"""What a steering run says first: where a vector may be shipped, then the chosen cell beside its controls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families import Table
from workbench.families.steer.measures import COHERENCE, EFFECT, KL, NLL
from workbench.figures.record import Record
from workbench.statistics import Interval

_LABELS = {
    "equal": "vector",
    "mean_difference": "mean difference",
    "shuffled": "shuffled vectors",
    "random": "random directions",
    "matched": "vector at the sentence's damage",
    "prompt": "a sentence in front",
}
_GRID = (
    "effect on the test items, in brackets the damage: change of the NLL of neutral text (nats a token). * passes: it\n"
    "pushes, costs no more than max_damage, and its replies stay readable, all on other items and texts. Dose: length\n"
    "of what is added as a share of the residual norm."
)
_SHIP = (
    "doses in a row that pass, by layer and direction, on the items for choosing: ship any of them; the width says\n"
    "how far off one may be. Chosen: the cell of these at which adding the vector pushes furthest."
)
_BESIDE = (
    "on items and texts that nothing was chosen on; brackets: 95% intervals over them (items: how many). Vector,\n"
    "random, shuffled: each at the dose that diverges as much (KL) as the chosen cell; then at the sentence's KL.\n"
    "wrong way: share of items that moved against the direction. over draws: sd and ends of each draw's mean."
)
_PANEL = "changes of other concepts' log-odds (nats) and of the concept in other words (transfer), as above"


def report(record: Record) -> Iterator[Table]:
    """The grid, the ship ranges, the chosen cell beside every control, and what else moves."""
    results, chosen = record.load_table("results"), record.read_json("chosen")
    yield Table("effect (damage) by layer and dose", _grid(results, record.load_table("cells")), _GRID)
    yield Table("ship ranges", _ship(record.load_table("ship")), _SHIP)
    how = "recommended" if chosen["passes"] else "no cell passes; the cheapest"
    title = f"{how}: layer {chosen['layer']}, dose {chosen['dose']:+g}; saved as artifacts/vector.safetensors"
    yield Table(title, _beside(results), _BESIDE)
    if len(elsewhere := _elsewhere(results)):
        yield Table("elsewhere", elsewhere, _PANEL)


def _grid(results: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    rows = results[results["method"] == "vector"].set_index(["layer", "dose", "measure"])["estimate"].unstack()
    passing = {(row.layer, round(row.dose, 6)) for row in cells.itertuples() if row.passes}
    texts: dict[Any, dict[str, str]] = {}
    for (layer, dose), row in rows.iterrows():
        star = "*" if (layer, round(dose, 6)) in passing else ""
        texts.setdefault(layer, {})[f"{dose:+.2g}"] = f"{row[EFFECT]:+.2f} ({row[NLL]:+.2f}){star}"
    return pd.DataFrame.from_dict(texts, orient="index").rename_axis("layer").reset_index().fillna("")


def _ship(ship: pd.DataFrame) -> pd.DataFrame:
    found = [
        {
            "layer": row.layer, "direction": "added" if row.side == "up" else "subtracted",
            "doses": f"{row.low:+.2g} to {row.high:+.2g}" if row.doses > 1 else f"{row.low:+.2g}",
            "effect": f"{row.effect_low:+.2f} to {row.effect_high:+.2f}" if row.doses > 1 else f"{row.effect_low:+.2f}",
            "damage (NLL)": f"up to {row.nll_high:+.2f}", "KL": f"up to {row.kl_high:.2f}",
        }
        for row in ship.itertuples()
    ]  # fmt: skip
    return pd.DataFrame(found, columns=["layer", "direction", "doses", "effect", "damage (NLL)", "KL"])


def _beside(results: pd.DataFrame) -> pd.DataFrame:
    found = []
    for method, label in _LABELS.items():
        rows = results[results["method"] == method]
        for side in ("up", "down"):
            by = {row["measure"]: row for _, row in rows[rows["side"] == side].iterrows()}
            if EFFECT not in by:
                continue
            effect = by[EFFECT]
            both = method not in ("random", "shuffled")
            found.append({
                "condition": f"{label}, {side}" if both else label, "dose": _dose(effect),
                "effect": Interval.of(effect).text(2, "+"), "items": f"{effect['items']:.0f}",
                "wrong way": f"{effect['wrong_way']:.2f}" if both else "", "over draws": _draws(effect),
                "NLL": Interval.of(by[NLL]).text(2, "+"), "KL": f"{by[KL]['estimate']:.3f}",
                "coherence": f"{by[COHERENCE]['estimate']:+.2f}" if COHERENCE in by else "",
            })  # fmt: skip
    return pd.DataFrame(found)


def _dose(row: pd.Series[Any]) -> str:
    return "" if row["method"] == "prompt" else f"{row['dose']:+.2g}"


def _draws(row: pd.Series[Any]) -> str:
    if row["draws"] < 2:
        return ""
    return f"sd {row['spread']:.2f}, {row['least']:+.2f} to {row['most']:+.2f} ({row['draws']:.0f})"


def _elsewhere(results: pd.DataFrame) -> pd.DataFrame:
    is_there = results["measure"].str.startswith("panel-") | (results["measure"] == "transfer")
    found = []
    for measure, rows in results[is_there].groupby("measure", sort=False):
        cells = {"what": str(measure).removeprefix("panel-")}
        for method, side, label in (
            ("equal", "up", "vector, up"), ("equal", "down", "vector, down"),
            ("prompt", "up", "sentence, up"), ("prompt", "down", "sentence, down"),
        ):  # fmt: skip
            own = rows[(rows["method"] == method) & (rows["side"] == side)]
            cells[label] = Interval.of(own.iloc[0]).text(2, "+") if len(own) else ""
        drawn = rows[rows["method"] == "random"]
        cells["random"] = _draws(drawn.iloc[0]) if len(drawn) else ""
        found.append(cells)
    return pd.DataFrame(found)
