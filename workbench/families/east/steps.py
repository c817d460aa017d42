"""The steps of an EAST run, in order, what they share, and the tables that follow from their rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property, partial

import numpy as np
import pandas as pd
from torch import Tensor

from steering.calibration import Strength, strengths
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
from workbench.families.east.equal_draws import comparable
from workbench.families.east.results import Chosen, choose, results_table
from workbench.families.east.sizes import Sizes
from workbench.families.east.spec import EastSpec
from workbench.families.east.thoughts import over_represented, trace_thoughts
from workbench.models.fingerprint import stamp_of
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.worlds.bandits.agents.behaviour import by_step, summarise


def steps(spec: EastSpec) -> Iterator[Step]:
    """Extraction and vectors, the grid of layers and doses, then the chosen cell beside every control."""
    layers, size, played = _layers(spec), Sizes(spec), len(spec.settings) * spec.episodes
    for r in spec.renderings:
        for k, runs in enumerate(_units(spec, spec.extraction_runs)):
            sizes = size.played(len(runs), spec.completions)
            yield Step(f"extraction-{r}-{k}", f"play {r} for extraction", partial(_extraction, r, runs), **sizes)
        read = size.played(spec.extraction_runs, 0)
        yield Step(f"vectors-{r}", f"estimate vectors on {r}", partial(_vectors, r), **read)
        for k, own in enumerate(_units(spec, played)):
            sizes = size.played(len(own), spec.behaviour_completions)
            yield Step(f"behaviour-{r}-{k}", f"play {r} unsteered", partial(_unsteered, r, own), **sizes)
    for r in spec.renderings:
        for layer in layers:
            first = layer == layers[0]
            sizes = size.evaluated(len(_grid_of(spec)) - (not first), 1 + first)
            yield Step(f"grid-{r}-{layer}", f"doses at layer {layer} on {r}", partial(_grid, r, layer, first), **sizes)
    baselines = 2 + len(spec.temperatures) + len(spec.top_ps)
    tested = 4 + baselines + 2 * spec.control_seeds + 2 * len(_grid_of(spec))
    for r in spec.renderings:
        sizes = size.evaluated(tested, 1 + baselines)
        yield Step(f"test-{r}", f"chosen layer, controls and baselines on {r}", partial(_test, r), **sizes)
        if spec.thoughts:
            yield Step(
                f"thoughts-{r}", f"how much the thought decides on {r}", partial(_thoughts, r), **size.thoughts()
            )
        for k, own in enumerate(_units(spec, played, each=2)):
            sizes = size.played(2 * len(own), spec.behaviour_completions)
            yield Step(f"steered-{r}-{k}", f"play {r} steered and shuffled", partial(_steered, r, own), **sizes)


def _units(spec: EastSpec, episodes: int, each: int = 1) -> list[list[int]]:
    """Numbers of episodes, in parts of about ``spec.unit_episodes`` that are played together, ``each`` times each."""
    parts = -(-episodes * each // spec.unit_episodes)
    return [part.tolist() for part in np.array_split(np.arange(episodes), min(parts, episodes))]


def _grid_of(spec: EastSpec) -> tuple[float, ...]:
    """The doses, or the raw multipliers where these are asked for; 0 among them."""
    return spec.doses if spec.multipliers is None else spec.multipliers


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
        norms = self.gather("vectors").set_index(["rendering", "estimate", "layer"])["residual_norm"]
        details = {"method": "EAST", "rendering": rendering, "spec": self.folder.path.name}
        return SteeringVector(
            Site(layer), vector, **stamp_of(self.model), name=f"east-{rendering}", metadata=details,
            residual_norm=float(norms[rendering, "east", layer]),
        )  # fmt: skip

    def strengths(self, rendering: str, layer: int) -> list[Strength]:
        """The grid at a layer, without 0."""
        vector, spec = self.vector(rendering, layer), self.spec
        grid = [value for value in _grid_of(spec) if value]
        return strengths(vector, grid) if spec.multipliers is None else strengths(vector, multipliers=grid)

    def prompts(self, rendering: str, kind: str) -> list[EvalPrompt]:
        """The prompts on which layer and dose are chosen (``select``) or tested (``test``)."""
        played = self.gather(f"behaviour-{rendering}")
        return choose_prompts(self.model, self.spec, rendering, played, kind)

    def chosen(self, rendering: str) -> Chosen:
        """The layer and dose with the most entropy on the selection prompts."""
        grid = self.comparable(self.gather("grid"))
        return choose(results_table(grid[grid["rendering"] == rendering]), self.spec, rendering)

    def comparable(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of conditions with entropies of equally many answers."""
        return comparable(rows, self.spec.eval_completions, self.spec.exact)

    @cached_property  # asked for when every condition was run, and not before
    def rows(self) -> pd.DataFrame:
        """The rows of every condition, on both sets of prompts, with comparable entropies."""
        both = pd.concat([self.gather("grid"), self.gather("test").drop(columns="texts")], ignore_index=True)
        return self.comparable(both)


def _extraction(rendering: str, runs: list[int], run: EastRun) -> pd.DataFrame:
    return play_extraction(run.model, run.spec, rendering, run.progress, runs)


def _vectors(rendering: str, run: EastRun) -> pd.DataFrame:
    played = run.gather(f"extraction-{rendering}")
    vectors, norms = estimate_vectors(run.model, run.spec, rendering, played, run.progress)
    stamp = {**stamp_of(run.model), "component": "resid_post"}
    run.folder.save_tensors(f"estimates-{rendering}", vectors, stamp)
    return norms


