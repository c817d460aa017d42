"""What is commonly said of inventories and of persona vectors, judged by read-out and layer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import pandas as pd

from workbench.families import Claim, Context, Verdict
from workbench.families.claims import verdict
from workbench.families.personality.instrument import ACTIVATIONS
from workbench.families.personality.spec import PersonalitySpec
from workbench.families.personality.summary import all_rows, effects, mean_over_items
from workbench.statistics import Interval, cluster_bootstrap

UNMEASURABLE = "not measurable by this instrument"


def claims() -> tuple[Claim, ...]:
    """Effects are half of up less down; log-odds in nats, of activations in shares of the way between pairs."""
    return (
        Claim("answers follow the items, not the place of an option", lambda run: _measurable(run)),
        Claim("a portrait moves its own trait", lambda run: _own(_View(run), "portrait")),
        Claim("a vector moves its own trait", lambda run: _own(_View(run), "vector")),
        Claim("and its own further than the others", lambda run: _discriminant(_View(run))),
        Claim("further than every random direction of equal damage", lambda run: _beyond(_View(run))),
        Claim("further than the portrait at equal damage", lambda run: _beyond_portrait(_View(run))),
    )


class _View:
    """The effects of a run on items, by read-out."""

    def __init__(self, run: Context[PersonalitySpec]) -> None:
        self.found = effects(all_rows(run))
        self.readouts = [run.spec.readout, ACTIVATIONS]

    @cached_property
    def traits(self) -> list[str]:
        return list(dict.fromkeys(self.found.loc[self.found["of"] != "", "of"]))

    def layers(self, method: str) -> list[int]:
        return sorted(set(self.found.loc[self.found["method"] == method, "layer"]))

    def part(self, readout: str, method: str, layer: int, of: str, trait: str) -> pd.DataFrame:
        f = self.found
        chosen = (f["readout"] == readout) & (f["method"] == method) & (f["layer"] == layer)
        return f[chosen & (f["of"] == of) & (f["trait"] == trait)]

    def diagonal(self, readout: str, method: str, layer: int) -> pd.DataFrame:
        """The effect of each trait's own on each of its items."""
        own = [self.part(readout, method, layer, trait, trait) for trait in self.traits]
        return pd.concat(own, ignore_index=True)


def _measurable(run: Context[PersonalitySpec]) -> Iterator[Verdict]:
    for row in run.folder.load_table("instruments").itertuples():
        said = f"same likeliest option in both orders {Interval.of(row, 'symmetry').text()} (by chance "
        said += f"{1 / row.options:.2f}); log-odds of the orders correlate {Interval.of(row, 'agreement').text(2, '+')}"
        found = Interval.of(row, "agreement")
        on = f"{row.readout}"
        evidence = said if row.measurable else f"{UNMEASURABLE}: {said}"
        yield Verdict(bool(row.measurable), evidence, on, found.estimate, found.low, found.high)


def _places(view: _View, method: str) -> Iterator[tuple[str, int, str]]:
    for readout in view.readouts:
        for layer in view.layers(method):
            yield readout, layer, readout if layer < 0 else f"{readout}, layer {layer}"


def _over_traits(table: pd.DataFrame) -> Interval:
    """Mean over traits; what is resampled are items (questions, which all traits are read at)."""
    means = table.groupby("item")["effect"].mean()
    return cluster_bootstrap(means.to_numpy(), means.index.to_numpy())


def _own(view: _View, method: str) -> Iterator[Verdict]:
    for readout, layer, on in _places(view, method):
        for trait in view.traits:
            own = mean_over_items(view.part(readout, method, layer, trait, trait))
            yield verdict("effect", own, f"{on}: {trait}")
        yield verdict("mean over traits", _over_traits(view.diagonal(readout, method, layer)), f"{on}: all")


def _discriminant(view: _View) -> Iterator[Verdict]:
    """The own trait's mean effect less the mean size of those on the others, items resampled within traits."""
    for readout, layer, on in _places(view, "vector"):
        found = view.found
        chosen = found[(found["readout"] == readout) & (found["method"] == "vector") & (found["layer"] == layer)]
        for trait in view.traits:
            row = chosen[chosen["of"] == trait]
            yield verdict("own less size of others", _own_less_others(row, trait), f"{on}: {trait}")


def _own_less_others(row: pd.DataFrame, trait: str) -> Interval:
    codes, names = pd.factorize(row["trait"])
    own = int(np.flatnonzero(names == trait)[0])

    def statistic(values: np.ndarray) -> float:
        means = [values[values[:, 0] == code, 1].mean() for code in range(len(names))]
        others = [abs(mean) for code, mean in enumerate(means) if code != own]
        return float(means[own] - (np.mean(others) if others else 0.0))

    values = np.column_stack([codes, row["effect"]])
    places = row.groupby("trait")["item"].rank(method="dense")  # an item of each trait together: none can be lost
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample may lack a trait of few items: no bounds then
        return cluster_bootstrap(values, places.to_numpy(), statistic, resamples=1000)


def _beyond(view: _View) -> Iterator[Verdict]:
    """By the interval over items of the difference from the random directions' mean size, and beyond each of them."""
    for readout, layer, on in _places(view, "vector"):
        for trait in view.traits:
            own = view.part(readout, "vector", layer, trait, trait)
            drawn = view.part(readout, "random", layer, "", trait)
            sizes = drawn.groupby("draw")["effect"].mean().abs()
            less = own.assign(effect=own["effect"] - float(sizes.mean()))
            mean = mean_over_items(own).estimate
            said = verdict(f"{mean:+.3f} less the size of random", mean_over_items(less), f"{on}: {trait}")
            held = said.held and bool(mean > sizes.max())
            evidence = f"{said.evidence}; {len(sizes)} draws, up to {sizes.max():.3f} in size"
            yield Verdict(held, evidence, said.on, said.estimate, said.low, said.high)


def _beyond_portrait(view: _View) -> Iterator[Verdict]:
    for readout, layer, on in _places(view, "equal"):
        ours = view.diagonal(readout, "equal", layer)
        theirs = view.diagonal(readout, "portrait", -1)
        both = ours.merge(theirs, on=["trait", "item"], suffixes=("", "_portrait"))
        gap = _over_traits(both.assign(effect=both["effect"] - both["effect_portrait"]))
        yield verdict("vector less portrait, mean over traits", gap, on)
