"""The steps of an EAST run, in order, what they share, and the tables that follow from their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property

import pandas as pd
from torch import Tensor

from steering.vectors import SteeringVector
from workbench.families import Context, Step
from workbench.families.east.collect import ESTIMATES, estimate_vectors, play_extraction, play_settings
from workbench.families.east.conditions import Condition, EvalPrompt, choose_prompts, run_conditions
from workbench.families.east.spec import EastSpec
from workbench.families.east.summary import choose, results_table
from workbench.families.east.thoughts import over_represented, trace_thoughts
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.worlds.bandits.agents.behaviour import by_step, summarise


def steps(spec: EastSpec) -> Iterator[Step]:
    """Extraction and vectors, the grid of layers and multipliers, then the chosen cell beside every control."""
    layers = _layers(spec)
    draws, evals = spec.horizon * spec.completions, spec.prompts * spec.eval_completions
    played = len(spec.settings) * spec.episodes * spec.horizon * spec.behaviour_completions
    n_test = 6 + 2 * spec.control_seeds + len(spec.temperatures) + len(spec.top_ps) + 2 * len(spec.multipliers)
    for r in spec.renderings:
        yield Step(f"extraction-{r}", f"play {r} for extraction", _extraction(r), spec.extraction_runs * draws)
        yield Step(f"vectors-{r}", f"estimate vectors on {r}", _vectors(r))
        yield Step(f"behaviour-{r}", f"play {r} unsteered", _behaviour(r, steered=False), played)
    for r in spec.renderings:
        for layer in layers:
            first = layer == layers[0]
            count = (len(spec.multipliers) - (not first)) * evals
            yield Step(f"grid-{r}-{layer}", f"multipliers at layer {layer} on {r}", _grid(r, layer, first), count)
    for r in spec.renderings:
        yield Step(f"test-{r}", f"chosen layer, controls and baselines on {r}", _test(r), n_test * evals)
        yield Step(f"thoughts-{r}", f"how much the thought decides on {r}", _thoughts(r))
        yield Step(f"steered-{r}", f"play {r} steered and shuffled", _behaviour(r, steered=True), 2 * played)


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
        return SteeringVector(
            Site(layer), vector, self.model.fingerprint, self.model.basis, f"east-{rendering}", details
        )

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


Work = Callable[[EastRun], "pd.DataFrame"]


def _extraction(rendering: str) -> Work:
    return lambda run: play_extraction(run.model, run.spec, rendering, run.progress)


def _vectors(rendering: str) -> Work:
    def work(run: EastRun) -> pd.DataFrame:
        played = run.folder.read(f"extraction-{rendering}")
        vectors, norms = estimate_vectors(run.model, run.spec, rendering, played, run.progress)
        stamp = {"fingerprint": run.model.fingerprint, "basis": run.model.basis, "component": "resid_post"}
        run.folder.save_tensors(f"estimates-{rendering}", vectors, stamp)
        return norms

    return work


def _behaviour(rendering: str, steered: bool) -> Work:
    def work(run: EastRun) -> pd.DataFrame:
        if not steered:
            return play_settings(run.model, run.spec, rendering, {"unsteered": None}, progress=run.progress)
        layer, multiplier = run.chosen(rendering)
        vector = run.vector(rendering, layer)
        methods = {"east": vector, "shuffled": vector.shuffled(derive_seed(run.spec.seed, "shuffled", 0))}
        return play_settings(run.model, run.spec, rendering, methods, multiplier, run.progress)

    return work


def _grid(rendering: str, layer: int, unsteered: bool) -> Work:
    """All multipliers at a layer; ``unsteered``: and none, which is the same at every layer."""

    def work(run: EastRun) -> pd.DataFrame:
        vector = run.vectors(rendering)["east"][layer]
        conditions = [Condition("unsteered")] * unsteered + [
            Condition("east", layer, multiplier, vector, source=rendering)
            for multiplier in run.spec.multipliers
            if multiplier
        ]
        prompts = run.prompts(rendering, "select")
        rows = run_conditions(run.model, run.spec, rendering, prompts, conditions, progress=run.progress)
        return rows.assign(set="select")

    return work


def _test(rendering: str) -> Work:
    def work(run: EastRun) -> pd.DataFrame:
        conditions = list(_test_conditions(run, rendering))
        prompts = run.prompts(rendering, "test")
        rows = run_conditions(run.model, run.spec, rendering, prompts, conditions, texts=True, progress=run.progress)
        return rows.assign(set="test")

    return work


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


def _thoughts(rendering: str) -> Work:
    def work(run: EastRun) -> pd.DataFrame:
        _, best = run.chosen(rendering)
        rows = run.folder.read(f"test-{rendering}")
        prompts = run.prompts(rendering, "test")
        tables = []
        for method in ("unsteered", "east"):
            part = rows[(rows["method"] == method) & (rows["source"].isin(["", rendering]))]
            part = part[part["multiplier"] == (best if method == "east" else 0)].sort_values("prompt")
            traced = trace_thoughts(run.model, run.spec, rendering, prompts, part["texts"].tolist())
            tables.append(traced.assign(method=method))
        return pd.concat(tables, ignore_index=True)

    return work


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
