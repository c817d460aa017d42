"""The tables of a personality run, from its rows.

An *effect* of something done both ways (up and down a trait) on a trait is half the difference of the two, so what both
do alike does not count; of an item it is a number, and intervals are over a trait's items (or the questions at which
activations are read).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from probes import auroc_of
from workbench.families import Context
from workbench.families.personality.instrument import ACTIVATIONS, LETTERS, TEXTS, looks
from workbench.families.personality.inventory import read_inventory
from workbench.families.personality.spec import PersonalitySpec
from workbench.statistics import Interval, cluster_bootstrap

METHODS = {
    "portrait": "portrait", "equal": "vector, the portrait's damage", "vector": "vector", "random": "random directions",
}  # fmt: skip
_KEY = ["readout", "method", "layer", "of", "draw"]


def all_rows(run: Context[PersonalitySpec]) -> pd.DataFrame:
    """The rows of every condition."""
    kinds = ("unsteered", "portraits", "vector", "random")
    return pd.concat([run.gather(kind) for kind in kinds], ignore_index=True)


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """A row an item and condition that was done both ways: ``effect``, half of up less down."""
    done = rows[rows["readout"].isin([TEXTS, LETTERS, ACTIVATIONS]) & rows["side"].isin(["up", "down"])]
    index = [*_KEY, "trait", "item"]
    sides = done.pivot_table(index=index, columns="side", values="value", sort=False)
    return ((sides["up"] - sides["down"]) / 2).rename("effect").reset_index()


def mean_over_items(part: pd.DataFrame, column: str = "effect") -> Interval:
    """Over the items (draws of an item together)."""
    means = part.groupby("item")[column].mean()
    return cluster_bootstrap(means.to_numpy(), means.index.to_numpy())


def matrix(found: pd.DataFrame) -> pd.DataFrame:
    """What each vector and portrait (``of``) does to each ``trait``: ``estimate, low, high``; random directions
    together, with ``spread, least, most`` over draws of each draw's mean."""
    table = []
    for key, part in found.groupby(["readout", "method", "layer", "of", "trait"], sort=False):
        draws = part.groupby("draw")["effect"].mean()
        over = {"spread": float(draws.std(ddof=1)) if len(draws) > 1 else np.nan, "draws": len(draws)}
        ends = {"least": float(draws.min()), "most": float(draws.max())}
        named = dict(zip(("readout", "method", "layer", "of", "trait"), key, strict=True))
        table.append(named | vars(mean_over_items(part)) | over | ends)
    return pd.DataFrame(table)


def profile(rows: pd.DataFrame) -> pd.DataFrame:
    """The unsteered model by read-out and trait: log-odds (of activations the place on the axis), and ``level``."""
    plain = rows[(rows["method"] == "unsteered") & rows["readout"].isin([TEXTS, LETTERS, ACTIVATIONS])]
    table = []
    for (readout, trait), part in plain.groupby(["readout", "trait"], sort=False):
        named = {"readout": readout, "trait": trait, "items": len(part)}
        level = mean_over_items(part, "level") if readout != ACTIVATIONS else Interval(np.nan, np.nan, np.nan)
        of_level = {f"level{end}": x for end, x in zip(("", "_low", "_high"), vars(level).values(), strict=True)}
        table.append(named | vars(mean_over_items(part, "value")) | of_level)
    return pd.DataFrame(table)


def instruments(rows: pd.DataFrame, n_options: int) -> pd.DataFrame:
    """Of texts and of letters: whether unsteered answers follow the items (:func:`.instrument.looks`)."""
    plain = rows[(rows["method"] == "unsteered") & rows["readout"].isin([TEXTS, LETTERS])]
    return pd.DataFrame([
        {"readout": readout, "items": len(part), "options": n_options} | looks(part, n_options)
        for readout, part in plain.groupby("readout", sort=False)
    ])  # fmt: skip


def damages(rows: pd.DataFrame) -> pd.DataFrame:
    """KL and change of NLL of each condition (draws together): ``estimate, low, high`` over neutral texts."""
    cost = rows[rows["readout"].isin(["kl", "nll"])]
    table = []
    for key, part in cost.groupby(["method", "layer", "of", "side", "readout"], sort=False):
        named = dict(zip(("method", "layer", "of", "side", "measure"), key, strict=True))
        table.append(named | vars(mean_over_items(part, "value")))
    return pd.DataFrame(table)


def separations(pairs: pd.DataFrame) -> pd.DataFrame:
    """How well each vector tells the sides of pairs that it was not made of: AUROC by layer and trait."""
    table: list[dict[str, Any]] = []
    for (layer, trait), part in pairs.groupby(["layer", "trait"], sort=False):
        found = auroc_of(part["projection"], part["side"] == "up", part["pair"])
        table.append({"layer": layer, "trait": trait} | vars(found))
    return pd.DataFrame(table)


def finish(run: Context[PersonalitySpec]) -> None:
    """The tables ``instruments, profile, matrix, damage, separation``."""
    rows = all_rows(run)
    n_options = len(read_inventory(run.spec.inventory, run.spec.items)[0].answers)
    tables = {
        "instruments": instruments(rows, n_options), "profile": profile(rows), "matrix": matrix(effects(rows)),
        "damage": damages(rows), "separation": separations(run.gather("vectors")),
    }  # fmt: skip
    for name, table in tables.items():
        run.folder.save_table(name, table)
