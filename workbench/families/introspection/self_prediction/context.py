"""What the steps of one self-prediction run share: the models, the finetuned ones, and what earlier steps left.

Models go by role: ``first`` (M1), ``candidate-1``... (as named in the spec), ``second-1``... (the candidates, the most
similar to M1 first).  A finetuned model is named by who learns and whose behaviour it learns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import pandas as pd

from workbench.errors import DataError
from workbench.families.context import Context
from workbench.families.introspection.self_prediction.protocol import Questions
from workbench.families.introspection.self_prediction.scoring import agreement_table, ranked
from workbench.families.introspection.self_prediction.spec import COPY, SelfPredictionSpec
from workbench.models.language_model import LanguageModel
from workbench.progress import progress_bar
from workbench.training.lora import LoRA, Pair, finetune
from workbench.worlds.questions.properties import PROPERTIES

FIRST, AT = "first", "@"  # M1; what parts the task from the name of a set of answers


class PredictionContext(Context[SelfPredictionSpec]):
    """One run at work; ``model`` is M1."""

    _other: tuple[str, LanguageModel] | None = None  # another model than M1, by role
    _tuned: tuple[str, LanguageModel] | None = None  # a finetuned one

    @cached_property
    def questions(self) -> Questions:
        """What is asked."""
        return Questions(self.spec)

    @property
    def layers(self) -> tuple[int, ...]:
        """Those that are probed."""
        return self.spec.known_layers(self.spec.layers)

    # ---- who is who

    @property
    def candidates(self) -> dict[str, str]:
        """Role of each candidate -> its name in the spec."""
        return {f"candidate-{k}": name for k, name in enumerate(self.spec.candidates, 1)}

    @cached_property  # asked for when all candidates have answered, and not before
    def agreement(self) -> pd.DataFrame:
        """How alike M1 and each candidate are, on the test items."""
        tables = {role: self.behaviour(role, "test") for role in self.candidates}
        return agreement_table(self.behaviour(FIRST, "test"), tables)

    def role(self, name: str) -> str:
        """``second-k`` as the candidate that it is; other roles are themselves."""
        return ranked(self.agreement)[int(name.removeprefix("second-")) - 1] if name.startswith("second-") else name

    def name(self, role: str) -> str:
        """The model's name in the spec."""
        return self.spec.model if role == FIRST else self.candidates[self.role(role)]

    @property
    def other(self) -> str:
        """The candidate whose answers the copy and the shift learn from."""
        return next(role for role, name in self.candidates.items() if name != COPY)

    # ---- models

    def model_of(self, role: str) -> LanguageModel:
        """The model of a role, as it was before this run's finetuning; two are held at a time."""
        role = self.role(role)
        if role == FIRST:
            return self.model
        if self._other is None or self._other[0] != role:
            self._other = None  # freed before the next one is loaded
            name = self.candidates[role]
            self._other = (role, self._copy() if name == COPY else self._load(role, name))
        return self._other[1]

    def _load(self, role: str, name: str) -> LanguageModel:
        found = self.spec.load(name)
        self.folder.uses(found, role)
        return found

    def _copy(self) -> LanguageModel:
        """M1 lightly finetuned on what another candidate answers: alike, and not the same."""
        return self._imitating(self.model, "copy", self.spec.copy_pairs)

    def tuned(self, learner: str, target: str) -> LanguageModel:
        """``learner`` finetuned on (hypothetical question, property of ``target``'s answer); one is held at a time."""
        key = f"{learner}-on-{target}"
        if self._tuned is None or self._tuned[0] != key:
            self._tuned = None
            model = self.model_of(learner)
            self._tuned = (key, self._finetuned(model, key, self.training_pairs(model, target), self.spec.lr))
        return self._tuned[1]

    def shifted(self) -> LanguageModel:
        """MC: the self-trained M1 finetuned on object-level answers of another model."""
        if self._tuned is None or self._tuned[0] != "shifted":
            before = self.tuned(FIRST, FIRST)
            self._tuned = ("shifted", self._imitating(before, "shifted", self.spec.shift_pairs))
        return self._tuned[1]

    # ---- what they learn from

    def training_pairs(self, model: LanguageModel, target: str) -> list[Pair]:
        """Hypothetical questions of the training prompts with the properties of ``target``'s answers."""
        rows = self.behaviour(target, "train").dropna(subset=["value"])
        questions = self.questions.by_id
        pairs = [
            Pair(questions[row.id].prompt(model, PROPERTIES[row.property]), str(row.value)) for row in rows.itertuples()
        ]
        if not pairs:
            raise DataError(f"{self.name(target)}: no answer to a training prompt complies: nothing can be learned")
        return pairs

    def _imitated(self, model: LanguageModel, what: str, most: int) -> list[Pair]:
        """Training prompts with the other candidate's answers, at most ``most``, spread over the tasks."""
        rows = self.behaviour(self.other, "train").dropna(subset=["value"]).drop_duplicates("id")
        if rows.empty:
            raise DataError(f"{self.name(self.other)}: no answer to a training prompt complies: none can be imitated")
        rows = rows.sample(min(most, len(rows)), random_state=self.seed(what) % 2**32)
        questions = self.questions.by_id
        return [Pair(questions[row.id].prompt(model), str(row.answer).strip()) for row in rows.itertuples()]

    def answers(self, name: str) -> pd.DataFrame:
        """The rows of a set of answers (``behaviour-first``, ``foreseen-first-on-first``), of all tasks in order: each
        task is a step of its own, so that a kill loses minutes."""
        steps = set(self.folder.steps())
        tasks = [step for task in self.questions.tasks if (step := f"{name}{AT}{task}") in steps]
        return pd.concat([self.folder.read(step) for step in tasks], ignore_index=True)

    def answered(self) -> list[str]:
        """The names of all sets of answers."""
        steps = self.folder.steps()
        return list(dict.fromkeys(name for name, at, _ in (step.partition(AT) for step in steps) if at))

    def behaviour(self, role: str, of: str) -> pd.DataFrame:
        """What a model answered to the questions of a role (``train`` or ``test``)."""
        rows = self.answers(f"behaviour-{self.role(role)}")
        return rows[rows["role"] == of].reset_index(drop=True)

    # ---- finetuning

    def _imitating(self, model: LanguageModel, key: str, most: int) -> LanguageModel:
        """``model`` finetuned on answers of another candidate."""
        return self._finetuned(model, key, self._imitated(model, key, most), self.spec.object_lr or self.spec.lr)

    def _finetuned(self, model: LanguageModel, key: str, pairs: Sequence[Pair], lr: float) -> LanguageModel:
        """The finetuned model; its adapter is kept in the run folder, and a killed finetuning goes on from there."""
        spec = self.spec
        recipe = LoRA(spec.rank, spec.alpha, lr, spec.batch, spec.epochs, spec.targets)
        with progress_bar(100, self.progress, f"finetuning {key}") as advance:
            report = self._reporting(key, advance)
            folder, seed = self.folder.path / "adapters" / key, self.seed("finetuning", key)
            return finetune(model, pairs, folder, recipe, seed=seed, name=f"{model.name} ({key})", report=report)

    def _reporting(self, key: str, advance: Callable[[int], object]) -> Callable[[dict[str, float]], None]:
        """Moves the progress bar, and logs every tenth of a finetuning."""
        shown = 0

        def report(state: dict[str, float]) -> None:
            nonlocal shown
            percent = int(100 * state["done"])
            advance(percent - shown)
            if percent // 10 > shown // 10:
                self.folder.log(f"{key}: {percent}%, step {state['step']:.0f}, loss {state['loss']:.4f}")
            shown = percent

        return report
