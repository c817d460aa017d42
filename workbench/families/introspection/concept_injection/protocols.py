"""The kinds of trial: what is asked in each arm, and how the reply becomes numbers.

A protocol has arms; an arm asks one question of every concept.  Every arm is run without injection and, at every layer
and dose, with the concept's vector and with its norm-matched controls.  Seeds belong to (protocol, arm, concept),
so that conditions are compared under common random numbers.

Intentional control is apart: nothing is injected.  The sentence that the model is told to write is put into its mouth,
so that all arms have the same tokens, and the activations of those are compared with the concept's vector: is it there
when the model is told to think of it?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.activations import capture
from workbench.families.introspection.concept_injection import prompts
from workbench.families.introspection.concept_injection.coherence import reply_logprobs
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
    read: Callable[[InjectionContext, int, str, str, bool], Numbers] | None = None
    answers: str = ""
    control: str = ""


def _graded(context: InjectionContext, k: int, word: str, text: str, coherent: bool) -> Numbers:
    return {name: float(value) for name, value in vars(grade(text, context.words.concepts[word], coherent)).items()}


def _affirmed(context: InjectionContext, k: int, word: str, text: str, coherent: bool) -> Numbers:
    return {"coherent": float(coherent and not repeats(text)), "affirms": float(affirmation(text) is not None)}


def _named(context: InjectionContext, k: int, word: str, text: str, coherent: bool) -> Numbers:
    named = naming_of(text, context.words.concepts[word]) is not None
    return {"coherent": float(coherent and not repeats(text)), "names": float(named)}


def _transcribed(context: InjectionContext, k: int, word: str, text: str, coherent: bool) -> Numbers:
    sentence = prompts.SENTENCES[k % len(prompts.SENTENCES)]
    return _named(context, k, word, text, coherent) | {"transcription": transcribed(text, sentence)}


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
    """What is done to the model: a kind of vector at a layer, so strongly (``none``, ``perturbed``: no vector)."""

    vector: str
    layer: int = -1
    strength: float = 0.0


def arms_of(spec: InjectionSpec, protocol: str) -> list[Arm]:
    """The arms of a protocol that the spec does not leave out (control has none); exact ones sample nothing."""
    asked = [arm for arm in ARMS.get(protocol, ()) if not arm.control or arm.control in spec.controls]
    return [replace(arm, read=None) for arm in asked if arm.answers] if spec.exact else asked


def conditions(spec: InjectionSpec, protocol: str, arm: Arm, layer: int | None) -> list[Condition]:
    """Conditions of an arm at a layer, or (None) those without injection."""
    if layer is None:
        odd = protocol == "detection" and arm.name == "standard" and "perturbed" in spec.controls
        return [Condition("none"), *([Condition("perturbed")] if odd else [])]
    kinds = ("concept", *(kind for kind in CONTROL_VECTORS if kind in spec.controls))
    return [Condition(kind, layer, strength) for kind in kinds for strength in spec.strengths]


def protocol_rows(context: InjectionContext, protocol: str, layer: int | None) -> pd.DataFrame:
    """Rows of all arms of a protocol at a layer (None: without injection), one a completion.

    Columns ``protocol, arm, vector, layer, dose`` (or ``multiplier``)``, concept, trial, text`` and numbers of the
    reply (NaN where an arm does not have one); what is read off the logits stands in the rows of trial 0 only.
    """
    spec = context.spec
    rows: list[dict[str, Any]] = []
    for arm in arms_of(spec, protocol):
        asked = conditions(spec, protocol, arm, layer)
        cases = [(condition, k, word) for condition in asked for k, word in enumerate(context.words.concepts)]
        trials = [_trial(context, protocol, arm, *case) for case in cases]
        outcomes = run_trials(
            context.model, trials, max_new_tokens=spec.max_new_tokens, temperature=spec.temperature,
            progress=context.progress,
        )  # fmt: skip
        likely = reply_logprobs(context.model, trials, outcomes) if arm.read else [[]] * len(trials)
        floor = context.coherence.get((protocol, arm.name), 0.0)
        for (condition, k, word), outcome, logprobs in zip(cases, outcomes, likely, strict=True):
            labels = {"protocol": protocol, "arm": arm.name, "vector": condition.vector, "layer": condition.layer}
            labels |= {spec.scale: condition.strength, "concept": word}
            rows += [labels | row for row in _read(context, arm, k, word, outcome, logprobs, floor)]
    return pd.DataFrame(rows)


def _trial(context: InjectionContext, protocol: str, arm: Arm, condition: Condition, k: int, word: str) -> Trial:
    trial = place_trial(context, arm, k, word, context.seed(protocol, arm.name, word), condition.vector == "perturbed")
    if condition.layer < 0:
        return trial
    vector = context.vector(word, condition.layer, condition.vector)
    return replace(trial, vector=vector, multiplier=context.multiplier(vector, condition.strength))


def place_trial(
    context: InjectionContext, arm: Arm, k: int, word: str, seed: int, perturbed: bool = False
) -> Trial:  # fmt: skip
    """An arm's question about concept number k, without injection."""
    if perturbed:
        conversation = prompts.perturbed(k, context.words.baselines, context.seed("perturbed", word))
    else:
        conversation = arm.ask(context, k, word)
    placed = context.place(conversation)
    texts = {"yes_no": (*YES, *NO), "letters": tuple(LETTERS), "": ()}[arm.answers]
    draws = context.spec.trials if arm.read else 0
    answers = prompts.replies(context.model, texts, placed.tokens)
    return Trial(placed.tokens, placed.start, placed.stop, seed=seed, draws=draws, answers=answers)


