"""Concept injection (arXiv 2601.01828) as an Inspect task, for models of the workbench (``--model workbench/NAME``).

The detection protocol with its controls: no injection, random and shuffled vectors of the same norm, neutral wording,
unrelated questions, odd input.  The whole grid with every protocol is the experiment ``concept-injection``; this task
is for reading transcripts in Inspect's viewer and for grading them with any judge that Inspect reaches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import anyio
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser, ModelOutput, get_model
from inspect_ai.scorer import Score, Scorer, Target, grouped, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from steering.calibration import strengths
from steering.vectors import SteeringVector
from workbench.families.introspection.concept_injection import prompts
from workbench.families.introspection.concept_injection.coherence import reply_logprobs
from workbench.families.introspection.concept_injection.judge import FRAME, QUESTIONS
from workbench.families.introspection.concept_injection.protocols import NO, YES, yes_minus_no
from workbench.families.introspection.concept_injection.scorers import affirmation, grade, repeats
from workbench.families.introspection.concept_injection.spec import layers_between
from workbench.families.introspection.concept_injection.trials import Trial, run_trials
from workbench.families.introspection.concept_injection.vectors import concept_vectors, control_vector
from workbench.families.introspection.concept_injection.words import Words, load_words
from workbench.inspect_provider import language_model_of
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.sites import Site

Layer = int | Literal["auto"]


@task
def concept_injection(
    layer: Layer = "auto", dose: float = 0.6, concepts: int = 50, baselines: int = 100, words: str | None = None,
    max_new_tokens: int = 100, temperature: float | None = None, seed: int = 0, judge: str | None = None,
    multiplier: float | None = None,
) -> Task:  # fmt: skip
    """Samples: every concept under every condition.  ``layer`` "auto" is the one two thirds up; -1 is the last.

    ``dose``: the length of what is added as a share of the residual stream's; ``multiplier``: in place of it, multiples
    of the vector.  ``judge``: a model of Inspect (``openai/gpt-4o``, ``workbench/NAME``) that grades replies beside the
    rules.  The rules' ``coherent`` says here that a reply does not repeat itself; how likely it is without injection is
    the metric ``unsteered_logprob`` (nats a token), to be compared with that of the conditions without injection.
    """
    listed = load_words(words).first(concepts, baselines)
    graders = [*(_graded(name) for name in ("success", "affirms", "names", "coherent")), logit_margin()]
    graders.append(unsteered_logprob())
    strength = {"dose": dose} if multiplier is None else {"multiplier": multiplier}
    return Task(
        dataset=MemoryDataset(list(_samples(listed, seed)), name="concept-injection"),
        solver=inject(layer, strength, words, concepts, baselines, max_new_tokens, temperature, seed),
        scorer=[*graders, *([judged(judge)] if judge else [])],
    )


def _samples(words: Words, seed: int) -> Iterator[Sample]:
    """Conditions: ``arm`` says what is asked, ``vector`` what is injected."""
    asked = [("standard", vector) for vector in ("concept", "none", "random", "shuffled", "perturbed")]
    asked += [(arm, vector) for arm in ("neutral", "unrelated") for vector in ("concept", "none", "random")]
    for k, word in enumerate(words.concepts):
        for arm, vector in asked:
            about: dict[str, Any] = {"concept": word, "arm": arm, "vector": vector, "condition": f"{arm}/{vector}"}
            about |= {"forms": list(words.concepts[word])}
            conversation = _conversation(k, word, arm, vector, words, seed)
            yield Sample(input=_messages(conversation), id=f"{word}-{arm}-{vector}", metadata=about | {"number": k})


def _conversation(k: int, word: str, arm: str, vector: str, words: Words, seed: int) -> prompts.Conversation:
    if vector == "perturbed":
        return prompts.perturbed(k, words.baselines, derive_seed(seed, "perturbed", word))
    return {"standard": prompts.detection(), "neutral": prompts.neutral(), "unrelated": prompts.unrelated(k)}[arm]


def _messages(conversation: prompts.Conversation) -> list[ChatMessage]:
    kinds = {"user": ChatMessageUser, "assistant": ChatMessageAssistant}
    return [kinds[role](content=text) for role, text in conversation.messages]


@solver
def inject(
    layer: Layer, strength: dict[str, float], words: str | None, concepts: int, baselines: int, max_new_tokens: int,
    temperature: float | None, seed: int,
) -> Solver:  # fmt: skip
    """Answers a sample with its vector added from the trial text on, through every generated token."""
    known: dict[LanguageModel, dict[str, SteeringVector]] = {}
    listed = load_words(words).first(concepts, baselines)

    def vectors(model: LanguageModel) -> dict[str, SteeringVector]:
        if model not in known:
            at = _layer(layer, model.n_layers)
            found = concept_vectors(model, list(listed.concepts), listed.baselines, [at])
            known[model] = found[at]
        return known[model]

    def answer(model: LanguageModel, about: dict[str, Any], epoch: int) -> tuple[str, float, float]:
        word, kind = about["concept"], about["vector"]
        conversation = _conversation(about["number"], word, about["arm"], kind, listed, seed)
        placed = prompts.place(model, conversation)
        vector = None if kind in ("none", "perturbed") else vectors(model)[word]
        if vector is not None and kind != "concept":
            vector = control_vector(vector, kind, derive_seed(seed, "inspect", kind, word))
        answers = prompts.replies(model, (*YES, *NO), placed.tokens)
        drawn = derive_seed(seed, "inspect", about["arm"], word, epoch)
        times = 0.0 if vector is None else strengths(vector, model=model, **_listed(strength))[0].multiplier
        trial = Trial(placed.tokens, placed.start, placed.stop, vector, times, drawn, 1, answers)
        (outcome,) = run_trials(model, [trial], max_new_tokens=max_new_tokens, temperature=temperature)
        ((likely,),) = reply_logprobs(model, [trial], [outcome])
        return outcome.texts[0], yes_minus_no(outcome.logprobs), likely

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = language_model_of(get_model())
        prompts.need_chat(model)
        text, margin, likely = await anyio.to_thread.run_sync(
            partial(answer, model, state.metadata, state.epoch), limiter=limiter
        )
        state.metadata |= {"yes_no": margin, "unsteered_logprob": likely}
        state.output = ModelOutput.from_content(model.name, text)
        state.messages.append(state.output.message)
        return state

    limiter = anyio.CapacityLimiter(1)  # vectors are made once, and passes run one after another
    return solve


def _listed(strength: dict[str, float]) -> dict[str, list[float]]:
    """The one strength as the grid that :func:`steering.calibration.strengths` takes."""
    return {f"{name}s": [value] for name, value in strength.items()}


def _layer(layer: Layer, n_layers: int) -> int:
    return layers_between(n_layers, 1)[0] if layer == "auto" else Site(layer).resolve(n_layers).layer


def _graded(name: str) -> Scorer:
    """One of the rules' grades (``success``, ``affirms``, ``names``, ``coherent``), as a rate for each condition."""

    @scorer(metrics=[grouped(mean(), "condition", all=False)], name=name)
    def graded() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            text = state.output.completion
            found = vars(grade(text, state.metadata["forms"]))
            if state.metadata["arm"] == "unrelated":  # nothing to name: a claim alone is what must not happen
                found = found | {"success": not repeats(text) and affirmation(text) is not None}
            return Score(value=float(found[name]), answer=text)

        return score

    return graded()


@scorer(metrics=[grouped(mean(), "condition", all=False)])
def logit_margin() -> Scorer:
    """Yes minus no (nats) where the reply begins, as a mean for each condition."""

    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=float(state.metadata["yes_no"]))

    return score


@scorer(metrics=[grouped(mean(), "condition", all=False)])
def unsteered_logprob() -> Scorer:
    """Mean log-probability a token (nats) of the reply without injection, as a mean for each condition."""

    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=float(state.metadata["unsteered_logprob"]))

    return score


@scorer(metrics=[grouped(mean(), "condition", all=False)])
def judged(judge: str) -> Scorer:
    """Whether a judge says yes to all of the judge's questions, as a rate for each condition."""

    async def score(state: TaskState, target: Target) -> Score:
        text, word, answers = state.output.completion, state.metadata["concept"], {}
        for name, question in QUESTIONS.items():
            asked = FRAME.format(text=text.strip(), question=question.format(word=word))
            answers[name] = (await get_model(judge).generate(asked)).completion
        agreed = all(affirmation(answer) is not None for answer in answers.values())
        return Score(value=float(agreed), answer=text, explanation=str(answers))

    return score
