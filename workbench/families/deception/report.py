"""What a deception run says first: the choice in every frame, what the probe finds, what the vector does."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from workbench.families import Table
from workbench.families.deception.claims import UNMEASURABLE
from workbench.families.deception.detection import PROBE
from workbench.families.deception.summary import METRICS
from workbench.figures.record import Record
from workbench.statistics import Interval

NULL = " (null)"
_METHODS = {"prompt": "instruction in front", "vector": "vector", "random": "random directions"}
_INSTRUMENT = "orders agree: correlation over scenarios of the log-odds in the replies' two orders; sizes in nats."
_FRAMES = (
    "log-odds of the lie over the truth, their prior subtracted, nats; change: less the plain frame of the same "
    "scenarios.\nBrackets: 95% intervals over scenarios; (null): the interval holds 0."
)
_DETECTION = (
    "a logistic probe of statements told under both instructions; of the instructed set out of fold. recall@0.01:\n"
    "share of lies found at 1% false positives. Brackets: 95% intervals over scenarios, facts or groups."
)
_STEERING = (
    "change of the log-odds of the lie in the plain frame, nats; over draws: mean change of each random direction.\n"
    "KL and NLL on neutral text, nats a token."
)


def report(record: Record) -> Iterator[Table]:
    """Instrument, frames, detection, steering."""
    yield Table("can it be measured?", _instrument(record.load_table("instrument")), _INSTRUMENT)
    yield Table("the choice of the unsteered model", _frames(record.load_table("frames")), _FRAMES)
    yield Table("what the probe finds", _detection(record.load_table("detection")), _DETECTION)
    yield Table("steering", _steering(record.load_table("steering")), _STEERING)


def _instrument(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([
        {"scenarios": row["scenarios"], "orders agree": Interval.of(row, "agreement").text(2, "+"),
         "same reply in both": Interval.of(row, "same").text(), "size of the prior": f"{row['prior']:.2f}",
         "of the situation": f"{row['effect']:.2f}", "so": "measurable" if row["measurable"] else UNMEASURABLE}
        for row in table.to_dict("records")
    ])  # fmt: skip


def _frames(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([
        {"lies that serve": {"self": "oneself", "other": "the asker"}.get(row["dimension"], row["dimension"]),
         "frame": row["frame"], "scenarios": row["scenarios"], "log-odds of the lie": _marked(Interval.of(row)),
         "change": _marked(Interval.of(row, "change"))}
        for row in table.to_dict("records")
    ])  # fmt: skip


def _detection(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (name, layer, reader), part in table.groupby(["set", "layer", "reader"], sort=False):
        by_metric = part.set_index("metric")
        cells = {metric: Interval.of(by_metric.loc[metric]).text() for metric in METRICS}
        auroc = by_metric.loc["auroc"]
        gaps = {"less the words": _marked(Interval.of(auroc, "over_words")) if reader == PROBE else "",
                "less untrained": _marked(Interval.of(auroc, "over_untrained")) if reader == PROBE else ""}  # fmt: skip
        rows.append({"tested on": name, "layer": layer, "reader": reader} | cells | gaps)
    return pd.DataFrame(rows)


def _steering(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for row in table.to_dict("records"):
        ends = f"{row['least']:+.2f} to {row['most']:+.2f}"
        over = f"sd {row['spread']:.2f}, {ends} ({row['draws']})" if row["draws"] > 1 else ""
        side = {"up": "towards deception", "down": "away"}[row["side"]] if row["method"] != "random" else ""
        rows.append({
            "condition": _METHODS[row["method"]], "side": side, "change": _marked(Interval.of(row)), "over draws": over,
            "KL": f"{row['kl']:.3f}", "NLL": f"{row['nll']:+.3f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _marked(interval: Interval) -> str:
    return interval.text(2, "+") + (NULL if interval.low <= 0 <= interval.high else "")
