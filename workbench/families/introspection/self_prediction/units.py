"""The units of a self-prediction run in their order, and the work of those that ask models and finetune them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from workbench.families.introspection.self_prediction.companion import controls_unit, probe_unit, read_unit
from workbench.families.introspection.self_prediction.job import FIRST, Job, Work
from workbench.families.introspection.self_prediction.protocol import (
    behaviour,
    foreseen,
    sampled_behaviour,
    sampled_foresight,
)
from workbench.families.introspection.self_prediction.questions import Questions
from workbench.families.introspection.self_prediction.spec import SelfPredictionSpec
from workbench.families.units import Unit
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["pairings", "units_of"]

Get = Callable[[Job], LanguageModel]


def pairings(spec: SelfPredictionSpec) -> list[tuple[str, str]]:
    """(learner, target) of every finetuning on behaviour, by role; self-training has both the same."""
    seconds = [f"second-{k}" for k in range(1, spec.seconds + 1)]
    forward = [(FIRST, FIRST), *((second, FIRST) for second in seconds)]
    backward = [pair for second in seconds for pair in ((second, second), (FIRST, second))]
    return [*(forward if "forward" in spec.directions else []), *(backward if "backward" in spec.directions else [])]


def units_of(spec: SelfPredictionSpec, layers: tuple[int, ...]) -> Iterator[Unit[Job]]:
    """All steps of a run: behaviour, predictions before and after finetuning, their spread, the shift, the probes."""
    questions = Questions(spec)
    test = questions.role("test")
    counts = len(questions.all), questions.pairs(test)
    first_role = [FIRST, *(f"candidate-{k}" for k in range(1, len(spec.candidates) + 1))]
    for role in first_role:
        what = f"what {spec.model if role == FIRST else spec.candidates[int(role[10:]) - 1]} answers"
        yield Unit(f"behaviour-{role}", what, counts[0], _behaviour(_base(role)))
    pairs = pairings(spec)
    sampled = questions.role("test", spec.calibration_prompts) if spec.samples and "forward" in spec.directions else []
    draws = spec.samples * questions.pairs(sampled)
    if sampled:
        yield Unit(f"samples-{FIRST}", "how its answers spread", spec.samples * len(sampled), _sampled)
    pairs = pairings(spec)
    predicted = {learner for learner, target in pairs if target == FIRST}  # whose predictions are sampled, too
    for role in dict.fromkeys(learner for learner, _ in pairs):
        yield Unit(f"foreseen-{role}", f"what {role} predicts before finetuning", counts[1], _foreseen(_base(role)))
        if sampled and role in predicted:
            yield Unit(f"foresight-{role}", "how its predictions spread", draws, _sampled_foresight(_base(role)))
    for learner, target in pairs:
        name, get = f"{learner}-on-{target}", _tuned(learner, target)
        yield Unit(f"train-{name}", f"finetune {learner} on {target}'s behaviour", 0, _train(learner, target))
        yield Unit(f"foreseen-{name}", f"what {name} predicts", counts[1], _foreseen(get))
        if sampled and target == FIRST:
            yield Unit(f"foresight-{name}", "how its predictions spread", draws, _sampled_foresight(get))
        if learner == target:
            yield Unit(f"behaviour-{name}", f"what {name} answers", len(test), _behaviour(get, True))
        if learner == target == FIRST and spec.shift_pairs:
            yield Unit("train-shifted", f"finetune {name} on another model's answers", 0, _train_shifted)
            yield Unit("behaviour-shifted", "what it answers now", len(test), _behaviour(Job.shifted, True))
            yield Unit("foreseen-shifted", "what it predicts now", counts[1], _foreseen(Job.shifted))
    if spec.probe != "none":
        yield Unit("activations", "read activations at the hypothetical prompts", 0, lambda job: read_unit(job, layers))
        for layer in layers:
            yield Unit(f"probe-{layer}", f"probe layer {layer}", 0, probe_unit(layer))
        yield Unit("probe-controls", "the probe's controls at the chosen layer", 0, controls_unit)


def _base(role: str) -> Get:
    return lambda job: job.model(role)


def _tuned(learner: str, target: str) -> Get:
    return lambda job: job.tuned(learner, target)


def _behaviour(get: Get, test_only: bool = False) -> Work:
    def work(job: Job) -> pd.DataFrame:
        questions = job.questions.role("test") if test_only else job.questions.all
        return behaviour(get(job), questions, job.progress)

    return work


def _foreseen(get: Get) -> Work:
    def work(job: Job) -> pd.DataFrame:
        return foreseen(get(job), job.questions.role("test"), job.spec.max_new_tokens, job.progress)

    return work


def _sampled(job: Job) -> pd.DataFrame:
    spec, asked = job.spec, job.questions.role("test", job.spec.calibration_prompts)
    return sampled_behaviour(job.first, asked, spec.samples, derive_seed(spec.seed, "samples"), job.progress)


def _sampled_foresight(get: Get) -> Work:
    def work(job: Job) -> pd.DataFrame:
        spec, asked = job.spec, job.questions.role("test", job.spec.calibration_prompts)
        seed = derive_seed(spec.seed, "foresight")
        return sampled_foresight(get(job), asked, spec.max_new_tokens, spec.samples, seed, job.progress)

    return work


def _train(learner: str, target: str) -> Work:
    def work(job: Job) -> pd.DataFrame:
        pairs = job.training_pairs(job.model(learner), target)
        return _trained(job, learner, target, len(pairs), job.tuned(learner, target))

    return work


def _train_shifted(job: Job) -> pd.DataFrame:
    return _trained(job, FIRST, job.other, job.spec.shift_pairs, job.shifted())


def _trained(job: Job, learner: str, target: str, pairs: int, model: LanguageModel) -> pd.DataFrame:
    """One row: who learned from whom, from how many pairs at most, and the fingerprint of what came out."""
    import pandas as pd

    row = {"learner": learner, "target": target, "learner_model": job.name(learner), "target_model": job.name(target)}
    return pd.DataFrame([row | {"pairs": pairs, "fingerprint": model.fingerprint}])
