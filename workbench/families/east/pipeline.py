"""The order of an EAST run.  Each step is a unit of the run folder: finished units are never done again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from steering.vectors import SteeringVector
from workbench.errors import SpecError
from workbench.families.east.collect import (
    ESTIMATES,
    estimate_vectors,
    play_extraction,
    play_settings,
)
from workbench.families.east.evaluate import Condition, EvalPrompt, choose_prompts, evaluate
from workbench.families.east.spec import EastSpec
from workbench.families.east.summary import choose, orderings, results_table
from workbench.families.east.thoughts import over_represented, trace_thoughts
from workbench.families.units import Say, Unit, run_units
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, n_layers_of
from workbench.provenance import provenance
from workbench.runs import RunFolder
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.worlds.bandits.agents.behaviour import by_step, summarise

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

__all__ = ["plan", "run"]


def plan(spec: EastSpec) -> list[tuple[str, str, int]]:
    """Units in order: (name, what it does, completions it draws)."""
    return [(unit.name, unit.what, unit.completions) for unit in _units(spec, n_layers_of(spec.model))]


def run(
    spec: EastSpec,
    root: str | os.PathLike[str],
    name: str | None = None,
    progress: bool = False,
    say: Say | None = None,
) -> Path:
    """Run (or go on with) an EAST run in ``root``; return its folder.

    Tables end up in the folder's artifacts (``results``, ``orderings``, ``behaviour``, ``words``...), vectors beside
    them as :class:`SteeringVector` files.  ``say`` gets one line a unit.
    """
    model = load_model(spec.model, spec.backend, device=spec.device, device_map=spec.device_map, dtype=spec.dtype)
    with RunFolder.open(root, "east", spec, name, provenance(model, spec.seed)) as folder:
        job = _Job(model, spec, folder, progress)
        run_units(folder, _units(spec, model.n_layers), job, say)
        _finish(job)
    return folder.path


def _units(spec: EastSpec, n_layers: int) -> Iterator[Unit[_Job]]:
    layers = range(n_layers)[::-1][:: spec.layer_step][::-1] if spec.layers is None else spec.layers
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise SpecError(f"layer {layer} does not exist: {spec.model} has layers 0 to {n_layers - 1}")
    draws, evals = spec.horizon * spec.completions, spec.prompts * spec.eval_completions
    behaviour = len(spec.settings) * spec.episodes * spec.horizon * spec.behaviour_completions
    n_test = 6 + 2 * spec.control_seeds + len(spec.temperatures) + len(spec.top_ps) + 2 * len(spec.multipliers)
    for r in spec.renderings:
        yield Unit(f"extraction-{r}", f"play {r} for extraction", spec.extraction_runs * draws, _extraction(r))
        yield Unit(f"vectors-{r}", f"estimate vectors on {r}", 0, _vectors(r))
        yield Unit(f"behaviour-{r}", f"play {r} unsteered", behaviour, _behaviour(r, steered=False))
    for r in spec.renderings:
        for layer in layers:
            first = layer == layers[0]
            count = (len(spec.multipliers) - (not first)) * evals
            yield Unit(f"grid-{r}-{layer}", f"multipliers at layer {layer} on {r}", count, _grid(r, layer, first))
    for r in spec.renderings:
        yield Unit(f"test-{r}", f"chosen layer, controls and baselines on {r}", n_test * evals, _test(r))
        yield Unit(f"thoughts-{r}", f"how much the thought decides on {r}", 0, _thoughts(r))
        yield Unit(f"steered-{r}", f"play {r} steered and shuffled", 2 * behaviour, _behaviour(r, steered=True))


class _Job:
    """What the units of one run share."""

    def __init__(self, model: LanguageModel, spec: EastSpec, folder: RunFolder, progress: bool) -> None:
        self.model, self.spec, self.folder, self.progress = model, spec, folder, progress

    def vectors(self, rendering: str) -> dict[str, Tensor]:
        return self.folder.load_tensors(f"estimates-{rendering}")[0]

    def prompts(self, rendering: str, kind: str) -> list[EvalPrompt]:
        steps = self.folder.read(f"behaviour-{rendering}")
        return choose_prompts(self.model, self.spec, rendering, steps, kind)

    def norms(self) -> pd.DataFrame:
        return self.gather("vectors")

    def gather(self, kind: str) -> pd.DataFrame:
        import pandas as pd

        names = [unit for unit in self.folder.steps() if unit.startswith(f"{kind}-")]
        return pd.concat([self.folder.read(name) for name in names], ignore_index=True)

    def chosen(self, rendering: str) -> tuple[int, float]:
        grid = self.gather("grid")
        return choose(results_table(grid[grid["rendering"] == rendering], self.norms()), self.spec, rendering)


Work = Callable[[_Job], "pd.DataFrame"]


def _extraction(rendering: str) -> Work:
    return lambda job: play_extraction(job.model, job.spec, rendering, job.progress)


def _vectors(rendering: str) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        steps = job.folder.read(f"extraction-{rendering}")
        vectors, norms = estimate_vectors(job.model, job.spec, rendering, steps, job.progress)
        stamp = {"fingerprint": job.model.fingerprint, "basis": job.model.basis, "component": "resid_post"}
        job.folder.save_tensors(f"estimates-{rendering}", vectors, stamp)
        return norms

    return work


def _behaviour(rendering: str, steered: bool) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        if not steered:
            return play_settings(job.model, job.spec, rendering, {"unsteered": None}, progress=job.progress)
        layer, multiplier = job.chosen(rendering)
        vector = _steering_vector(job, rendering, layer)
        methods = {"east": vector, "shuffled": vector.shuffled(derive_seed(job.spec.seed, "shuffled", 0))}
        return play_settings(job.model, job.spec, rendering, methods, multiplier, job.progress)

    return work


def _steering_vector(job: _Job, rendering: str, layer: int) -> SteeringVector:
    site = Site(layer)
    vector = job.vectors(rendering)["east"][layer]
    details = {"method": "EAST", "rendering": rendering, "spec": job.folder.path.name}
    return SteeringVector(site, vector, job.model.fingerprint, job.model.basis, f"east-{rendering}", details)


def _grid(rendering: str, layer: int, unsteered: bool) -> Work:
    """All multipliers at a layer; ``unsteered``: and none, which is the same at every layer."""

    def work(job: _Job) -> pd.DataFrame:
        vector = job.vectors(rendering)["east"][layer]
        conditions = [Condition("unsteered")] * unsteered + [
            Condition("east", layer, multiplier, vector, source=rendering)
            for multiplier in job.spec.multipliers
            if multiplier
        ]
        prompts = job.prompts(rendering, "select")
        rows = evaluate(job.model, job.spec, rendering, prompts, conditions, progress=job.progress)
        return rows.assign(set="select")

    return work


def _test(rendering: str) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        conditions = list(_test_conditions(job, rendering))
        prompts = job.prompts(rendering, "test")
        rows = evaluate(job.model, job.spec, rendering, prompts, conditions, texts=True, progress=job.progress)
        return rows.assign(set="test")

    return work


def _test_conditions(job: _Job, rendering: str) -> Iterator[Condition]:
    spec = job.spec
    layer, best = job.chosen(rendering)
    estimates = {name: vectors[layer] for name, vectors in job.vectors(rendering).items()}
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
            yield Condition("east", layer, best, job.vectors(source)["east"][layer], source=source)


def _thoughts(rendering: str) -> Work:
    def work(job: _Job) -> pd.DataFrame:
        import pandas as pd

        _, best = job.chosen(rendering)
        rows = job.folder.read(f"test-{rendering}")
        prompts = job.prompts(rendering, "test")
        tables = []
        for method in ("unsteered", "east"):
            part = rows[(rows["method"] == method) & (rows["source"].isin(["", rendering]))]
            part = part[part["multiplier"] == (best if method == "east" else 0)].sort_values("prompt")
            traced = trace_thoughts(job.model, job.spec, rendering, prompts, part["texts"].tolist())
            tables.append(traced.assign(method=method))
        return pd.concat(tables, ignore_index=True)

    return work


def _finish(job: _Job) -> None:
    """Everything that is computed from rows: tables, vectors as artifacts."""
    import pandas as pd

    folder, spec = job.folder, job.spec
    rows = pd.concat([job.gather("grid"), job.gather("test").drop(columns="texts")], ignore_index=True)
    results = results_table(rows, job.norms())
    folder.save_table("results", results)
    folder.save_table("orderings", orderings(results, rows, spec, job.model.n_layers))
    played = pd.concat([job.gather("behaviour"), job.gather("steered")], ignore_index=True)
    by = ["rendering", "method", "setting"]
    folder.save_table("behaviour", summarise(played, by))
    folder.save_table("entropy_by_step", by_step(played, "entropy", by))
    words, chosen = [], {}
    for rendering in spec.renderings:
        layer, best = job.chosen(rendering)
        _steering_vector(job, rendering, layer).save(folder.path / "artifacts" / f"vector-{rendering}.safetensors")
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
