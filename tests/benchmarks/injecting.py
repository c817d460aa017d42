"""Concept injection: the grid as one batch, and the vectors of all words from one pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from measure import Row, at_least, compare

from steering.interventions import Add
from workbench.activations import capture
from workbench.families.introspection.concept_injection import prompts
from workbench.families.introspection.concept_injection.trials import Trial, run_trials
from workbench.families.introspection.concept_injection.vectors import concept_vectors
from workbench.families.introspection.concept_injection.words import load_words
from workbench.models import load_model
from workbench.models.interventions import Scope, Window
from workbench.models.language_model import LanguageModel
from workbench.sites import Site

__all__ = ["grids", "vectors"]

MULTIPLIERS, NEW = (1.0, 2.0, 4.0, 8.0), 32


def grids(model_name: str, quick: bool) -> list[Row]:
    """Multipliers x layers x concepts of detection trials, against one ``generate`` for each of them."""
    model = load_model(model_name)
    words = load_words()
    layers, concepts = ([1, 3], list(words.concepts)[:2]) if quick else ([0, 2, 4], list(words.concepts)[:8])
    found = concept_vectors(model, concepts, words.baselines[:10], layers)
    placed = prompts.place(model, prompts.detection())
    cells = [(found[layer][word], multiplier) for layer in layers for multiplier in MULTIPLIERS for word in concepts]
    trials = [
        Trial(placed.tokens, placed.start, None, vector, multiplier, seed=k)
        for k, (vector, multiplier) in enumerate(cells)
    ]
    one = _one_by_one(model, trials)
    ours = lambda: [outcome.texts[0] for outcome in run_trials(model, trials, max_new_tokens=NEW)]  # noqa: E731
    _check(ours(), one())
    (timed,) = compare(ours, [one], 1 if quick else 5)
    note = f"{model_name}; {len(layers)} layers x {len(MULTIPLIERS)} multipliers x {len(concepts)} concepts, prompts of"
    note += f" {len(placed.tokens)} tokens injected from token {placed.start} on, {NEW} new tokens, same replies"
    return [at_least("concept injection: the grid as per-row batches, over cell by cell", timed, 3, note)]


def vectors(model_name: str, quick: bool) -> list[Row]:
    """Vectors of 150 words at 6 layers, against a capture for each layer."""
    model = load_model(model_name)
    words, layers = load_words(), list(range(min(6, model.n_layers)))
    few = words.first(5, 10) if quick else words
    asked = [*few.concepts, *few.baselines]

    def ours() -> torch.Tensor:
        found = concept_vectors(model, list(few.concepts), few.baselines, layers)
        return torch.stack([vector.vector for each in found.values() for vector in each.values()])

    def layer_by_layer() -> torch.Tensor:
        rows = []
        inputs = [[{"role": "user", "content": prompts.ABOUT.format(word=word)}] for word in asked]
        for layer in layers:
            z = capture(model, inputs, Site(layer)).activations[Site(layer)].double()
            rows.append((z[: len(few.concepts)] - z[len(few.concepts) :].mean(0)).float())
        return torch.cat(rows)

    torch.testing.assert_close(ours(), layer_by_layer(), atol=1e-4, rtol=1e-4)
    (timed,) = compare(ours, [layer_by_layer], 1 if quick else 9)
    note = f"{model_name}; {len(asked)} words at {len(layers)} layers, same vectors"
    return [at_least("concept vectors in one pass, over a pass a layer", timed, 2, note)]


def _one_by_one(model: LanguageModel, trials: list[Trial]) -> Callable[[], list[str]]:
    def run() -> list[str]:
        texts = []
        for trial in trials:
            scope = Scope(Window(trial.start, None), Window())
            steer = [Add(trial.vector, trial.multiplier, scope=scope)]
            ((done,),) = model.generate(
                [list(trial.tokens)], max_new_tokens=NEW, seeds=[trial.seed], interventions=steer
            )
            texts.append(done.text)
        return texts

    return run


def _check(ours: list[str], other: list[str]) -> None:
    """Both ways must say the same (a rounding may tip a draw)."""
    same = sum(a == b for a, b in zip(ours, other, strict=True))
    if same < 0.9 * len(ours):
        raise AssertionError(f"only {same} of {len(ours)} replies agree: the two ways do not do the same thing")