def _unsteered(rendering: str, episodes: list[int], run: EastRun) -> pd.DataFrame:
    return play_settings(run.model, run.spec, rendering, {"unsteered": None}, progress=run.progress, episodes=episodes)


def _steered(rendering: str, episodes: list[int], run: EastRun) -> pd.DataFrame:
    best = run.chosen(rendering)
    vector = run.vector(rendering, best.layer)
    methods = {"east": vector, "shuffled": vector.shuffled(derive_seed(run.spec.seed, "shuffled", 0))}
    return play_settings(run.model, run.spec, rendering, methods, best.multiplier, run.progress, episodes)


def _grid(rendering: str, layer: int, unsteered: bool, run: EastRun) -> pd.DataFrame:
    """All doses at a layer; ``unsteered``: and none, which is the same at every layer."""
    vector = run.vectors(rendering)["east"][layer]
    conditions = [Condition("unsteered")] * unsteered
    for strength in run.strengths(rendering, layer):
        conditions.append(_added("east", layer, strength, vector, rendering))
    prompts = run.prompts(rendering, "select")
    rows = run_conditions(run.model, run.spec, rendering, prompts, conditions, progress=run.progress)
    return rows.assign(set="select")


def _test(rendering: str, run: EastRun) -> pd.DataFrame:
    conditions, prompts = list(_test_conditions(run, rendering)), run.prompts(rendering, "test")
    rows = run_conditions(run.model, run.spec, rendering, prompts, conditions, texts=True, progress=run.progress)
    return rows.assign(set="test")


def _test_conditions(run: EastRun, rendering: str) -> Iterator[Condition]:
    spec = run.spec
    layer, *chosen = run.chosen(rendering)
    best = Strength(*chosen)
    grid = run.strengths(rendering, layer)
    estimates = {name: vectors[layer] for name, vectors in run.vectors(rendering).items()}
    yield Condition("unsteered")
    yield Condition("request", request=True)
    for temperature in spec.temperatures:
        yield Condition("temperature", temperature=temperature)
    for top_p in spec.top_ps:
        yield Condition("top_p", top_p=top_p)
    for strength in grid:
        yield _added("east", layer, strength, estimates["east"], rendering)
    own = SteeringVector(Site(layer), estimates["east"])
    for draw in range(spec.control_seeds):
        seed = derive_seed(spec.seed, "shuffled", draw)
        yield _added("random", layer, best, own.random_like(seed).vector, rendering, draw)
        curve = [strength for strength in grid if strength.dose > 0 and draw == 0]  # the first draw has the whole curve
        for strength in sorted({best, *curve}):
            yield _added("shuffled", layer, strength, own.shuffled(seed).vector, rendering, draw)
    others = {(method, rendering): estimates[method] for method in ESTIMATES[1:]}
    others |= {("east", r): run.vectors(r)["east"][layer] for r in spec.renderings if r != rendering}
    for (method, source), vector in others.items():
        # Compared at the length of EAST's own vector, hence at equal dose: direction and not size is at stake.
        yield _added(method, layer, best, vector * (own.norm / vector.norm()), source)


def _added(method: str, layer: int, strength: Strength, vector: Tensor, source: str, draw: int = 0) -> Condition:
    return Condition(method, layer, strength.dose, strength.multiplier, vector, source=source, draw=draw)


def _thoughts(rendering: str, run: EastRun) -> pd.DataFrame:
    best = run.chosen(rendering)
    rows, prompts = run.folder.read(f"test-{rendering}"), run.prompts(rendering, "test")
    tables = []
    for method in ("unsteered", "east"):
        part = rows[(rows["method"] == method) & (rows["source"].isin(["", rendering]))]
        part = part[part["dose"] == (best.dose if method == "east" else 0)].sort_values("prompt")
        traced = trace_thoughts(run.model, run.spec, rendering, prompts, part["texts"].tolist())
        tables.append(traced.assign(method=method))
    return pd.concat(tables, ignore_index=True)


def finish(run: EastRun) -> None:
    """Everything that is computed from rows: tables, vectors as artifacts."""
    folder, spec = run.folder, run.spec
    folder.save_table("results", results_table(run.rows))
    played = pd.concat([run.gather("behaviour"), run.gather("steered")], ignore_index=True)
    played = comparable(played, spec.behaviour_completions, spec.exact)
    by = ["rendering", "method", "setting"]
    folder.save_table("behaviour", summarise(played, by))
    folder.save_table("entropy_by_step", by_step(played, "entropy", by))
    chosen = {rendering: run.chosen(rendering) for rendering in spec.renderings}
    for rendering, best in chosen.items():
        run.vector(rendering, best.layer).save(folder.path / "artifacts" / f"vector-{rendering}.safetensors")
    if spec.thoughts:
        words = [_words(run, rendering, best) for rendering, best in chosen.items()]
        folder.save_table("words", pd.concat(words, ignore_index=True))
    folder.write_json("chosen", {rendering: best._asdict() for rendering, best in chosen.items()})


def _words(run: EastRun, rendering: str, best: Chosen) -> pd.DataFrame:
    """Words of the thoughts at the chosen dose beside those without steering."""
    tested, text = run.folder.read(f"test-{rendering}"), run.spec.text(rendering)
    steered = tested[(tested["method"] == "east") & (tested["dose"] == best.dose) & (tested["source"] == rendering)]
    thoughts = [
        [text.thought(said) for several in part["texts"] for said in json.loads(several)]
        for part in (steered, tested[tested["method"] == "unsteered"])
    ]
    return over_represented(thoughts[0], thoughts[1]).assign(rendering=rendering)
