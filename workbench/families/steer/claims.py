"""What is commonly said of steering vectors, judged at the layer and dose that were chosen on other prompts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pandas as pd

from workbench.families import Claim, Context, Verdict
from workbench.families.claims import verdict
from workbench.families.steer.spec import SteerSpec
from workbench.families.steer.summary import DAMAGE, EFFECT, all_rows, paired

_UNSTEERED = {"method": "unsteered"}


def claims() -> tuple[Claim, ...]:
    """Effects in nats of log-odds on the test prompts, damage in nats a token of neutral text."""
    return (
        Claim("the vector pushes both ways", lambda run: _moves(_View(run))),
        Claim("further than every random direction of its length", lambda run: _beyond(_View(run), "random")),
        Claim("further than its entries in another order", lambda run: _beyond(_View(run), "shuffled")),
        Claim("further than a sentence in front", lambda run: _beyond_prompt(_View(run))),
        Claim("for less damage than random directions of its length", lambda run: _cheaper(_View(run))),
    )


class _View:
    """The rows of a run and its chosen cell."""

    def __init__(self, run: Context[SteerSpec]) -> None:
        self.rows = all_rows(run)
        chosen = run.folder.read_json("chosen")
        self.layer, self.dose = chosen["layer"], chosen["dose"]
        self.results: pd.DataFrame = run.folder.load_table("results")

    @cached_property
    def doses(self) -> dict[str, float]:
        """The chosen dose added, and subtracted where that was run."""
        known = set(self.rows.loc[self.rows["method"] == "vector", "dose"])
        return {side: dose for side, dose in (("up", self.dose), ("down", -self.dose)) if dose in known}

    def at(self, method: str, dose: float) -> dict[str, Any]:
        return {"method": method, "layer": self.layer, "dose": dose}

    def control(self, name: str, measure: str) -> pd.Series[Any]:
        part = self.results[(self.results["method"] == name) & (self.results["measure"] == measure)]
        return part[part["dose"] == self.dose].iloc[0]


_SIGNS = {"up": 1, "down": -1}
_WORDS = {"up": "added", "down": "subtracted"}


def _moves(view: _View) -> Iterator[Verdict]:
    for side, dose in view.doses.items():
        change = paired(view.rows, view.at("vector", dose), _UNSTEERED, EFFECT)
        yield verdict(f"layer {view.layer}, dose {dose:+g}", change, _WORDS[side], _SIGNS[side])


def _beyond(view: _View, name: str) -> Iterator[Verdict]:
    """By the interval over prompts of the difference from the control's mean, and beyond each single draw."""
    control = view.control(name, EFFECT)
    for side, dose in view.doses.items():
        sign = _SIGNS[side]
        own = paired(view.rows, view.at("vector", dose), _UNSTEERED, EFFECT).estimate
        gap = paired(view.rows, view.at("vector", dose), view.at(name, view.dose), EFFECT)
        beyond = own > control["most"] if sign > 0 else own < control["least"]
        said = verdict(f"vector {own:+.2f}, less {name}", gap, _WORDS[side], sign)
        drawn = f"{name} {control['estimate']:+.2f}, {control['draws']:.0f} draws from {control['least']:+.2f} to "
        evidence = f"{said.evidence}; {drawn}{control['most']:+.2f}"
        yield Verdict(said.held and bool(beyond), evidence, said.on, said.estimate, said.low, said.high)


def _beyond_prompt(view: _View) -> Iterator[Verdict]:
    for side, dose in view.doses.items():
        gap = paired(view.rows, view.at("vector", dose), {"method": "prompt", "side": side}, EFFECT)
        yield verdict("vector less sentence", gap, _WORDS[side], _SIGNS[side])


def _cheaper(view: _View) -> Iterator[Verdict]:
    for side, dose in view.doses.items():
        gap = paired(view.rows, view.at("vector", dose), view.at("random", view.dose), DAMAGE)
        yield verdict("damage, vector less random", gap, _WORDS[side], -1)
