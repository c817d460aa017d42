"""What a model is about to say, without a judge: log-odds of two sets of words, and which of given answers it prefers.

All conditions are rows of the same batches (:mod:`steering.conditions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import logsumexp

from steering.conditions import Condition, score_under
from workbench.errors import DataError
from workbench.statistics import Interval, cluster_bootstrap

if TYPE_CHECKING:
    from jaxtyping import Float

    from workbench.models.language_model import LanguageModel, Prompt


class Odds(NamedTuple):
    """``log_odds`` in nats and ``mass``, the probability of all words together, each [conditions, prompts]."""

    log_odds: Float[np.ndarray, "conditions prompts"]
    mass: Float[np.ndarray, "conditions prompts"]


def word_odds(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    up: Sequence[str],
    down: Sequence[str],
    conditions: Sequence[Condition],
) -> Odds:
    """``log p(any of the words up) - log p(any of the words down)`` behind each prompt, under each condition.

    A word goes on from its prompt, so it usually begins with a space.  Log-odds of words that a model would hardly say
    mean little: see the mass.

    >>> from workbench.models.tiny import tiny_model
    >>> odds = word_odds(tiny_model(), ["a b", "c"], [" d", " e"], [" f"], [Condition("unsteered")])
    >>> odds.log_odds.shape, bool((odds.mass < 1).all())
    ((1, 2), True)
    """
    words = [*up, *down]
    scores = score_under(model, prompts, [words] * len(prompts), conditions)
    logprobs = np.array([[[one.logprob for one in row] for row in own] for own in scores])
    odds = logsumexp(logprobs[..., : len(up)], axis=-1) - logsumexp(logprobs[..., len(up) :], axis=-1)
    return Odds(odds, np.exp(logsumexp(logprobs, axis=-1)))


class Question(NamedTuple):
    """A question with given answers.

    ``asked``: the prompt, in several ways where the order of what it lists might decide (each way lists the same
    answers in another order); ``answers``: their texts, which go on from any of them; ``bare``: for each way, the
    prompt without what is asked about, under which the answers have their prior.
    """

    asked: tuple[Prompt, ...]
    answers: tuple[str, ...]
    bare: tuple[Prompt, ...] = ()


class Preferences(NamedTuple):
    """How likely each answer is (nats, a token's mean), less its prior where there are bare prompts.

    ``ways`` [conditions, questions, ways, answers]; ``prior`` likewise, zero without bare prompts.
    """

    ways: Float[np.ndarray, "conditions questions ways answers"]
    prior: Float[np.ndarray, "conditions questions ways answers"]

    @property
    def values(self) -> Float[np.ndarray, "conditions questions answers"]:
        """The mean over the ways of asking."""
        return self.ways.mean(2)

    def symmetry(self, condition: int = 0) -> Interval:
        """The share of questions whose likeliest answer is the same in every way of asking, with 95% over questions."""
        best = self.ways[condition].argmax(-1)  # [questions ways]
        same = (best == best[:, :1]).all(1).astype(float)
        return cluster_bootstrap(same, np.arange(len(same)))

    def measurable(self, condition: int = 0) -> bool:
        """Whether the model answers what is asked rather than by the order: its symmetry is above chance, which is what
        an answer drawn anew in every way would have."""
        n_ways, n_answers = self.ways.shape[2:]
        return bool(n_ways == 1 or self.symmetry(condition).low > n_answers ** (1 - n_ways))


def preferences(
    model: LanguageModel, questions: Sequence[Question], conditions: Sequence[Condition], per_token: bool = True
) -> Preferences:
    """How likely every answer to every question is under every condition, its own prior subtracted.

    The prior is taken under the same condition, so what steering does to an answer whatever is asked does not count.

    Args:
        questions: with equally many ways of asking and answers.
        per_token: the mean over an answer's tokens, so that long answers are not at a disadvantage; False: the sum.

    >>> from workbench.models.tiny import tiny_model
    >>> asked = Question(("a b or c?", "a c or b?"), (" b", " c"), bare=("b or c?", "c or b?"))
    >>> found = preferences(tiny_model(), [asked], [Condition("unsteered")])
    >>> found.values.shape, found.ways.shape
    ((1, 1, 2), (1, 1, 2, 2))
    """
    shapes = {(len(each.asked), len(each.answers), len(each.bare)) for each in questions}
    if len(shapes) != 1 or any(n_bare not in (0, n_ways) for n_ways, _, n_bare in shapes):
        raise DataError(
            f"questions need equally many ways, answers and bare prompts (or none), not {sorted(shapes)} of these"
        )
    ways = _likelihoods(model, [each.asked for each in questions], questions, conditions, per_token)
    if not questions[0].bare:
        return Preferences(ways, np.zeros_like(ways))
    prior = _likelihoods(model, [each.bare for each in questions], questions, conditions, per_token)
    return Preferences(ways - prior, prior)


def _likelihoods(
    model: LanguageModel,
    prompts: Sequence[tuple[Prompt, ...]],
    questions: Sequence[Question],
    conditions: Sequence[Condition],
    per_token: bool,
) -> Float[np.ndarray, "conditions questions ways answers"]:
    rows = [prompt for ways in prompts for prompt in ways]
    answers = [list(each.answers) for each, ways in zip(questions, prompts, strict=True) for _ in ways]
    scores = score_under(model, rows, answers, conditions)
    found = [[[x.logprob / (len(x.tokens) if per_token else 1) for x in row] for row in own] for own in scores]
    return np.array(found).reshape(len(conditions), len(questions), len(prompts[0]), -1)
