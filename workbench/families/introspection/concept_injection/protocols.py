"""The kinds of trial: what is asked in each arm, and how the reply becomes numbers.

A protocol has arms; an arm asks one question of every concept.  Every arm is run without injection and, at every layer
and multiplier, with the concept's vector and with its norm-matched controls.  Seeds belong to (protocol, arm, concept),
so that conditions are compared under common random numbers.

Intentional control is apart: nothing is injected.  The sentence that the model is told to write is put into its mouth,
so that all arms have the same tokens, and the activations of those are compared with the concept's vector: is it there
when the model is told to think of it?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.activations import capture
from workbench.families.introspection.concept_injection import prompts
from workbench.families.introspection.concept_injection.prompts import INTENTIONS, LETTERS, Conversation, intention
from workbench.families.introspection.concept_injection.scorers import (
    affirmation,
    grade,
    naming_of,
    repeats,
    transcribed,
)
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.concept_injection.trials import Outcome, Trial, run_trials
from workbench.families.introspection.concept_injection.vectors import CONTROL_VECTORS
from workbench.sites import Site

if TYPE_CHECKING:
    from workbench.families.introspection.concept_injection.steps import InjectionContext


YES, NO = ("Yes", "yes"), ("No", "no")
Numbers = dict[str, float]


@dataclass(frozen=True)
class Arm:
    """One question of a protocol.

    ``ask`` makes the conversation of concept number k; ``read`` grades a sampled reply (None: nothing is sampled);
    ``answers`` are scored as the reply's beginning: ``yes_no``, ``letters`` or none.  ``control``: the name under which
    a spec may leave the arm out.
    """

    name: str
    ask: Callable[[InjectionContext, int, str], Conversation]
    read: Callable[[InjectionContext, int, str, str], Numbers] | None = None
    answers: str = ""
    control: str = ""


def _graded(context: InjectionContext, k: int, word: str, text: str) -> Numbers:
    return {name: float(value) for name, value in vars(grade(text, context.words.concepts[word])).items()}


def _affirmed(context: InjectionContext, k: int, word: str, text: str) -> Numbers:
    return {"coherent": float(not repeats(text)), "affirms": float(affirmation(text) is not None)}


def _named(context: InjectionContext, k: int, word: str, text: str) -> Numbers:
    named = naming_of(text, context.words.concepts[word]) is not None
    return {"coherent": float(not repeats(text)), "names": float(named)}


def _transcribed(context: InjectionContext, k: int, word: str, text: str) -> Numbers:
    sentence = prompts.SENTENCES[k % len(prompts.SENTENCES)]
    return {"names": _named(context, k, word, text)["names"], "transcription": transcribed(text, sentence)}


ARMS: dict[str, tuple[Arm, ...]] = {
    "detection": (
        Arm("standard", lambda c, k, word: prompts.detection(), _graded, "yes_no"),
        Arm("neutral", lambda c, k, word: prompts.neutral(), _graded, "yes_no", control="neutral"),
        Arm("unrelated", lambda c, k, word: prompts.unrelated(k), _affirmed, "yes_no", control="unrelated"),
        Arm("choice", lambda c, k, word: prompts.choice(options_of(c, word)), None, "letters", control="choice"),
    ),
    "naming": (Arm("standard", lambda c, k, word: prompts.naming(), _named),),
    "thought": (
        Arm("thought", lambda c, k, word: prompts.thought(k), _named),
        Arm("text", lambda c, k, word: prompts.transcription(k), _transcribed),
    ),
    "prefill": (Arm("standard", lambda c, k, word: prompts.prefill(word, k), _affirmed, "yes_no"),),
    "kv_cache": (
        Arm("standard", lambda c, k, word: prompts.kv_cache(), None, "yes_no"),
        Arm(
            "unrelated", lambda c, k, word: prompts.kv_cache(f"{prompts.UNRELATED[k % 10]} Answer yes or no."), None,
            "yes_no", control="unrelated",
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """What is done to the model: a kind of vector at a layer and multiplier (``none``, ``perturbed``: no vector)."""

    vector: str
    layer: int = -1
    multiplier: float = 0.0


def arms_of(spec: InjectionSpec, protocol: str) -> list[Arm]:
    """The arms of a protocol that the spec does not leave out."""
    return [arm for arm in ARMS[protocol] if not arm.control or arm.control in spec.controls]


def conditions(spec: InjectionSpec, protocol: str, arm: Arm, layer: int | None) -> list[Condition]:
    """Conditions of an arm at a layer, or (None) those without injection."""
    if layer is None:
        odd = protocol == "detection" and arm.name == "standard" and "perturbed" in spec.controls
        return [Condition("none"), *([Condition("perturbed")] if odd else [])]
    kinds = ("concept", *(kind for kind in CONTROL_VECTORS if kind in spec.controls))
    return [Condition(kind, layer, multiplier) for kind in kinds for multiplier in spec.multipliers]


def protocol_rows(context: InjectionContext, protocol: str, layer: int | None) -> pd.DataFrame:
    """Rows of all arms of a protocol at a layer (None: without injection), one a completion.

    Columns ``protocol, arm, vector, layer, multiplier, concept, trial, text`` and numbers of the reply (NaN where an
    arm does not have one); what is read off the logits stands in the rows of trial 0 only.
    """
    rows: list[dict[str, Any]] = []
    for arm in arms_of(context.spec, protocol):
        asked = conditions(context.spec, protocol, arm, layer)
        cases = [(condition, k, word) for condition in asked for k, word in enumerate(context.words.concepts)]
        trials = [_trial(context, protocol, arm, *case) for case in cases]
        outcomes = run_trials(
            context.model, trials, max_new_tokens=context.spec.max_new_tokens, temperature=context.spec.temperature,
            progress=context.progress,
        )  # fmt: skip
        for (condition, k, word), outcome in zip(cases, outcomes, strict=True):
            labels = {"protocol": protocol, "arm": arm.name, **vars(condition), "concept": word}
            rows += [labels | row for row in _read(context, arm, k, word, outcome)]
    return pd.DataFrame(rows)


def _trial(context: InjectionContext, protocol: str, arm: Arm, condition: Condition, k: int, word: str) -> Trial:
    if condition.vector == "perturbed":
        conversation = prompts.perturbed(k, context.words.baselines, context.seed("perturbed", word))
    else:
        conversation = arm.ask(context, k, word)
    placed = context.place(conversation)
    vector = context.vector(word, condition.layer, condition.vector) if condition.layer >= 0 else None
    texts = {"yes_no": (*YES, *NO), "letters": tuple(LETTERS), "": ()}[arm.answers]
    return Trial(
        placed.tokens, placed.start, placed.stop, vector, condition.multiplier, context.seed(protocol, arm.name, word),
        context.spec.trials if arm.read else 0, prompts.replies(context.model, texts, placed.tokens),
    )  # fmt: skip


def _read(context: InjectionContext, arm: Arm, k: int, word: str, outcome: Outcome) -> Iterator[dict[str, Any]]:
    logits = _logits(context, arm, word, outcome.logprobs)
    texts = outcome.texts if arm.read else [""]
    for trial, text in enumerate(texts):
        numbers = arm.read(context, k, word, text) if arm.read else {}
        yield {"trial": trial, "text": text, **numbers, **(logits if trial == 0 else {})}


def _logits(context: InjectionContext, arm: Arm, word: str, logprobs: Sequence[float]) -> Numbers:
    if arm.answers == "yes_no":
        margin = yes_minus_no(logprobs)
        return {"yes_no": margin, "says_yes": float(margin > 0)}
    if arm.answers == "letters":
        own = options_of(context, word).index(word)
        others = [p for i, p in enumerate(logprobs) if i != own]
        margin = logprobs[own] - float(np.logaddexp.reduce(others))
        return {"correct": float(logprobs[own] > max(others)), "option_logit": margin}
    return {}


def yes_minus_no(logprobs: Sequence[float]) -> float:
    """``log p(yes) - log p(no)`` from the log-probabilities of the answers in :data:`YES` and :data:`NO`, in order.

    Where yes and no are one token each it is the difference of their logits.

    >>> round(yes_minus_no([-1.0, -1e9, -3.0, -1e9]), 6)
    2.0
    """
    yes, no = logprobs[: len(YES)], logprobs[len(YES) :]
    return float(np.logaddexp.reduce(yes) - np.logaddexp.reduce(no))


def options_of(context: InjectionContext, word: str) -> list[str]:
    """The words of a forced choice in their order: the concept and others of the list; its place is random."""
    rng = np.random.default_rng(context.seed("choice", word))
    others = [other for other in context.words.concepts if other != word]
    options = [word, *rng.choice(others, size=len(LETTERS) - 1, replace=False).tolist()]
    return [options[i] for i in rng.permutation(len(options))]


def control_rows(context: InjectionContext) -> pd.DataFrame:
    """Rows ``protocol, arm, vector, layer, multiplier, concept, trial, text, cosine``, one an arm, vector and layer.

    Arms ``think`` and ``avoid``; ``vector`` is what the activations are compared with: the concept's, or one of its
    controls.  ``none`` is the concept's vector while nothing is said of the concept (the plain instruction).
    """
    cosines = {arm: _cosines(context, arm) for arm in INTENTIONS}
    kinds = ("concept", *(kind for kind in CONTROL_VECTORS if kind in context.spec.controls))
    rows: list[dict[str, Any]] = []
    for arm in ("think", "avoid"):
        for layer in context.layers:
            for k, word in enumerate(context.words.concepts):
                labels = {"protocol": "control", "arm": arm, "layer": layer, "multiplier": 0.0}
                labels |= {"concept": word, "trial": 0, "text": ""}
                found = {kind: cosines[arm][layer, kind][k] for kind in kinds}
                found["none"] = cosines["plain"][layer, "concept"][k]
                rows += [labels | {"vector": kind, "cosine": value} for kind, value in found.items()]
    return pd.DataFrame(rows)


def _cosines(context: InjectionContext, arm: str) -> dict[tuple[int, str], list[float]]:
    """``{(layer, vector): [concepts]}``, each the mean over the sentence's tokens."""
    words = list(context.words.concepts)
    asked = [intention(word, arm, k) for k, word in enumerate(words)]
    placed = [list(context.place(each).tokens) for each in asked]
    lengths = [len(whole) - len(context.model.encode(each.chat)) for whole, each in zip(placed, asked, strict=True)]
    found: dict[tuple[int, str], dict[int, float]] = {}
    for length in sorted(set(lengths)):  # sentences of one length in one capture
        rows = [k for k, each in enumerate(lengths) if each == length]
        inputs: list[Any] = [placed[k] for k in rows]
        read = capture(context.model, inputs, [Site(layer) for layer in context.layers], list(range(-length, 0)))
        for site, activations in read.activations.items():
            z = activations.double().reshape(len(rows), length, -1)  # [concepts tokens d]
            for kind in ("concept", *CONTROL_VECTORS):
                vectors = torch.stack([context.vector(words[k], site.layer, kind).vector.double() for k in rows])
                cosines = torch.cosine_similarity(z, vectors[:, None], dim=-1).mean(1)
                found.setdefault((site.layer, kind), {}).update(zip(rows, cosines.tolist(), strict=True))
    return {key: [values[k] for k in range(len(words))] for key, values in found.items()}
