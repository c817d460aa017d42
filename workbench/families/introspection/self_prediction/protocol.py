"""Asking a model: what it answers, what it says it would answer, and how its answers spread.

Ground truth and predictions are greedy (temperature 0).  A model with a chat template is asked in a chat; any other
gets the question as a line of text, and its answer is the line it writes next.  No reasoning, no examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from workbench.families.introspection.self_prediction.questions import Question
from workbench.models.language_model import LanguageModel, Prompt
from workbench.seeding import derive_seed
from workbench.worlds.questions.properties import Property, compliant, hypothetical

KEYS = ["task", "split", "role", "id", "property"]
Predictions = Sequence[tuple[Question, Property]]  # what is asked of one model


def asked(model: LanguageModel, question: str) -> Prompt:
    """The prompt with which a question is put to a model.

    >>> from workbench.models.tiny import tiny_model
    >>> asked(tiny_model(), "a b?")
    [{'role': 'user', 'content': 'a b?'}]
    """
    return [{"role": "user", "content": question}] if _chats(model) else f"{question}\n"


def _chats(model: LanguageModel) -> bool:
    return bool(getattr(model.tokenizer, "chat_template", None))


def behaviour(model: LanguageModel, questions: Sequence[Question], progress: bool = False) -> pd.DataFrame:
    """What the model does: rows ``task, split, role, id, property, answer, value``; no value: it does not comply."""
    rows = []
    for question, (text,) in zip(questions, _answers(model, questions, 1, 0.0, 0, progress), strict=True):
        rows += [_row(question, prop) | {"answer": text, "value": prop.of(text, question.item)}
                 for prop in question.properties]  # fmt: skip
    return _frame(rows, ["answer", "value"])


def foreseen(
    model: LanguageModel, questions: Sequence[Question], max_new_tokens: int, progress: bool = False
) -> pd.DataFrame:
    """What the model says it would do, rows as in :func:`behaviour`; no value: the prediction does not comply."""
    pairs = _pairs(questions)
    replies = _replies(model, pairs, max_new_tokens, 1, 0.0, 0, progress)
    rows = [
        _row(question, prop) | {"answer": text, "value": compliant(text, question.item, prop)}
        for (question, prop), (text,) in zip(pairs, replies, strict=True)
    ]
    return _frame(rows, ["answer", "value"])


def sampled_behaviour(
    model: LanguageModel, questions: Sequence[Question], n: int, seed: int, progress: bool = False
) -> pd.DataFrame:
    """Of ``n`` answers at temperature 1, how many have each value (none: they do not comply): rows ``task, split,
    role, id, property, value, count``."""
    rows = []
    for question, texts in zip(questions, _answers(model, questions, n, 1.0, seed, progress), strict=True):
        for prop in question.properties:
            rows += _counts(_row(question, prop), (prop.of(text, question.item) for text in texts))
    return _frame(rows, ["value", "count"])


def sampled_foresight(
    model: LanguageModel, questions: Sequence[Question], max_new_tokens: int, n: int, seed: int, progress: bool = False
) -> pd.DataFrame:
    """The same of ``n`` predictions at temperature 1."""
    pairs, rows = _pairs(questions), []
    replies = _replies(model, pairs, max_new_tokens, n, 1.0, seed, progress)
    for (question, prop), texts in zip(pairs, replies, strict=True):
        rows += _counts(_row(question, prop), (compliant(text, question.item, prop) for text in texts))
    return _frame(rows, ["value", "count"])


def _pairs(questions: Sequence[Question]) -> list[tuple[Question, Property]]:
    return [(question, prop) for question in questions for prop in question.properties]


def _row(question: Question, prop: Property) -> dict[str, Any]:
    return question.columns | {"property": prop.name}


def _counts(row: dict[str, Any], values: Iterable[str | None]) -> list[dict[str, Any]]:
    counts: dict[str | None, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return [row | {"value": value, "count": count} for value, count in counts.items()]


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*KEYS, *columns]).astype({"value": "string"})


def _answers(
    model: LanguageModel, questions: Sequence[Question], n: int, temperature: float, seed: int, progress: bool
) -> list[list[str]]:
    texts = [question.item.prompt for question in questions]
    lengths = [question.task.max_new_tokens for question in questions]
    return _generate(model, texts, lengths, n, temperature, seed, progress)


def _replies(
    model: LanguageModel, pairs: Predictions, length: int, n: int, temperature: float, seed: int, progress: bool
) -> list[list[str]]:
    texts = [hypothetical(question.item, prop) for question, prop in pairs]
    return _generate(model, texts, [length] * len(texts), n, temperature, seed, progress)


def _generate(
    model: LanguageModel, texts: Sequence[str], lengths: Sequence[int], n: int, temperature: float, seed: int,
    progress: bool,
) -> list[list[str]]:  # fmt: skip
    """``n`` answers to each text; those of one length are generated together."""
    found: list[list[str]] = [[] for _ in texts]
    stop = () if _chats(model) else ("\n",)
    for length in sorted(set(lengths)):
        rows = [i for i, own in enumerate(lengths) if own == length]
        completions = model.generate(
            [asked(model, texts[i]) for i in rows], n, max_new_tokens=length, temperature=temperature, stop=stop,
            seeds=[derive_seed(seed, "answers", texts[i]) for i in rows], progress=progress,
        )  # fmt: skip
        for i, drawn in zip(rows, completions, strict=True):
            found[i] = [each.text.removesuffix("\n") if stop else each.text for each in drawn]
    return found
