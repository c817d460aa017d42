"""The steps of a self-prediction run in their order, and the work of those that ask models and finetune them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pandas as pd

from workbench.families.family import Step
from workbench.families.introspection.self_prediction.companion import controls_rows, probe_rows, read_rows
from workbench.families.introspection.self_prediction.compliance import check_compliance
from workbench.families.introspection.self_prediction.context import FIRST, PredictionContext
from workbench.families.introspection.self_prediction.protocol import (
    Questions,
    behaviour,
    foreseen,
    sampled_behaviour,
    sampled_foresight,
)
from workbench.families.introspection.self_prediction.spec import COPY, SelfPredictionSpec
from workbench.models.language_model import LanguageModel

Get = Callable[[PredictionContext], LanguageModel]


def check(spec: SelfPredictionSpec, model: Any) -> None:
    """A candidate that is not there or is of another kind is refused, and not when its turn comes; so is a model whose
    answers to a few questions cannot be read."""
    if model is not None:
        check_compliance(model, Questions(spec), spec.max_new_tokens)
        return
    for name in spec.candidates:
        if name != COPY:
            spec.check_model(name)


def pairings(spec: SelfPredictionSpec) -> list[tuple[str, str]]:
    """(learner, target) of every finetuning on behaviour, by role; self-training has both the same."""
    seconds = [f"second-{k}" for k in range(1, spec.seconds + 1)]
    forward = [(FIRST, FIRST), *((second, FIRST) for second in seconds)]
    backward = [pair for second in seconds for pair in ((second, second), (FIRST, second))]
    return [*(forward if "forward" in spec.directions else []), *(backward if "backward" in spec.directions else [])]


def steps(spec: SelfPredictionSpec) -> Iterator[Step]:
    """All steps of a run: behaviour, predictions before and after finetuning, their spread, the shift, the probes."""
    layers, questions = spec.known_layers(spec.layers), Questions(spec)
    names = {FIRST: spec.model} | {f"candidate-{k}": name for k, name in enumerate(spec.candidates, 1)}
    for role, name in names.items():
        work = partial(_behaviour, get=_base(role), role="")
        yield Step(f"behaviour-{role}", f"what {name} answers", work, len(questions.all))
    sampled = questions.role("test", spec.calibration_prompts) if spec.samples and "forward" in spec.directions else []
    if sampled:
        yield Step(f"samples-{FIRST}", "how its answers spread", _sampled, spec.samples * len(sampled))
    yield from _finetunings(spec, questions, spec.samples * questions.pairs(sampled))
    if spec.probe != "none":
        yield Step("activations", "read activations at the hypothetical prompts", partial(read_rows, layers=layers))
        for layer in layers:
            yield Step(f"probe-{layer}", f"probe layer {layer}", partial(probe_rows, layer=layer))
        yield Step("probe-controls", "the probe's controls at the chosen layer", controls_rows)


def _finetunings(spec: SelfPredictionSpec, questions: Questions, draws: int) -> Iterator[Step]:
    """What is predicted before each finetuning and after it; ``draws``: sampled predictions, of M1's behaviour only."""
    test = questions.role("test")
    asked, pairs = questions.pairs(test), pairings(spec)
    predicting = {learner for learner, target in pairs if target == FIRST}

    def predictions(name: str, what: str, get: Get, spread: bool) -> Iterator[Step]:
        yield Step(f"foreseen-{name}", what, partial(_foreseen, get=get), asked)
        if draws and spread:
            yield Step(f"foresight-{name}", "how its predictions spread", partial(_sampled_foresight, get=get), draws)

    for role in dict.fromkeys(learner for learner, _ in pairs):
        yield from predictions(role, f"what {role} predicts before finetuning", _base(role), role in predicting)
    for learner, target in pairs:
        name, get = f"{learner}-on-{target}", _tuned(learner, target)
        train = partial(_train, learner=learner, target=target)
        yield Step(f"train-{name}", f"finetune {learner} on {target}'s behaviour", train)
        yield from predictions(name, f"what {name} predicts", get, target == FIRST)
        if learner == target:
            yield Step(f"behaviour-{name}", f"what {name} answers", partial(_behaviour, get=get), len(test))
        if learner == target == FIRST and spec.shift_pairs:
            shifted = PredictionContext.shifted
            yield Step("train-shifted", f"finetune {name} on another model's answers", _train_shifted)
            yield Step("behaviour-shifted", "what it answers now", partial(_behaviour, get=shifted), len(test))
            yield Step("foreseen-shifted", "what it predicts now", partial(_foreseen, get=shifted), asked)


def _base(role: str) -> Get:
    return lambda context: context.model_of(role)


def _tuned(learner: str, target: str) -> Get:
    return lambda context: context.tuned(learner, target)


def _behaviour(context: PredictionContext, get: Get, role: str = "test") -> pd.DataFrame:
    asked = context.questions.role(role) if role else context.questions.all
    return behaviour(get(context), asked, context.progress)


def _foreseen(context: PredictionContext, get: Get) -> pd.DataFrame:
    return foreseen(get(context), context.questions.role("test"), context.spec.max_new_tokens, context.progress)


def _sampled(context: PredictionContext) -> pd.DataFrame:
    spec, asked = context.spec, context.questions.role("test", context.spec.calibration_prompts)
    return sampled_behaviour(context.model, asked, spec.samples, context.seed("samples"), context.progress)


def _sampled_foresight(context: PredictionContext, get: Get) -> pd.DataFrame:
    spec, asked = context.spec, context.questions.role("test", context.spec.calibration_prompts)
    seed = context.seed("foresight")
    return sampled_foresight(get(context), asked, spec.max_new_tokens, spec.samples, seed, context.progress)


def _train(context: PredictionContext, learner: str, target: str) -> pd.DataFrame:
    pairs = context.training_pairs(context.model_of(learner), target)
    return _trained(context, learner, target, len(pairs), context.tuned(learner, target))


def _train_shifted(context: PredictionContext) -> pd.DataFrame:
    return _trained(context, FIRST, context.other, context.spec.shift_pairs, context.shifted())


def _trained(context: PredictionContext, learner: str, target: str, pairs: int, model: LanguageModel) -> pd.DataFrame:
    """One row: who learned from whom, from how many pairs at most, and the fingerprint of what came out."""
    names = {"learner_model": context.name(learner), "target_model": context.name(target)}
    row = {"learner": learner, "target": target} | names
    return pd.DataFrame([row | {"pairs": pairs, "fingerprint": model.fingerprint}])
