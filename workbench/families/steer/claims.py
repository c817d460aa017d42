"""What is commonly said of steering vectors, judged at the chosen layer, on items that it was not chosen on, beside
controls that do as much damage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from workbench.families import Claim, Context, Verdict
from workbench.families.claims import verdict
from workbench.families.steer.measures import EFFECT, NLL
from workbench.families.steer.spec import SteerSpec
from workbench.families.steer.summary import UNSTEERED, all_rows, paired

_PANEL = "panel-"
_SIGNS = {"up": 1, "down": -1}
_WORDS = {"up": "added", "down": "subtracted"}


def claims() -> tuple[Claim, ...]:
    """Effects in the instrument's units on the test items, damage in nats a token of neutral text."""
    return (
        Claim("the vector pushes both ways", lambda run: _moves(_View(run), EFFECT)),
        Claim("so it does in other words and sentences", lambda run: _moves(_View(run), "transfer")),
        Claim("further than every random direction of equal damage", lambda run: _beyond(_View(run), "random")),
        Claim(
            "further than its entries in another order, at equal damage", lambda run: _beyond(_View(run), "shuffled")
        ),
        Claim("further than the mean difference, at equal damage", lambda run: _beyond_mean(_View(run))),
        Claim("further than a sentence in front, at its damage", lambda run: _beyond_prompt(_View(run))),
        Claim("what it moves most of all is its own concept", lambda run: _own_most(_View(run))),
    )


class _View:
    """The rows of a run and its results."""

    def __init__(self, run: Context[SteerSpec]) -> None:
        self.rows = all_rows(run)
        self.results: pd.DataFrame = run.folder.load_table("results")

    def has(self, measure: str, method: str, side: str = "up") -> bool:
        rows = self.results
        return bool(((rows["measure"] == measure) & (rows["method"] == method) & (rows["side"] == side)).any())

    def row(self, measure: str, method: str, side: str = "up") -> pd.Series[Any]:
        rows = self.results
        return rows[(rows["measure"] == measure) & (rows["method"] == method) & (rows["side"] == side)].iloc[0]


def _moves(view: _View, measure: str) -> Iterator[Verdict]:
    for side, sign in _SIGNS.items():
        if view.has(measure, "equal", side):
            row = view.row(measure, "equal", side)
            change = paired(view.rows, {"method": "equal", "side": side}, {"method": UNSTEERED}, measure)
            at = f"layer {row['layer']}, dose {row['dose']:+.2g}"
            yield verdict(at, change, _WORDS[side], sign)


def _beyond(view: _View, name: str) -> Iterator[Verdict]:
    """By the interval over items of the difference from the control's mean, beyond each single draw, and the right
    way."""
    control = view.row(EFFECT, name)
    cost = view.row(NLL, name)["estimate"]
    for side, sign in _SIGNS.items():
        row = view.row(EFFECT, "equal", side)
        own, pushes = row["estimate"], (row["low"] > 0 if sign > 0 else row["high"] < 0)
        gap = paired(view.rows, {"method": "equal", "side": side}, {"method": name}, EFFECT)
        beyond = own > control["most"] if sign > 0 else own < control["least"]
        said = verdict(f"vector {own:+.2f}, less {name}", gap, _WORDS[side], sign)
        drawn = f"{name} {control['estimate']:+.2f}, {control['draws']:.0f} draws from {control['least']:+.2f} to "
        damage = f"damage {view.row(NLL, 'equal', side)['estimate']:+.2f} v {cost:+.2f}"
        evidence = f"{said.evidence}; {drawn}{control['most']:+.2f}; {damage}"
        yield Verdict(said.held and bool(beyond and pushes), evidence, said.on, said.estimate, said.low, said.high)


def _beyond_mean(view: _View) -> Iterator[Verdict]:
    for side, sign in _SIGNS.items():
        if view.has(EFFECT, "mean_difference", side):
            other = {"method": "mean_difference", "side": side}
            gap = paired(view.rows, {"method": "equal", "side": side}, other, EFFECT)
            yield verdict("vector less mean difference", gap, _WORDS[side], sign)


def _beyond_prompt(view: _View) -> Iterator[Verdict]:
    for side, sign in _SIGNS.items():
        if view.has(EFFECT, "matched", side):
            gap = paired(view.rows, {"method": "matched", "side": side}, {"method": "prompt", "side": side}, EFFECT)
            dose = view.row(EFFECT, "matched", side)["dose"]
            yield verdict(f"vector at dose {dose:+.2g} less sentence", gap, _WORDS[side], sign)


def _own_most(view: _View) -> Iterator[Verdict]:
    """The size of its own effect over that of the largest one on another concept, both in standard deviations of the
    random directions on that concept."""
    panels = [name for name in view.results["measure"].unique() if str(name).startswith(_PANEL)]
    for side in _SIGNS:
        own = _sizes(view, EFFECT, side)
        others = {name: size for name in panels if (size := _sizes(view, name, side)) is not None}
        if own is not None and others:
            name = max(others, key=lambda each: others[each])
            what = f"{own:.1f} of its own, {others[name]:.1f} of {str(name).removeprefix(_PANEL)} (random sds)"
            yield Verdict(own > others[name], what, _WORDS[side], own - others[name])


def _sizes(view: _View, measure: str, side: str) -> float | None:
    if not view.has(measure, "random") or not view.has(measure, "equal", side):
        return None
    spread = view.row(measure, "random")["spread"]
    return abs(float(view.row(measure, "equal", side)["estimate"])) / float(spread) if spread > 0 else None
