"""The steps of an EAST run, in order, what they share, and the tables that follow from their rows.

Every condition's entropy and validity is a mean over prompts with a 95% interval that resamples whole episodes;
beside it stands the paired difference from the unsteered agent on the same prompts with the same seeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property, partial

import numpy as np
import pandas as pd
from torch import Tensor

from steering.vectors import SteeringVector
from workbench.families import Context, Step
from workbench.families.east.collect import (
    ESTIMATES,
    Condition,
    EvalPrompt,
    choose_prompts,
    estimate_vectors,
    play_extraction,
    play_settings,
    run_conditions,
)
from workbench.families.east.spec import EastSpec
from workbench.families.east.thoughts import over_represented, trace_thoughts
from workbench.models.fingerprint import stamp_of
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.statistics import Interval, cluster_bootstrap
from workbench.worlds.bandits.agents.behaviour import by_step, summarise


def steps(spec: EastSpec) -> Iterator[Step]:
    """Extraction and vectors, the grid of layers and multipliers, then the chosen cell beside every control."""
    layers = _layers(spec)
    draws, evals = spec.horizon * spec.completions, spec.prompts * spec.eval_completions
    played = len(spec.settings) * spec.episodes * spec.horizon * spec.behaviour_completions
    n_test = 6 + 2 * spec.control_seeds + len(spec.temperatures) + len(spec.top_ps) + 2 * len(spec.multipliers)
    for r in spec.renderings:
        extracted = spec.extraction_runs * draws
        yield Step(f"extraction-{r}", f"play {r} for extraction", partial(_extraction, r), extracted)
        yield Step(f"vectors-{r}", f"estimate vectors on {r}", partial(_vectors, r))
        yield Step(f"behaviour-{r}", f"play {r} unsteered", partial(_unsteered, r), played)
    for r in spec.renderings:
        for layer in layers:
            first = layer == layers[0]
            count = (len(spec.multipliers) - (not first)) * evals
            work = partial(_grid, r, layer, first)
            yield Step(f"grid-{r}-{layer}", f"multipliers at layer {layer} on {r}", work, count)
    for r in spec.renderings:
        yield Step(f"test-{r}", f"chosen layer, controls and baselines on {r}", partial(_test, r), n_test * evals)
        yield Step(f"thoughts-{r}", f"how much the thought decides on {r}", partial(_thoughts, r))
        yield Step(f"steered-{r}", f"play {r} steered and shuffled", partial(_steered, r), 2 * played)


def _layers(spec: EastSpec) -> tuple[int, ...]:
    """The layers of the grid: those asked for, or every ``layer_step``-th down from the last."""
    layers = spec.known_layers(spec.layers)
    return layers if spec.layers is not None else layers[::-1][:: spec.layer_step][::-1]


class EastRun(Context[EastSpec]):
    """What the steps and claims of one run share."""

    def vectors(self, rendering: str) -> dict[str, Tensor]:
        """Every estimate at every layer: ``{estimate: [layers, d]}``."""
        tensors: dict[str, Tensor] = self.folder.load_tensors(f"estimates-{rendering}")[0]
        return tensors

    def vector(self, rendering: str, layer: int) -> SteeringVector:
        """EAST's vector at a layer, with what it was made from."""
        vector = self.vectors(rendering)["east"][layer]
        details = {"method": "EAST", "rendering": rendering, "spec": self.folder.path.name}
        return SteeringVector(Site(layer), vector, **stamp_of(self.model), name=f"east-{rendering}", metadata=details)

    def prompts(self, rendering: str, kind: str) -> list[EvalPrompt]:
        """The prompts on which layer and multiplier are chosen (``select``) or tested (``test``)."""
        played = self.folder.read(f"behaviour-{rendering}")
        return choose_prompts(self.model, self.spec, rendering, played, kind)

    def chosen(self, rendering: str) -> tuple[int, float]:
        """The layer and multiplier with the most entropy on the selection prompts."""
        grid = self.gather("grid")
        table = results_table(grid[grid["rendering"] == rendering], self.gather("vectors"))
        return choose(table, self.spec, rendering)

    @cached_property  # asked for when every condition was run, and not before
    def rows(self) -> pd.DataFrame:
        """The rows of every condition, on both sets of prompts."""
        return pd.concat([self.gather("grid"), self.gather("test").drop(columns="texts")], ignore_index=True)


