"""The prompts of a run: items of every task, and which of them train and which test.

Two kinds of test: new prompts of the tasks that finetuning sees (split ``train``), and tasks that it never sees
(``held_out``, the paper's test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import SpecError
from workbench.families.introspection.self_prediction.spec import SelfPredictionSpec
from workbench.worlds.questions.items import Item, items_of
from workbench.worlds.questions.properties import PROPERTIES, Property
from workbench.worlds.questions.tasks import Task, load_tasks


@dataclass(frozen=True)
class Question:
    """An item with its task; ``role`` is ``train`` or ``test``."""

    item: Item
    task: Task
    role: str

    @property
    def properties(self) -> list[Property]:
        """What is asked about its answer."""
        return [PROPERTIES[name] for name in self.task.properties]

    @property
    def columns(self) -> dict[str, str]:
        """How its rows are labelled."""
        return {"task": self.task.name, "split": self.task.split, "role": self.role, "id": self.item.id}


class Questions:
    """All questions of a run, the same for the same spec."""

    def __init__(self, spec: SelfPredictionSpec) -> None:
        self.spec = spec
        path = None if spec.tasks_path is None else Path(spec.tasks_path).expanduser()
        self.tasks = load_tasks(spec.tasks, path)
        if not any(task.split == "train" for task in self.tasks.values()):
            raise SpecError("tasks: none of them has the split train, so there is nothing to finetune on")
        self.all = [question for task in self.tasks.values() for question in self._of(task)]

    def _of(self, task: Task) -> list[Question]:
        train = self.spec.train_prompts if task.split == "train" else 0
        items = items_of(task, train + self.spec.test_prompts, self.spec.seed)
        # A task with fewer different prompts keeps the asked shares of both roles.
        train = min(train, round(len(items) * train / (train + self.spec.test_prompts)))
        return [Question(item, task, "train" if k < train else "test") for k, item in enumerate(items)]

    def role(self, role: str, most: int | None = None) -> list[Question]:
        """Questions of a role, at most ``most`` of each task."""
        found = [[q for q in self.all if q.task is task and q.role == role] for task in self.tasks.values()]
        return [question for part in found for question in part[:most]]

    @property
    def by_id(self) -> dict[str, Question]:
        """Question of each item."""
        return {question.item.id: question for question in self.all}

    def pairs(self, questions: Sequence[Question]) -> int:
        """How many hypothetical questions they make."""
        return sum(len(question.properties) for question in questions)
