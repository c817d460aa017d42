"""What an inventory reads off a model: for each item the log-odds of the options for its trait over those against.

Every item is asked twice, its options listed in two orders.  An option's score is the log-likelihood of its text (a
token's mean) or of its letter, less what it is without the item under the same condition: the options' own prior, which
is many times what an item does to them.  A model that answers by the place of an option only, or whatever the item
says, is not measurable by this instrument, and :func:`looks` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax

from steering.conditions import Condition
from steering.readouts import Question, preferences
from workbench.families.personality.inventory import Item
from workbench.models.language_model import LanguageModel, Prompt
from workbench.statistics import Interval, cluster_bootstrap

TEXTS, LETTERS, ACTIVATIONS = "texts", "letters", "activations"
_RATE = "How accurately does this statement describe you?"
_HOW = {
    TEXTS: "Answer with one of these options and nothing else:",
    LETTERS: "Answer with the letter of one of these options and nothing else:",
}


def read_items(
    model: LanguageModel, items: Sequence[Item], conditions: Sequence[Condition], readout: str = TEXTS
) -> pd.DataFrame:
    """A row a condition and item: its columns, ``readout, trait, item, key``, then

    ``value``: log-odds (nats) of the options for the trait over those against it, mean of both orders, prior
    subtracted; ``first, second``: the same of each order, of agreement where the key is reversed; ``same``: whether the
    likeliest option is the same in both; ``level``: of a rating the expected answer from 1 to 5, of a situation the
    probability of the options for the trait; ``prior``: log-odds that the options have without the item.
    """
    questions = [_question(model, item, readout) for item in items]
    bare = list(dict.fromkeys(_listed(each) for each in questions))  # statements all have the same one
    asked = preferences(model, [each._replace(bare=()) for each in questions], conditions).ways
    without = preferences(model, [_unlisted(each) for each in bare], conditions).ways
    prior = without[:, [bare.index(_listed(each)) for each in questions]]
    ways, prior = (_in_order(found, items, readout) for found in (asked - prior, prior))
    frames = []
    for number, condition in enumerate(conditions):
        rows = [_row(item, ways[number, place], prior[number, place]) for place, item in enumerate(items)]
        table = pd.DataFrame(rows).assign(item=range(len(items)), readout=readout)
        frames.append(pd.DataFrame({**condition.row, **{name: table[name] for name in table}}))
    return pd.concat(frames, ignore_index=True)


def looks(rows: pd.DataFrame, n_options: int) -> dict[str, Any]:
    """Whether unsteered answers follow the items: ``symmetry`` (share of items with the same likeliest option in both
    orders; by chance 1 / options), ``agreement`` (correlation over items of the two orders' log-odds), both with
    ``_low`` and ``_high``, and ``measurable``: both lie above chance.

    >>> first = np.random.default_rng(0).normal(size=40)
    >>> alike = pd.DataFrame({"item": range(40), "same": True, "first": first, "second": first + 0.1})
    >>> looks(alike, 5)["measurable"], looks(alike.assign(second=first[::-1], same=first > 0.8), 5)["measurable"]
    (True, False)
    """
    items = rows["item"].to_numpy()
    symmetry = cluster_bootstrap(rows["same"].to_numpy(float), items)
    agreement = cluster_bootstrap(rows[["first", "second"]].to_numpy(), items, _correlation, resamples=1000)
    measurable = bool(symmetry.low > 1 / n_options and agreement.low > 0)
    return {**_named("symmetry", symmetry), **_named("agreement", agreement), "measurable": measurable}


def _named(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _correlation(pairs: np.ndarray) -> float:
    spread = pairs.std(0)
    return float(np.corrcoef(pairs.T)[0, 1]) if (spread > 0).all() else 0.0


def _question(model: LanguageModel, item: Item, readout: str) -> Question:
    orders = (tuple(range(len(item.answers))), item.second_order)
    options = [[item.answers[number] for number in order] for order in orders]
    lead = "" if is_chat(model) else " "
    answers = [chr(ord("A") + number) for number in range(len(item.answers))] if readout == LETTERS else item.answers
    return Question(
        tuple(_asked(model, item, listed, readout) for listed in options),
        tuple(f"{lead}{answer}" for answer in answers),
        tuple(_asked(model, item, listed, readout, bare=True) for listed in options),
    )


def _listed(question: Question) -> tuple[Any, ...]:
    """What its prior depends on, to be compared: its bare prompts and answers."""
    bare = tuple(each if isinstance(each, str) else each[0]["content"] for each in question.bare)  # type: ignore[index]
    return (*bare, question.answers, isinstance(question.bare[0], str))


def _unlisted(key: tuple[Any, ...]) -> Question:
    first, second, answers, as_text = key
    prompts = (first, second) if as_text else tuple([{"role": "user", "content": each}] for each in (first, second))
    return Question(prompts, answers)


def _asked(model: LanguageModel, item: Item, options: Sequence[str], readout: str, bare: bool = False) -> Prompt:
    marks = [f"{chr(ord('A') + n)}. " if readout == LETTERS else "- " for n in range(len(options))]
    listed = "\n".join(f"{mark}{option}" for mark, option in zip(marks, options, strict=True))
    said = "" if bare else f'"{item.text}"\n\n' if item.is_statement else f"{item.text}\n\n"
    head = f"{_RATE}\n\n" if item.is_statement else ""
    return prompt(model, f"{head}{said}{_HOW[readout]}\n{listed}")


def prompt(model: LanguageModel, text: str) -> Prompt:
    """What a user says, as a chat where the model has a template, else as text that an answer follows."""
    return [{"role": "user", "content": text}] if is_chat(model) else f"{text}\nAnswer:"


def is_chat(model: LanguageModel) -> bool:
    """Whether a model has a chat template."""
    return bool(getattr(model.tokenizer, "chat_template", None))


def _in_order(found: np.ndarray, items: Sequence[Item], readout: str) -> np.ndarray:
    """Scores [conditions, items, ways, options] by option; a letter of the second way is that of another option."""
    if readout != LETTERS:
        return found
    sorted_ = found.copy()
    for place, item in enumerate(items):
        sorted_[:, place, 1, list(item.second_order)] = found[:, place, 1]
    return sorted_


def _row(item: Item, ways: np.ndarray, prior: np.ndarray) -> dict[str, Any]:
    """``ways, prior`` [ways, options]."""
    sides = np.array(item.sides)
    of_ways = _log_odds(ways, sides) * item.key
    mean = ways.mean(0)
    shares = softmax(mean)
    level = float(shares @ (3 + sides)) if item.is_statement else float(shares[sides > 0].sum())
    return {
        "trait": item.trait, "key": item.key, "value": float(_log_odds(mean, sides)), "first": of_ways[0],
        "second": of_ways[1], "same": bool(ways[0].argmax() == ways[1].argmax()), "level": level,
        "prior": float(_log_odds(prior.mean(0), sides)),
    }  # fmt: skip


def _log_odds(scores: np.ndarray, sides: np.ndarray) -> np.ndarray:
    found: np.ndarray = logsumexp(scores[..., sides > 0], axis=-1) - logsumexp(scores[..., sides < 0], axis=-1)
    return found