def _extraction(rendering: str, run: EastRun) -> pd.DataFrame:
    return play_extraction(run.model, run.spec, rendering, run.progress)


def _vectors(rendering: str, run: EastRun) -> pd.DataFrame:
    played = run.folder.read(f"extraction-{rendering}")
    vectors, norms = estimate_vectors(run.model, run.spec, rendering, played, run.progress)
    stamp = {**stamp_of(run.model), "component": "resid_post"}
    run.folder.save_tensors(f"estimates-{rendering}", vectors, stamp)
    return norms


def _unsteered(rendering: str, run: EastRun) -> pd.DataFrame:
    return play_settings(run.model, run.spec, rendering, {"unsteered": None}, progress=run.progress)


def _steered(rendering: str, run: EastRun) -> pd.DataFrame:
    layer, multiplier = run.chosen(rendering)
    vector = run.vector(rendering, layer)
    methods = {"east": vector, "shuffled": vector.shuffled(derive_seed(run.spec.seed, "shuffled", 0))}
    return play_settings(run.model, run.spec, rendering, methods, multiplier, run.progress)


def _grid(rendering: str, layer: int, unsteered: bool, run: EastRun) -> pd.DataFrame:
    """All multipliers at a layer; ``unsteered``: and none, which is the same at every layer."""
    vector, multipliers = run.vectors(rendering)["east"][layer], filter(None, run.spec.multipliers)
    conditions = [Condition("unsteered")] * unsteered
    conditions += [Condition("east", layer, multiplier, vector, source=rendering) for multiplier in multipliers]
    prompts = run.prompts(rendering, "select")
    rows = run_conditions(run.model, run.spec, rendering, prompts, conditions, progress=run.progress)
    return rows.assign(set="select")


def _test(rendering: str, run: EastRun) -> pd.DataFrame:
    conditions, prompts = list(_test_conditions(run, rendering)), run.prompts(rendering, "test")
    rows = run_conditions(run.model, run.spec, rendering, prompts, conditions, texts=True, progress=run.progress)
    return rows.assign(set="test")


def _test_conditions(run: EastRun, rendering: str) -> Iterator[Condition]:
    spec = run.spec
    layer, best = run.chosen(rendering)
    estimates = {name: vectors[layer] for name, vectors in run.vectors(rendering).items()}
    yield Condition("unsteered")
    yield Condition("request", request=True)
    for temperature in spec.temperatures:
        yield Condition("temperature", temperature=temperature)
    for top_p in spec.top_ps:
        yield Condition("top_p", top_p=top_p)
    for multiplier in filter(None, spec.multipliers):
        yield Condition("east", layer, multiplier, estimates["east"], source=rendering)
    own = SteeringVector(Site(layer), estimates["east"])
    for draw in range(spec.control_seeds):
        seed = derive_seed(spec.seed, "shuffled", draw)
        yield Condition("random", layer, best, own.random_like(seed).vector, source=rendering, draw=draw)
        curve = [m for m in spec.multipliers if m > 0 and draw == 0]  # the first draw has the whole curve
        for multiplier in sorted({best, *curve}):
            yield Condition("shuffled", layer, multiplier, own.shuffled(seed).vector, source=rendering, draw=draw)
    for method in ESTIMATES[1:]:
        # Ablations are compared at the length of EAST's vector, so that direction and not size is at stake.
        matched = estimates[method] * (own.norm / estimates[method].norm())
        yield Condition(method, layer, best, matched, source=rendering)
    for source in spec.renderings:
        if source != rendering:
            yield Condition("east", layer, best, run.vectors(source)["east"][layer], source=source)


def _thoughts(rendering: str, run: EastRun) -> pd.DataFrame:
    _, best = run.chosen(rendering)
    rows, prompts = run.folder.read(f"test-{rendering}"), run.prompts(rendering, "test")
    tables = []
    for method in ("unsteered", "east"):
        part = rows[(rows["method"] == method) & (rows["source"].isin(["", rendering]))]
        part = part[part["multiplier"] == (best if method == "east" else 0)].sort_values("prompt")
        traced = trace_thoughts(run.model, run.spec, rendering, prompts, part["texts"].tolist())
        tables.append(traced.assign(method=method))
    return pd.concat(tables, ignore_index=True)


