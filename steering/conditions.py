"""Conditions: ways to push a model (a vector, a prompt, nothing), compared on the same inputs in shared batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from steering.batching import side_by_side
from workbench.models.chats import with_system
from workbench.models.interventions import Intervention

if TYPE_CHECKING:
    from workbench.models.decoding import Completion, Score
    from workbench.models.language_model import LanguageModel, Prompt


@dataclass(frozen=True)
class Condition:
    """One way to push a model: interventions, a text in front of every prompt, or both.

    Args:
        method: what it is called in tables (``unsteered``, ``vector``, ``prompt``, ``random``).
        interventions: as for :meth:`LanguageModel.generate`.
        front: a text that stands in front of prompts that are texts; the system prompt of those that are chats.
        columns: what else tables say of it (its layer, dose, draw).

    >>> Condition("prompt", front="Be glad.").prompt("The soup was")
    'Be glad. The soup was'
    >>> Condition("prompt", front="Be glad.").prompt([{"role": "user", "content": "How was it?"}])[0]
    {'role': 'system', 'content': 'Be glad.'}
    """

    method: str
    interventions: tuple[Intervention, ...] = ()
    front: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)

    def prompt(self, prompt: Prompt) -> Prompt:
        """A prompt as this condition has it."""
        if not self.front:
            return prompt
        if isinstance(prompt, str):
            return f"{self.front} {prompt}".rstrip()
        return with_system(prompt, self.front)  # type: ignore[arg-type]

    @property
    def row(self) -> dict[str, Any]:
        """Its columns in a table."""
        return {"method": self.method, **self.columns}


def score_under(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    continuations: Sequence[Sequence[str | list[int]]],
    conditions: Sequence[Condition],
    **options: Any,
) -> list[list[list[Score]]]:
    """``model.score`` under every condition: ``result[condition][prompt][continuation]``.

    >>> from workbench.models.tiny import tiny_model
    >>> scores = score_under(tiny_model(), ["a b", "c"], [[" d"], [" e", " f"]], [Condition("unsteered")])
    >>> [len(row) for row in scores[0]]
    [1, 2]
    """
    rows, steered = _rows(model, prompts, conditions)
    found = model.score(rows, [*continuations] * len(conditions), steered, **options)
    return _by_condition(found, len(prompts))


def generate_under(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    conditions: Sequence[Condition],
    n: int = 1,
    *,
    seeds: Sequence[int] | None = None,
    **options: Any,
) -> list[list[list[Completion]]]:
    """``model.generate`` under every condition: ``result[condition][prompt][completion]``.

    A prompt is drawn with the same seed (``seeds``, default its number) under all of them.
    """
    rows, steered = _rows(model, prompts, conditions)
    own = list(range(len(prompts))) if seeds is None else list(seeds)
    found = model.generate(rows, n, seeds=own * len(conditions), interventions=steered, **options)
    return _by_condition(found, len(prompts))


def _rows(
    model: LanguageModel, prompts: Sequence[Prompt], conditions: Sequence[Condition]
) -> tuple[list[Prompt], list[Intervention]]:
    rows = [each.prompt(prompt) for each in conditions for prompt in prompts]
    return rows, side_by_side([each.interventions for each in conditions], model, len(prompts))


def _by_condition(found: list[Any], n: int) -> list[list[Any]]:
    return [found[start : start + n] for start in range(0, len(found), n)]
