"""What a personality run says first: whether it can be measured, the profile, and the matrix of effects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families import Table
from workbench.families.personality.claims import UNMEASURABLE
from workbench.families.personality.instrument import ACTIVATIONS
from workbench.families.personality.summary import METHODS
from workbench.figures.record import Record
from workbench.statistics import Interval

NULL = " (null)"
_INSTRUMENTS = (
    "the unsteered model; same option: share of items with the same likeliest option in both orders of the list;\n"
    "orders agree: correlation of their log-odds over items. Options' prior subtracted."
)
_PROFILE = (
    "log-odds: of the options for the trait over those against it, prior subtracted, nats, mean over both orders and "
    "keys; level:\nthe expected answer (of ratings 1 to 5, 3 is neither). Brackets: 95% intervals over items."
)
_MATRIX = (
    "half of up less down on each trait; brackets: 95% intervals over items, (null): the interval holds 0. Texts and\n"
    "letters in nats; activations: 1 is the way from the middle to a side of the trait's pairs."
)
_DAMAGE = "mean of both ways; on neutral text, nats a token. NLL below 0: the text became likelier."


def report(record: Record) -> Iterator[Table]:
    """Instruments, profile, a matrix a read-out and method, damage."""
    looked, matrix = record.load_table("instruments"), record.load_table("matrix")
    yield Table("can it be measured?", _instruments(looked), _INSTRUMENTS)
    yield Table("profile of the unsteered model", _profile(record.load_table("profile"), looked), _PROFILE)
    for (readout, method, layer), part in matrix.groupby(["readout", "method", "layer"], sort=False):
        where = "" if layer < 0 else f", layer {layer}"
        yield Table(f"{METHODS[method]}{where}, read by {readout}", _effects(part), _MATRIX)
    yield Table("damage", _damage(record.load_table("damage")), _DAMAGE)


def _instruments(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([
        {"read-out": row.readout, "items": row.items, "same option": Interval.of(row, "symmetry").text(),
         "by chance": f"{1 / row.options:.2f}", "orders agree": Interval.of(row, "agreement").text(2, "+"),
         "so": "measurable" if row.measurable else UNMEASURABLE}
        for row in table.itertuples()
    ])  # fmt: skip


def _profile(table: pd.DataFrame, looked: pd.DataFrame) -> pd.DataFrame:
    measurable = dict(zip(looked["readout"], looked["measurable"], strict=True))
    rows = []
    for row in table[table["readout"] != ACTIVATIONS].itertuples():
        so = "" if measurable[row.readout] else UNMEASURABLE
        rows.append({
            "read-out": row.readout, "trait": row.trait, "items": row.items, "log-odds": _marked(Interval.of(row)),
            "level": Interval.of(row, "level").text(), "": so,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _effects(part: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for of, row in part.groupby("of", sort=False):
        drawn = row["draws"].max() > 1
        cells = {one.trait: _ends(one) if drawn else _marked(Interval.of(one)) for one in row.itertuples()}
        rows.append({"of": of or f"{row['draws'].max():.0f} draws, ends"} | cells)
    return pd.DataFrame(rows)


def _ends(row: Any) -> str:
    return f"{row.estimate:+.2f}, {row.least:+.2f} to {row.most:+.2f}"


def _marked(interval: Interval) -> str:
    null = interval.low <= 0 <= interval.high
    return interval.text(2, "+") + (NULL if null else "")


def _damage(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (method, layer, of), part in table.groupby(["method", "layer", "of"], sort=False):
        if method == "unsteered":
            continue
        means = part.groupby("measure")["estimate"].mean()
        where = "" if layer < 0 else f", layer {layer}"
        shown = {"KL": f"{means['kl']:.3f}", "NLL": f"{means['nll']:+.3f}"}
        rows.append({"condition": f"{METHODS[method]}{where}", "of": of} | shown)
    return pd.DataFrame(rows)
