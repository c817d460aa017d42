"""Asking a model: what it answers, what it says it would answer, and how its answers spread.

Ground truth and predictions are greedy (temperature 0).  A model with a chat template is asked in a chat; any other
gets the question as a line of text, and its answer is the line it writes next.  No reasoning.  A task's worked
examples, where it has any, come first: as earlier turns of the chat, as lines.

There are two kinds of test: new prompts of the tasks that finetuning sees (split ``train``), and tasks that it never
sees (``held_out``, the paper's test).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from workbench.errors import SpecError
from workbench.families.introspection.self_prediction.spec import SelfPredictionSpec
from workbench.models.language_model import LanguageModel, Prompt
from workbench.seeding import derive_seed
from workbench.worlds.questions.items import Item, items_of
from workbench.worlds.questions.properties import PROPERTIES, Property, compliant, hypothetical, worked_examples
from workbench.worlds.questions.tasks import Task, load_tasks


@dataclass(frozen=True)
class Question:
    """An item with its task; ``role`` is ``train`` or ``test``; ``shots`` of the task's examples are shown first."""

    item: Item
    task: Task
    role: str
    shots: int = 0

    @property
    def properties(self) -> list[Property]:
        """What is asked about its answer."""
        return [PROPERTIES[name] for name in self.task.properties]

    def row(self, prop: Property) -> dict[str, Any]:
        """How the row of a property is labelled, by :data:`KEYS`."""
        names = {"task": self.task.name, "split": self.task.split, "role": self.role}
        return names | {"id": self.item.id, "property": prop.name}

    def text(self, prop: Property | None = None) -> str:
        """The question, or the hypothetical one about a property of its answer."""
        return self.item.prompt if prop is None else hypothetical(self.item, prop)

    def prompt(self, model: LanguageModel, prop: Property | None = None) -> Prompt:
        """How it is put to a model, behind its task's examples."""
        return asked(model, self.text(prop), worked_examples(self.task, prop, self.shots))


class Questions:
    """All questions of a run, the same for the same spec."""

    def __init__(self, spec: SelfPredictionSpec) -> None:
        self.spec = spec
        self.tasks = load_tasks(spec.tasks, spec.task_folder())
        if not any(task.split == "train" for task in self.tasks.values()):
            raise SpecError("tasks: none of them has the split train, so there is nothing to finetune on")
        self.all = [question for task in self.tasks.values() for question in self._of(task)]

    def _of(self, task: Task) -> list[Question]:
        train = self.spec.train_prompts if task.split == "train" else 0
        items = items_of(task, train + self.spec.test_prompts, self.spec.seed)
        # A task with fewer different prompts keeps the asked shares of both roles.
        train = min(train, round(len(items) * train / (train + self.spec.test_prompts)))
        shots = self.spec.shots
        return [Question(item, task, "train" if k < train else "test", shots) for k, item in enumerate(items)]

    def role(self, role: str, most: int | None = None) -> list[Question]:
        """Questions of a role, at most ``most`` of each task."""
        found = [[q for q in self.all if q.task is task and q.role == role] for task in self.tasks.values()]
        return [question for part in found for question in part[:most]]

    @property
    def by_id(self) -> dict[str, Question]:
        """Question of each item."""
        return {question.item.id: question for question in self.all}


KEYS = ["task", "split", "role", "id", "property"]
_Read = tuple[dict[str, Any], list[tuple[str, str | None]]]  # labels of a row; what was said, and its value


def asked(model: LanguageModel, question: str, examples: Sequence[tuple[str, str]] = ()) -> Prompt:
    """The prompt with which a question is put to a model, behind (question, answer) examples.

    >>> from workbench.models.tiny import tiny_model
    >>> asked(tiny_model(), "a b?")
    [{'role': 'user', 'content': 'a b?'}]
    """
    if not _chats(model):
        return "".join(f"{shown}\n{answer}\n" for shown, answer in examples) + f"{question}\n"
    roles = ("user", "assistant")
    shown = [{"role": role, "content": text} for pair in examples for role, text in zip(roles, pair, strict=True)]
    return [*shown, {"role": "user", "content": question}]


