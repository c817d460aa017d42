"""Coherence: is a reply one that the model itself could have written?

A reply's mean log-probability a token (nats) under the model without injection, at the same prompt, is compared with
that of the model's own replies, sampled without injection at temperature 1: below their 5% quantile it is not coherent.
So whatever is usual for a model is coherent for it, a short word that it would never say is not, and gibberish made of
words is not.  What is said again and again is likely under any model, so a reply that repeats itself is not coherent
either, by rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.families.introspection.concept_injection.trials import Outcome, Trial, run_trials
from workbench.models.language_model import LanguageModel

if TYPE_CHECKING:
    from workbench.families.introspection.concept_injection.steps import InjectionContext

OWN = "own-replies"  # the step
QUANTILE = 0.05  # of the model's own replies, the share that would not count as coherent
Floors = dict[tuple[str, str], float]


def own_replies(context: InjectionContext) -> pd.DataFrame:
    """``spec.reference`` replies without injection to the question of each arm that samples any: rows ``protocol, arm,
    concept, text, logprob``."""
    from workbench.families.introspection.concept_injection.protocols import arms_of, place_trial

    spec, words = context.spec, list(context.words.concepts)
    found: list[dict[str, Any]] = []
    for protocol, arm in [(p, arm) for p in spec.protocols for arm in arms_of(spec, p) if arm.read]:
        asked = [words[k % len(words)] for k in range(spec.reference)]
        seeds = [context.seed("own replies", protocol, arm.name, k) for k in range(spec.reference)]
        trials = [
            replace(place_trial(context, arm, words.index(word), word, seed), draws=1, answers=())
            for word, seed in zip(asked, seeds, strict=True)
        ]
        outcomes = run_trials(
            context.model, trials, max_new_tokens=spec.max_new_tokens, temperature=1.0, progress=context.progress
        )
        likely = reply_logprobs(context.model, trials, outcomes)
        for word, outcome, (logprob,) in zip(asked, outcomes, likely, strict=True):
            labels = {"protocol": protocol, "arm": arm.name, "concept": word}
            found.append(labels | {"text": outcome.texts[0], "logprob": logprob})
    return pd.DataFrame(found, columns=["protocol", "arm", "concept", "text", "logprob"])


def reply_logprobs(model: LanguageModel, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> list[list[float]]:
    """The mean log-probability a token (nats) of every reply of every trial under the unsteered model; NaN for an empty
    one.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> trial = Trial(model.encode("a b c"), draws=1)
    >>> ((logprob,),) = reply_logprobs(model, [trial], run_trials(model, [trial], max_new_tokens=3))
    >>> logprob < 0
    True
    """
    asked = [Trial(t.tokens, draws=0, answers=tuple(o.tokens)) for t, o in zip(trials, outcomes, strict=True)]
    scored = run_trials(model, asked, max_new_tokens=0)
    return [
        [total / len(tokens) if tokens else float("nan") for total, tokens in zip(s.logprobs, o.tokens, strict=True)]
        for s, o in zip(scored, outcomes, strict=True)
    ]


def floors(rows: pd.DataFrame) -> Floors:
    """(protocol, arm) -> the log-probability a token from which on a reply is coherent, of rows of :func:`own_replies`.

    >>> rows = pd.DataFrame({"protocol": "naming", "arm": "standard", "logprob": range(-100, 1)})
    >>> floors(rows)
    {('naming', 'standard'): -95.0}
    """
    quantiles = rows.groupby(["protocol", "arm"], sort=False)["logprob"].quantile(QUANTILE)
    return {(str(protocol), str(arm)): float(floor) for (protocol, arm), floor in quantiles.items()}


def floor_table(rows: pd.DataFrame) -> pd.DataFrame:
    """``protocol, arm, floor, median, n`` of the model's own replies."""
    groups = rows.groupby(["protocol", "arm"], sort=False)["logprob"]
    return groups.agg(floor=lambda values: values.quantile(QUANTILE), median="median", n="count").reset_index()
