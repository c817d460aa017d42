"""Self-prediction (arXiv 2410.13787) as an Inspect task: does a model predict properties of its own answers?

Each sample asks the object-level question in a conversation of its own, and the hypothetical question in another.  The
first is answered by the model in the role ``target`` (default: the same model), so that ``--model-role target=...``
gives cross-prediction without training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import anyio
import numpy as np
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import (
    CORRECT,
    INCORRECT,
    NOANSWER,
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    grouped,
    metric,
    scorer,
    value_to_float,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver

from workbench.statistics import cluster_bootstrap
from workbench.worlds.questions.items import Item, items_of
from workbench.worlds.questions.properties import PROPERTIES, compliant, hypothetical, worked_examples
from workbench.worlds.questions.tasks import CHAT, load_tasks


@task
def self_prediction(
    tasks: str = "", items: int = 20, seed: int = 0, path: str | None = None, split: str = "held_out", shots: int = 2
) -> Task:
    """Samples: every property of ``items`` items of each task.

    ``tasks``: names separated by commas (default: all of ``split``, ``train``, ``held_out`` or ``all``); ``path``: a
    folder of the user's tasks (default: those for chat models); ``shots``: worked examples before a question.
    Samples whose object-level answer does not comply are dropped; a prediction that does not comply is wrong.  Metrics:
    accuracy over what is kept, with a 95% interval that resamples items; accuracy of the commonest answer of each task
    and property; the share kept; accuracy by task and property.
    """
    found = load_tasks([name.strip() for name in tasks.split(",")] if tasks else None, path or CHAT)
    samples = []
    for each in found.values():
        if not tasks and split not in ("all", each.split):
            continue
        for item in items_of(each, items, seed):
            for name in each.properties:
                about: dict[str, Any] = {
                    "task": each.name,
                    "property": name,
                    "item": item.id,
                    "cell": f"{each.name}/{name}",
                }
                about |= {"object_level": item.prompt, "max_new_tokens": each.max_new_tokens, "fields": vars(item)}
                about["examples"] = [list(pair) for pair in worked_examples(each, most=shots)]
                prop = PROPERTIES[name]
                asked = _messages(worked_examples(each, prop, shots), hypothetical(item, prop))
                samples.append(Sample(input=asked, id=f"{item.id}-{name}", metadata=about))
    return Task(
        dataset=MemoryDataset(samples, name="self-prediction"),
        solver=both_levels(),
        scorer=prediction(),
        config=GenerateConfig(temperature=0.0),
    )


def _messages(examples: Sequence[Sequence[str]], question: str) -> list[ChatMessage]:
    """A question behind (question, answer) examples."""
    shown = [
        message
        for told, answer in examples
        for message in (ChatMessageUser(content=told), ChatMessageAssistant(content=answer))
    ]
    return [*shown, ChatMessageUser(content=question)]


@solver
def both_levels() -> Solver:
    """The object-level answer (once an item) goes into the sample's metadata, the prediction is its output."""
    answers: dict[tuple[str, str], str] = {}
    locks: dict[tuple[str, str], anyio.Lock] = defaultdict(anyio.Lock)  # samples of an item run side by side

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        target = get_model(role="target")
        key = (str(target), state.metadata["object_level"])
        async with locks[key]:
            if key not in answers:
                config = GenerateConfig(temperature=0.0, max_tokens=state.metadata["max_new_tokens"])
                asked = _messages(state.metadata["examples"], key[1])
                answers[key] = (await target.generate(asked, config=config)).completion
        state.metadata["answer"] = answers[key]
        return await generate(state, temperature=0.0)

    return solve


def _item(fields: dict[str, Any]) -> Item:
    """An item from a sample's metadata, where tuples have become lists."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    return Item(**values)


@metric
def kept_accuracy() -> Metric:
    """Accuracy over the samples whose object-level answer complies (NaN when there are none)."""

    def compute(scores: list[SampleScore]) -> float:  # Inspect tells by the annotation what a metric takes
        return _mean([_right(score) for score in _kept(scores)])

    return compute


@metric
def interval() -> Metric:
    """Bounds of the 95% interval of :func:`kept_accuracy`, whole items resampled."""

    def compute(scores: list[SampleScore]) -> dict[str, float]:
        if not (kept := _kept(scores)):
            return {"low": float("nan"), "high": float("nan")}
        found = cluster_bootstrap([_right(score) for score in kept], [str(_about(score)["item"]) for score in kept])
        return {"low": found.low, "high": found.high}

    return compute


@metric
def commonest() -> Metric:
    """Accuracy of always saying the commonest true property of each task and property: the mode baseline."""

    def compute(scores: list[SampleScore]) -> float:
        truths: dict[str, Counter[str]] = defaultdict(Counter)
        for about in map(_about, _kept(scores)):
            truths[about["cell"]][about["truth"]] += 1
        total = sum(counts.total() for counts in truths.values())
        return sum(max(counts.values()) for counts in truths.values()) / total if total else float("nan")

    return compute


@metric
def kept() -> Metric:
    """Share of samples whose object-level answer complies."""

    def compute(scores: list[SampleScore]) -> float:
        return _mean([bool(_about(score).get("truth")) for score in scores])

    return compute


def _about(score: SampleScore) -> dict[str, Any]:
    return score.score.metadata or {}


def _kept(scores: list[SampleScore]) -> list[SampleScore]:
    return [score for score in scores if _about(score).get("truth")]


def _mean(values: list[Any]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _right(score: SampleScore) -> float:
    """1 for a correct prediction; Inspect turns values into numbers when it reduces epochs."""
    return value_to_float()(score.score.value)


@scorer(metrics=[kept_accuracy(), interval(), commonest(), kept(), grouped(kept_accuracy(), "cell", all=False)])
def prediction() -> Scorer:
    """Exact match of the predicted property with that of the object-level answer, both in lower case."""

    async def score(state: TaskState, target: Target) -> Score:
        about, item = state.metadata, _item(state.metadata["fields"])
        prop = PROPERTIES[about["property"]]
        truth = prop.of(about["answer"], item)
        said = compliant(state.output.completion, item, prop)
        noted = {"truth": truth, "cell": about["cell"], "item": about["item"], "object_level": about["answer"]}
        if truth is None:
            return Score(value=NOANSWER, answer=said, explanation="the object-level answer is dropped", metadata=noted)
        right = CORRECT if said == truth else INCORRECT
        return Score(value=right, answer=said, explanation=f"object level: {about['answer']!r}", metadata=noted)

    return score
