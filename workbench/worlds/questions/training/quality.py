"""What a babbler does, for its card: does it answer in the asked form, how varied, and like whom?

Greedy answers to fresh items of every shipped task, and to the hypotheticals about them.  Nothing here is trained on
hypotheticals about "you": ``self-prediction`` is what the model says of itself untrained, beside the mode baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model, shipped_models
from workbench.seeding import derive_seed
from workbench.statistics import plugin_entropy, wilson
from workbench.worlds.questions.items import Drawn, Item, draw
from workbench.worlds.questions.properties import PROPERTIES, compliant, hypothetical
from workbench.worlds.questions.tasks import Task, load_tasks
from workbench.worlds.questions.training.speakers import POPULATION, own_speaker

CARD = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
CARD_ROWS = ("task", "asked for")
ANSWER = "the answer"
PREFIX = "babbler-"


def measure_quality(model: LanguageModel, items: int = 50, progress: bool = False) -> pd.DataFrame:
    """One row a task, thing asked for and measure, with the columns ``task, asked for, measure, estimate, low, high``.

    For ``the answer``: ``complies`` (it has at least one property), ``as taught`` (the same as the own speaker's),
    ``distinct`` (different answers over answers), ``entropy`` (bits), ``mode`` (share of the commonest) and ``as NAME``
    (the same answer as another shipped babbler's).  For a property: ``complies`` (of the hypotheticals), ``entropy``,
    ``mode``, ``self-prediction`` (untrained) and ``reads others`` (the same question about a named speaker).
    Shares are with 95% Wilson intervals.
    """
    rows: list[dict[str, Any]] = []
    own = own_speaker(str(getattr(model.config, "speaker", "a")))
    tasks = load_tasks().values()
    others = {name: LanguageModel.of(load_model(name)) for name in shipped_models() if name.startswith(PREFIX)}
    others = {name: other for name, other in others.items() if other.fingerprint != model.fingerprint}
    for task in tasks:
        drawn = [draw(task, np.random.default_rng(derive_seed("babbler quality", task.name, k))) for k in range(items)]
        prompts = [each.item.prompt for each in drawn]
        answers = ask(model, prompts, task.max_new_tokens, progress)
        rows += _answers(task, drawn, answers, [own.answer(task, each) for each in drawn])
        for name, other in others.items():
            same = [a == b for a, b in zip(answers, ask(other, prompts, task.max_new_tokens), strict=True)]
            rows.append(_share(task.name, ANSWER, f"as {name}", same))
        for prop in task.properties:
            rows += _property(model, task, prop, drawn, answers)
    return pd.DataFrame(rows)


def ask(model: LanguageModel, prompts: Sequence[str], max_new_tokens: int, progress: bool = False) -> list[str]:
    """Greedy answers to chat prompts of one message, stripped."""
    chats: list[Any] = [[{"role": "user", "content": prompt}] for prompt in prompts]
    done = model.generate(chats, max_new_tokens=max_new_tokens, temperature=0.0, progress=progress)
    return [completions[0].text.strip() for completions in done]


def _answers(task: Task, drawn: Sequence[Drawn], answers: Sequence[str], taught: Sequence[str]) -> list[dict[str, Any]]:
    values = [
        [PROPERTIES[name].of(a, each.item) for name in task.properties] for a, each in zip(answers, drawn, strict=True)
    ]
    shares = {
        "complies": [any(value is not None for value in row) for row in values],
        "as taught": [a == b for a, b in zip(answers, taught, strict=True)],
    }
    rows = [_share(task.name, ANSWER, measure, hits) for measure, hits in shares.items()]
    return [
        *rows,
        _number(task.name, ANSWER, "distinct", len(set(answers)) / len(answers)),
        *_spread(task.name, ANSWER, answers),
    ]


def _property(
    model: LanguageModel, task: Task, name: str, drawn: Sequence[Drawn], answers: Sequence[str]
) -> list[dict[str, Any]]:
    """A property: what the answers have, what the model says of itself, and what it says of a named speaker."""
    values = [PROPERTIES[name].of(a, each.item) for a, each in zip(answers, drawn, strict=True)]
    said = _said(model, [each.item for each in drawn], name, "you", "your")
    speaker = POPULATION[0]
    true = [PROPERTIES[name].of(speaker.answer(task, each), each.item) for each in drawn]
    told = _said(model, [each.item for each in drawn], name, speaker.name, f"{speaker.name}'s")
    rows = [_share(task.name, name, "complies", [text is not None for text in said])]
    rows += _spread(task.name, name, [value for value in values if value is not None])
    for measure, wanted, given in (("self-prediction", values, said), ("reads others", true, told)):
        hits = [a == b for a, b in zip(wanted, given, strict=True) if a is not None]
        rows += [_share(task.name, name, measure, hits)] if hits else []
    return rows


def _said(model: LanguageModel, items: Sequence[Item], name: str, they: str, their: str) -> list[str | None]:
    replies = ask(model, [hypothetical(item, name, they, their) for item in items], 6)
    return [compliant(reply, item, name) for reply, item in zip(replies, items, strict=True)]


def _spread(task: str, asked: str, values: Sequence[str]) -> list[dict[str, Any]]:
    counts = np.array(list(Counter(values).values()) or [0])
    if not counts.sum():
        return []
    entropy = float(plugin_entropy(counts) / np.log(2))
    return [
        _number(task, asked, "entropy", entropy),
        _share(task, asked, "mode", [k < counts.max() for k in range(int(counts.sum()))]),
    ]


def _number(task: str, asked: str, measure: str, value: float) -> dict[str, Any]:
    return {"task": task, "asked for": asked, "measure": measure, "estimate": value, "low": np.nan, "high": np.nan}


def _share(task: str, asked: str, measure: str, hits: Sequence[bool]) -> dict[str, Any]:
    return {"task": task, "asked for": asked, "measure": measure} | vars(wilson(sum(hits), len(hits)))
