"""What steering does and what it costs: log-odds of two sets of words after prompts, surprise at neutral text.

The *effect* is the change of log p(up words) - log p(down words) in nats, behind a prompt's last token.  The *damage*
is the change of the mean negative log-likelihood of neutral text, in nats a token.  Both are steered at the last prompt
token and every later one, and all conditions of a call are rows of the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from torch import Tensor

from steering import Add
from workbench.families.steer.concept import Concept
from workbench.models.language_model import LanguageModel
from workbench.sites import Site

_HEAD = 3  # words of a neutral text that stand before what is scored
CHOOSE, TEST, NEUTRAL = "choose", "test", "neutral"


@dataclass(frozen=True)
class Condition:
    """One way to push the model: a direction [d] at a layer and dose, or a sentence in front of every text.

    ``side``: which of the two sentences (up, down); ``draw``: number of a random or shuffled direction.
    """

    method: str
    layer: int = -1
    dose: float = 0.0
    direction: Tensor | None = None
    draw: int = 0
    side: str = ""
    front: str = ""


def measure(model: LanguageModel, concept: Concept, conditions: Sequence[Condition]) -> pd.DataFrame:
    """Both measures of each condition: a row for each of its prompts and neutral texts.

    The conditions are all at one layer, or all without a direction.  Columns: ``method, layer, dose, side, draw``, the
    ``set`` of the text and its number ``item``, ``value`` (log-odds; nats a token), ``mass`` (probability of all words
    together; of neutral texts empty).
    """
    prompts = [(CHOOSE, text) for text in concept.prompts.choose] + [(TEST, text) for text in concept.prompts.test]
    odds, mass = _log_odds(model, concept, [text for _, text in prompts], conditions)
    surprise = _surprise(model, concept.neutral, conditions)
    sets = [name for name, _ in prompts] + [NEUTRAL] * len(concept.neutral)
    items = [*range(len(prompts)), *range(len(concept.neutral))]
    nothing = np.full(len(concept.neutral), np.nan)
    frames = []
    for row, condition in enumerate(conditions):
        named = {name: getattr(condition, name) for name in ("method", "layer", "dose", "side", "draw")}
        values = np.concatenate([odds[row], surprise[row]])
        masses = np.concatenate([mass[row], nothing])
        frames.append(pd.DataFrame({**named, "set": sets, "item": items, "value": values, "mass": masses}))
    return pd.concat(frames, ignore_index=True)


def _log_odds(
    model: LanguageModel, concept: Concept, prompts: Sequence[str], conditions: Sequence[Condition]
) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds and probability of the words, each [conditions, prompts]."""
    words, n_up = concept.all_words, len(concept.words.up)
    scores = _score(model, prompts, [words] * len(prompts), conditions)
    logprobs = np.array([[each.logprob for each in row] for row in scores])  # [conditions * prompts, words]
    odds = logsumexp(logprobs[:, :n_up], axis=1) - logsumexp(logprobs[:, n_up:], axis=1)
    shape = (len(conditions), len(prompts))
    return odds.reshape(shape), np.exp(logsumexp(logprobs, axis=1)).reshape(shape)


def _surprise(model: LanguageModel, texts: Sequence[str], conditions: Sequence[Condition]) -> np.ndarray:
    """Mean negative log-likelihood of a token of each text behind its first words, [conditions, texts]."""
    heads = [" ".join(text.split(" ")[:_HEAD]) for text in texts]
    rest = [[text[len(head) :]] for text, head in zip(texts, heads, strict=True)]
    scores = _score(model, heads, rest, conditions)
    return np.array([-row[0].logprob / len(row[0].tokens) for row in scores]).reshape(len(conditions), len(texts))


def _score(
    model: LanguageModel, texts: Sequence[str], continuations: list[list[str]], conditions: Sequence[Condition]
) -> list[list]:
    """Scores of every text under every condition, the texts of a condition side by side."""
    n = len(texts)
    rows = [f"{each.front} {text}".lstrip() for each in conditions for text in texts]
    adds = []
    if found := [each.direction for each in conditions if each.direction is not None]:
        doses = torch.tensor([each.dose for each in conditions]).repeat_interleave(n)  # [rows]
        directions = torch.stack(found).repeat_interleave(n, 0)  # [rows d]
        adds = [Add(directions, dose=doses, site=Site(conditions[0].layer))]
    return model.score(rows, continuations * len(conditions), adds)