def _read(
    context: InjectionContext, arm: Arm, k: int, word: str, outcome: Outcome, logprobs: Sequence[float], floor: float
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Rows of a trial's replies; ``logprobs`` are theirs under the unsteered model, ``floor`` from when on it is one
    that it could have written."""
    logits = _logits(context, arm, word, outcome.logprobs)
    if not arm.read:
        yield {"trial": 0, "text": "", **logits}
        return
    for trial, (text, logprob) in enumerate(zip(outcome.texts, logprobs, strict=True)):
        numbers = arm.read(context, k, word, text, logprob >= floor) | {"logprob": logprob}
        yield {"trial": trial, "text": text, **numbers, **(logits if trial == 0 else {})}


def _logits(context: InjectionContext, arm: Arm, word: str, logprobs: Sequence[float]) -> Numbers:
    if arm.answers == "yes_no":
        margin = yes_minus_no(logprobs)
        return {"yes_no": margin, "says_yes": float(margin > 0), "outside_mass": _outside(logprobs)}
    if arm.answers == "letters":
        own = options_of(context, word).index(word)
        others = [p for i, p in enumerate(logprobs) if i != own]
        margin = logprobs[own] - float(np.logaddexp.reduce(others))
        right = {"correct": float(logprobs[own] > max(others)), "option_logit": margin}
        return right | {"outside_mass": _outside(logprobs)}
    return {}


def _outside(logprobs: Sequence[float]) -> float:
    """The probability of a reply that begins with none of the answers."""
    return max(0.0, 1.0 - float(np.exp(logprobs).sum()))


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
    """Rows ``protocol, arm, vector, layer, dose, concept, trial, text, cosine``, one an arm, vector and layer.

    Arms ``think`` and ``avoid``; ``vector`` is what the activations are compared with: the concept's, or one of its
    controls.  ``none`` is the concept's vector while nothing is said of the concept (the plain instruction).
    """
    cosines = {arm: _cosines(context, arm) for arm in INTENTIONS}
    kinds = ("concept", *(kind for kind in CONTROL_VECTORS if kind in context.spec.controls))
    rows: list[dict[str, Any]] = []
    for arm in ("think", "avoid"):
        for layer in context.layers:
            for k, word in enumerate(context.words.concepts):
                labels = {"protocol": "control", "arm": arm, "layer": layer, context.spec.scale: 0.0}
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
