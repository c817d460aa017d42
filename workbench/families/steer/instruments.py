"""Instruments: how far a condition pushes a model, a number for each item, without a judge.

``Words``: log-odds of two sets of words behind prompts.  ``Answers``: how much likelier one of two given answers is.
``Rule``: the share of replies that pass a check.  ``ProbeScore``: what a probe that was trained elsewhere reads off the
replies, in the unsteered model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from steering import Condition, generate_under, score_under, word_odds
from workbench.activations import capture
from workbench.families.steer.pairs import Pair

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel, Prompt


class Instrument(Protocol):
    """``sets``: of each item, whether layer and dose are chosen on it (``choose``) or it is for results (``test``).

    ``read`` gives values [conditions, items] (a change of them is the effect) and the probability that the read-out has
    where it has one, else NaN.  ``tokens``: about how many a condition takes, ``drawn``: how many completions.
    """

    @property
    def unit(self) -> str: ...

    @property
    def sets(self) -> Sequence[str]: ...

    @property
    def prompts(self) -> Sequence[Prompt]: ...

    @property
    def tokens(self) -> int: ...

    @property
    def drawn(self) -> int: ...

    def read(self, model: LanguageModel, conditions: Sequence[Condition]) -> tuple[Any, Any]: ...


@dataclass(frozen=True)
class Words:
    """``up`` and ``down``: words that go on from the prompts."""

    prompts: Sequence[Prompt]
    sets: Sequence[str]
    up: Sequence[str]
    down: Sequence[str]
    unit: str = "log-odds (nats)"
    drawn: int = 0

    @property
    def tokens(self) -> int:
        return len(self.prompts) * (len(self.up) + len(self.down))

    def read(self, model: LanguageModel, conditions: Sequence[Condition]) -> tuple[Any, Any]:
        return word_odds(model, self.prompts, self.up, self.down, conditions)


@dataclass(frozen=True)
class Answers:
    """Pairs of answers: the mean log-probability of a token of the one, less that of the other."""

    pairs: Sequence[Pair]
    sets: Sequence[str]
    unit: str = "log-odds of the two texts (nats a token)"
    drawn: int = 0

    @property
    def prompts(self) -> Sequence[Prompt]:
        return [pair.prompt for pair in self.pairs]

    @property
    def tokens(self) -> int:
        return round(1.3 * sum(len(pair.up.split()) + len(pair.down.split()) + 2 for pair in self.pairs))

    def read(self, model: LanguageModel, conditions: Sequence[Condition]) -> tuple[Any, Any]:
        texts = [[pair.up, pair.down] for pair in self.pairs]
        scores = score_under(model, self.prompts, texts, conditions)
        means = np.array([[[x.logprob / len(x.tokens) for x in row] for row in own] for own in scores])
        values = means[..., 0] - means[..., 1]
        return values, np.full_like(values, np.nan)


@dataclass(frozen=True)
class Replies:
    """Completions, and ``value(model, prompt, completion)`` of each; an item's value is the mean over its ``n``."""

    prompts: Sequence[Prompt]
    sets: Sequence[str]
    value: Callable[[LanguageModel, list[tuple[Prompt, Any]]], list[float]]
    unit: str
    n: int = 4
    max_new_tokens: int = 32

    @property
    def tokens(self) -> int:
        return len(self.prompts) * 12

    @property
    def drawn(self) -> int:
        return len(self.prompts) * self.n

    def read(self, model: LanguageModel, conditions: Sequence[Condition]) -> tuple[Any, Any]:
        drawn = generate_under(model, self.prompts, conditions, self.n, max_new_tokens=self.max_new_tokens)
        flat = [(prompt, x) for own in drawn for prompt, row in zip(self.prompts, own, strict=True) for x in row]
        values = np.array(self.value(model, flat)).reshape(len(conditions), len(self.prompts), self.n).mean(-1)
        return values, np.full_like(values, np.nan)


def passing(rule: Callable[[str], bool]) -> Callable[[Any, list[tuple[Any, Any]]], list[float]]:
    """Whether each completion passes a rule, as 0 or 1."""
    return lambda model, replies: [float(rule(completion.text)) for _, completion in replies]


def probed(probe: Any, site: Any) -> Callable[[LanguageModel, list[tuple[Any, Any]]], list[float]]:
    """The mean score of a linear probe over the tokens of each completion, as the unsteered model reads them."""

    def value(model: LanguageModel, replies: list[tuple[Any, Any]]) -> list[float]:
        rows = [model.encode(prompt) + (completion.tokens or [0]) for prompt, completion in replies]
        starts = [len(model.encode(prompt)) for prompt, _ in replies]
        found = []
        for row, start in zip(rows, starts, strict=True):
            read = capture(model, [row], [site], "all")[site].float().numpy()[start:]
            found.append(float(np.mean(probe.decision_function(read))))
        return found

    return value