def _chats(model: LanguageModel) -> bool:
    return bool(getattr(model.tokenizer, "chat_template", None))


def behaviour(model: LanguageModel, questions: Sequence[Question], progress: bool = False) -> pd.DataFrame:
    """What the model does: rows ``task, split, role, id, property, answer, value``; no value: it does not comply."""
    return _greedy(_answers(model, questions, 1, 0.0, 0, progress))


def foreseen(
    model: LanguageModel, questions: Sequence[Question], max_new_tokens: int, progress: bool = False
) -> pd.DataFrame:
    """What the model says it would do, rows as in :func:`behaviour`; no value: the prediction does not comply."""
    return _greedy(_replies(model, questions, max_new_tokens, 1, 0.0, 0, progress))


def sampled_behaviour(
    model: LanguageModel, questions: Sequence[Question], n: int, seed: int, progress: bool = False
) -> pd.DataFrame:
    """Of ``n`` answers at temperature 1, how many have each value (none: they do not comply): rows ``task, split,
    role, id, property, value, count``."""
    return _counted(_answers(model, questions, n, 1.0, seed, progress))


def sampled_foresight(
    model: LanguageModel, questions: Sequence[Question], max_new_tokens: int, n: int, seed: int, progress: bool = False
) -> pd.DataFrame:
    """The same of ``n`` predictions at temperature 1."""
    return _counted(_replies(model, questions, max_new_tokens, n, 1.0, seed, progress))


def _greedy(read: Iterable[_Read]) -> pd.DataFrame:
    return _frame([row | {"answer": said[0][0], "value": said[0][1]} for row, said in read], ["answer", "value"])


def _counted(read: Iterable[_Read]) -> pd.DataFrame:
    rows = [
        row | {"value": value, "count": count}
        for row, said in read
        for value, count in Counter(value for _, value in said).items()
    ]
    return _frame(rows, ["value", "count"])


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*KEYS, *columns]).astype({"value": "string"})


def _answers(
    model: LanguageModel, questions: Sequence[Question], n: int, temperature: float, seed: int, progress: bool
) -> Iterator[_Read]:
    """Each question is answered once and read for each of its properties."""
    lengths = [question.task.max_new_tokens for question in questions]
    found = _generate(model, [(question, None) for question in questions], lengths, n, temperature, seed, progress)
    for question, drawn in zip(questions, found, strict=True):
        for prop in question.properties:
            yield question.row(prop), [(text, prop.of(text, question.item)) for text in drawn]


def _replies(
    model: LanguageModel, questions: Sequence[Question], length: int, n: int, temperature: float, seed: int,
    progress: bool,
) -> Iterator[_Read]:  # fmt: skip
    """Each property of each question is asked about."""
    pairs = [(question, prop) for question in questions for prop in question.properties]
    found = _generate(model, pairs, [length] * len(pairs), n, temperature, seed, progress)
    for (question, prop), drawn in zip(pairs, found, strict=True):
        yield question.row(prop), [(text, compliant(text, question.item, prop)) for text in drawn]


def _generate(
    model: LanguageModel, questions: Sequence[tuple[Question, Property | None]], lengths: Sequence[int], n: int,
    temperature: float, seed: int, progress: bool,
) -> list[list[str]]:  # fmt: skip
    """``n`` answers to each question, or about a property of its answer; those of one length are generated together."""
    found: list[list[str]] = [[] for _ in questions]
    stop = () if _chats(model) else ("\n",)
    for length in sorted(set(lengths)):
        rows = [i for i, own in enumerate(lengths) if own == length]
        part = [questions[i] for i in rows]
        completions = model.generate(
            [question.prompt(model, prop) for question, prop in part], n, max_new_tokens=length, stop=stop,
            temperature=temperature, progress=progress,
            seeds=[derive_seed(seed, "answers", question.text(prop)) for question, prop in part],
        )  # fmt: skip
        for i, drawn in zip(rows, completions, strict=True):
            found[i] = [each.text.removesuffix("\n") if stop else each.text for each in drawn]
    return found
