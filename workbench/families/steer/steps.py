"""The steps of a steering run: the vectors, what is beside them, every layer, then the controls where it acts best."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steering import mean_difference
from steering.vectors import SteeringVector
from workbench.activations import capture
from workbench.families import Context, Step
from workbench.families.steer.concept import Concept, read_concept
from workbench.families.steer.measures import Condition, measure
from workbench.families.steer.spec import SteerSpec
from workbench.families.steer.summary import choose
from workbench.models.fingerprint import stamp_of
from workbench.sites import Site

VECTORS = "vectors"
_PER_WORD = 1.3  # tokens


def steps(spec: SteerSpec) -> Iterator[Step]:
    """Vectors and baselines, a step a layer, and one a kind of control."""
    concept = read_concept(spec.concept)
    each = _tokens(concept)
    layers = spec.known_layers(spec.layers)
    read = round(_PER_WORD * sum(len(text.split()) for pair in concept.pairs for text in pair))
    yield Step(VECTORS, f"make the vector of {concept.title} from {len(concept.pairs)} pairs", _vectors, tokens=read)
    yield Step("baselines", "unsteered, and with a sentence in front", _baselines, tokens=3 * each)
    for layer in layers:
        count = len(spec.doses) * each
        yield Step(f"grid-{layer}", f"{len(spec.doses)} doses at layer {layer}", partial(_grid, layer), tokens=count)
    for name, n in (("random", spec.random), ("shuffled", spec.shuffled)):
        what = f"{n} {name} directions at the chosen layer and dose"
        yield Step(f"control-{name}", what, partial(_control, name, n), tokens=n * each)


def _tokens(concept: Concept) -> int:
    """About how many a condition takes: every word behind every prompt's last token, and the neutral texts."""
    prompts = len(concept.prompts.choose) + len(concept.prompts.test)
    return round(prompts * len(concept.all_words) + _PER_WORD * sum(len(text.split()) for text in concept.neutral))


def vector(run: Context[SteerSpec], layer: int) -> SteeringVector:
    """The concept's vector at a layer, of the length that it was found with."""
    made: dict[str, Tensor] = run.folder.load_tensors(VECTORS)[0]
    details = {"method": "mean difference", "concept": run.spec.concept}
    return SteeringVector(Site(layer), made[str(layer)], **stamp_of(run.model), name=run.spec.concept, metadata=details)


def _vectors(run: Context[SteerSpec]) -> pd.DataFrame:
    """Mean difference of the last tokens of each pair, at every layer of the grid."""
    pairs = read_concept(run.spec.concept).pairs
    layers = run.spec.known_layers(run.spec.layers)
    texts = [up for up, _ in pairs] + [down for _, down in pairs]
    read = capture(run.model, texts, list(layers), "last", progress=run.progress)
    is_up, number = np.arange(len(texts)) < len(pairs), np.arange(len(texts)) % len(pairs)
    made = {layer: mean_difference(read[layer].float(), is_up, groups=number) for layer in layers}
    run.folder.save_tensors(VECTORS, {str(layer): one for layer, one in made.items()}, stamp_of(run.model))
    rows = [
        {"layer": layer, "norm": float(one.norm()), "residual_norm": run.model.residual_norm(Site(layer))}
        for layer, one in made.items()
    ]
    return pd.DataFrame(rows)


def _baselines(run: Context[SteerSpec]) -> pd.DataFrame:
    concept = read_concept(run.spec.concept)
    fronts = [Condition("prompt", side=side, front=getattr(concept.prompt, side)) for side in ("up", "down")]
    return measure(run.model, concept, [Condition("unsteered"), *fronts])


def _grid(layer: int, run: Context[SteerSpec]) -> pd.DataFrame:
    direction = vector(run, layer).vector
    conditions = [Condition("vector", layer, dose, direction) for dose in run.spec.doses]
    return measure(run.model, read_concept(run.spec.concept), conditions)


def _control(name: str, n: int, run: Context[SteerSpec]) -> pd.DataFrame:
    """Random directions, or the vector with its entries in another order, where the vector acts best."""
    rows = pd.concat([run.gather("baselines"), run.gather("grid")], ignore_index=True)
    layer, dose = choose(rows, run.spec.max_damage)
    own = vector(run, layer)
    draws = [_drawn(name, own, run.seed(name, draw)) for draw in range(n)]
    conditions = [Condition(name, layer, dose, direction, draw) for draw, direction in enumerate(draws)]
    return measure(run.model, read_concept(run.spec.concept), conditions)


def _drawn(name: str, own: SteeringVector, seed: int) -> Tensor:
    drawn: Tensor = (own.random_like(seed) if name == "random" else own.shuffled(seed)).vector
    return drawn.to(torch.float32)
