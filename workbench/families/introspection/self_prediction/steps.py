"""The steps of a self-prediction run in their order, and the work of those that ask models and finetune them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

from workbench.families.family import Step
from workbench.families.introspection.self_prediction.companion import controls_rows, probe_rows, read_rows
from workbench.families.introspection.self_prediction.compliance import check_compliance
from workbench.families.introspection.self_prediction.context import AT, FIRST, PredictionContext
from workbench.families.introspection.self_prediction.protocol import (
    Question,
    Questions,
    behaviour,
    foreseen,
    sampled_behaviour,
    sampled_foresight,
)
from workbench.families.introspection.self_prediction.spec import COPY, SelfPredictionSpec
from workbench.models.language_model import LanguageModel
from workbench.worlds.questions.properties import worked_examples

Get = Callable[[PredictionContext], LanguageModel]
Ask = Callable[..., pd.DataFrame]  # of a context and its questions=
_LETTERS, _AROUND = 4, 30  # letters a token; tokens around a question: the property asked for, the chat template
_PASSES = 3  # forward passes that learning from a prompt costs


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
    """All steps of a run: behaviour, predictions before and after finetuning, their spread, the shift, the probes.

    Answers are a step a task (``behaviour-first@animals``), so that none takes long.
    """
    layers, questions = spec.known_layers(spec.layers), Questions(spec)
    names = {FIRST: spec.model} | {f"candidate-{k}": name for k, name in enumerate(spec.candidates, 1)}
    for role, name in names.items():
        yield from _answers(
            questions.all, f"behaviour-{role}", f"what {name} answers", partial(_behaviour, _base(role))
        )
    sampled = questions.role("test", spec.calibration_prompts) if spec.samples and "forward" in spec.directions else []
    yield from _answers(sampled, f"samples-{FIRST}", "how its answers spread", _sampled, draws=spec.samples)
    yield from _finetunings(spec, questions, sampled)
    if spec.probe != "none":
        read = 3 * _read([*questions.role("train", spec.probe_prompts), *questions.role("test")])
        work = partial(read_rows, layers=layers)
        yield Step("activations", "read activations at the hypothetical prompts", work, tokens=read)
        for layer in layers:
            yield Step(f"probe-{layer}", f"probe layer {layer}", partial(probe_rows, layer=layer))
        yield Step("probe-controls", "the probe's controls at the chosen layer", controls_rows)


def _finetunings(spec: SelfPredictionSpec, questions: Questions, sampled: list[Question]) -> Iterator[Step]:
    """What is predicted before each finetuning and after it; predictions of M1's behaviour are ``sampled``, too."""
    test, pairs = questions.role("test"), pairings(spec)
    predicting = {learner for learner, target in pairs if target == FIRST}
    trained = _PASSES * spec.epochs * _read(questions.role("train"))

    def predictions(name: str, what: str, get: Get, spread: bool) -> Iterator[Step]:
        yield from _answers(test, f"foreseen-{name}", what, partial(_foreseen, get), properties=True)
        if spread:
            work, draws = partial(_sampled_foresight, get), spec.samples
            yield from _answers(sampled, f"foresight-{name}", "how its predictions spread", work, True, draws)

    for role in dict.fromkeys(learner for learner, _ in pairs):
        yield from predictions(role, f"what {role} predicts before finetuning", _base(role), role in predicting)
    for learner, target in pairs:
        name, get = f"{learner}-on-{target}", _tuned(learner, target)
        train = partial(_train, learner=learner, target=target)
        yield Step(f"train-{name}", f"finetune {learner} on {target}'s behaviour", train, tokens=trained)
        yield from predictions(name, f"what {name} predicts", get, target == FIRST)
        if learner == target:
            yield from _answers(test, f"behaviour-{name}", f"what {name} answers", partial(_behaviour, get))
        if learner == target == FIRST and spec.shift_pairs:
            get = PredictionContext.shifted
            yield Step("train-shifted", f"finetune {name} on another model's answers", _train_shifted)
            yield from _answers(test, "behaviour-shifted", "what it answers now", partial(_behaviour, get))
            yield from _answers(test, "foreseen-shifted", "what it predicts now", partial(_foreseen, get), True)


def _answers(
    questions: Sequence[Question], name: str, what: str, ask: Ask, properties: bool = False, draws: int = 1
) -> Iterator[Step]:
    """One step a task: ``ask(context, questions)`` of the task's, each once or (``properties``) once a property."""
    for task in dict.fromkeys(question.task.name for question in questions):
        own = [question for question in questions if question.task.name == task]
        n = sum(len(question.properties) if properties else 1 for question in own)
        read = _read(own) if properties else sum(map(_length, own))
        work = partial(ask, questions=own)
        yield Step(f"{name}{AT}{task}", f"{what}, {task}", work, n * draws, tokens=read)


def _read(asked: Sequence[Question]) -> int:
    """Tokens of the hypothetical questions about all properties, about."""
    return sum(_length(question) * len(question.properties) for question in asked)


def _length(question: Question) -> int:
    """Tokens of a prompt, about: examples and all."""
    told = [
        question.item.prompt,
        *(text for pair in worked_examples(question.task, most=question.shots) for text in pair),
    ]
    return sum(map(len, told)) // _LETTERS + _AROUND * (1 + question.shots)


def _base(role: str) -> Get:
    return lambda context: context.model_of(role)


def _tuned(learner: str, target: str) -> Get:
    return lambda context: context.tuned(learner, target)


def _behaviour(get: Get, context: PredictionContext, questions: Sequence[Question]) -> pd.DataFrame:
    return behaviour(get(context), questions, context.progress)


def _foreseen(get: Get, context: PredictionContext, questions: Sequence[Question]) -> pd.DataFrame:
    return foreseen(get(context), questions, context.spec.max_new_tokens, context.progress)


def _sampled(context: PredictionContext, questions: Sequence[Question]) -> pd.DataFrame:
    return sampled_behaviour(context.model, questions, context.spec.samples, context.seed("samples"), context.progress)


def _sampled_foresight(get: Get, context: PredictionContext, questions: Sequence[Question]) -> pd.DataFrame:
    spec, seed = context.spec, context.seed("foresight")
    return sampled_foresight(get(context), questions, spec.max_new_tokens, spec.samples, seed, context.progress)


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