def finish(run: EastRun) -> None:
    """Everything that is computed from rows: tables, vectors as artifacts."""
    folder, spec = run.folder, run.spec
    folder.save_table("results", results_table(run.rows, run.gather("vectors")))
    played = pd.concat([run.gather("behaviour"), run.gather("steered")], ignore_index=True)
    by = ["rendering", "method", "setting"]
    folder.save_table("behaviour", summarise(played, by))
    folder.save_table("entropy_by_step", by_step(played, "entropy", by))
    words, chosen = [], {}
    for rendering in spec.renderings:
        layer, best = run.chosen(rendering)
        run.vector(rendering, layer).save(folder.path / "artifacts" / f"vector-{rendering}.safetensors")
        tested = folder.read(f"test-{rendering}")
        steered = tested[
            (tested["method"] == "east") & (tested["multiplier"] == best) & (tested["source"] == rendering)
        ]
        unsteered = tested[tested["method"] == "unsteered"]
        words.append(over_represented(_texts(steered), _texts(unsteered)).assign(rendering=rendering))
        chosen[rendering] = {"layer": layer, "multiplier": best}
    folder.save_table("words", pd.concat(words, ignore_index=True))
    folder.write_json("chosen", chosen)


def _texts(rows: pd.DataFrame) -> list[str]:
    return [text for several in rows["texts"] for text in json.loads(several)]


KEYS = ["set", "rendering", "source", "method", "layer", "multiplier", "temperature", "top_p"]


def results_table(rows: pd.DataFrame, norms: pd.DataFrame) -> pd.DataFrame:
    """One row a condition and metric: ``estimate, low, high`` and the paired ``difference*`` from unsteered.

    Metrics: ``entropy`` (nats; over prompts with a valid completion) and ``valid`` (share of completions that parse).
    ``dose`` is multiplier * ||u|| / ||z||, the added vector's length as a share of the residual stream's.
    """
    base = rows[rows["method"] == "unsteered"].set_index(["set", "rendering", "prompt"])[["entropy", "valid"]]
    rows = rows.join(base, on=["set", "rendering", "prompt"], suffixes=("", "_base"))
    out = []
    for key, part in rows.groupby(KEYS, sort=True):
        for metric in ("entropy", "valid"):
            values = part[part[metric].notna() & part[f"{metric}_base"].notna()]
            level, change = _interval(values, metric), _interval(values, metric, f"{metric}_base")
            row = dict(zip(KEYS, key, strict=True)) | {"metric": metric, "prompts": len(part)}
            row |= {"estimate": level.estimate, "low": level.low, "high": level.high}
            row |= {"difference": change.estimate, "difference_low": change.low, "difference_high": change.high}
            out.append(row)
    table = pd.DataFrame(out)
    return table.assign(dose=_doses(table, norms))


def _interval(part: pd.DataFrame, metric: str, base: str | None = None) -> Interval:
    if part.empty:
        return Interval(float("nan"), float("nan"), float("nan"))
    values = part[metric] - part[base] if base else part[metric]
    return cluster_bootstrap(values.to_numpy(), part["episode"].to_numpy())


def _doses(table: pd.DataFrame, norms: pd.DataFrame) -> np.ndarray:
    norm = norms.set_index(["rendering", "estimate", "layer"])
    doses = []
    for row in table.itertuples():
        # Every added vector has the length of EAST's at that layer (see _test_conditions).
        key = (row.source or row.rendering, "east", row.layer)
        found = norm.loc[key] if key in norm.index else None
        doses.append(
            0.0 if found is None or not row.source else row.multiplier * found["norm"] / found["residual_norm"]
        )
    return np.array(doses)


def choose(results: pd.DataFrame, spec: EastSpec, rendering: str) -> tuple[int, float]:
    """The layer and multiplier with the most entropy on the selection prompts among those that stay valid."""
    part = results[(results["set"] == "select") & (results["rendering"] == rendering)]
    wide = part.pivot_table(index=["method", "layer", "multiplier"], columns="metric", values="estimate")
    floor = spec.min_valid * wide.loc[("unsteered", -1, 0.0), "valid"]
    steered = wide.loc["east"]
    allowed = steered[(steered["valid"] >= floor) & (steered.index.get_level_values("multiplier") > 0)]
    pool = allowed if len(allowed) else steered[steered.index.get_level_values("multiplier") > 0]
    layer, multiplier = pool["entropy"].idxmax()
    return int(layer), float(multiplier)
