"""The two sides of every comparison: what the model says left alone, and steered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.models import Intervention, LanguageModel, Scope, Window
from workbench.sites import Site
from workbench.views.jobs import Job


@dataclass(frozen=True)
class Side:
    """A prompt and what followed it, in tokens, and the interventions under which it was said."""

    name: str
    prompt: list[int]
    completion: list[int]
    interventions: list[Any]


@dataclass(frozen=True)
class Sides:
    """One side or two.  ``stamp`` differs whenever anything about them does, so views know when to compute again."""

    sides: list[Side]
    stamp: Any

    def __getitem__(self, name: str) -> Side:
        return next(side for side in self.sides if side.name == name)

    @property
    def names(self) -> list[str]:
        """``unsteered``, and ``steered`` if there are interventions."""
        return [side.name for side in self.sides]


class Checkpoint:
    """An intervention that changes nothing: each pass of the model reports to a job, and ends if it was cancelled."""

    def __init__(self, job: Job, total: int | None = None) -> None:
        self._job, self._total, self._passes = job, total, 0
        job.report(done=0, total=total)

    @property
    def site(self) -> Site:
        """Where every pass begins."""
        return Site(0, "resid_pre")

    @property
    def scope(self) -> Scope:
        """Generation only, so that prompts are shared and cached as without it."""
        return Scope(None, Window())

    def __call__(self, activation: Any, where: Any) -> Any:
        self._passes += 1
        self._job.report(done=None if self._total is None else min(self._passes, self._total))
        return activation


def write_sides(
    model: LanguageModel, prompt: list[int], interventions: Sequence[Intervention], job: Job, tokens: int,
    temperature: float, seed: int,
) -> list[Side]:  # fmt: skip
    """A completion without interventions and, if there are any, one with them from the same random numbers."""
    conditions: list[tuple[str, list[Any]]] = [("unsteered", [])]
    if interventions:
        conditions.append(("steered", list(interventions)))
    watch = Checkpoint(job, tokens * len(conditions))
    sides = []
    for name, given in conditions:
        said: list[int] = []
        if tokens:
            [[completion]] = model.generate(
                [prompt], max_new_tokens=tokens, seeds=[seed], interventions=[*given, watch],
                **model.sampling | {"temperature": temperature},
            )  # fmt: skip
            said = completion.tokens
        sides.append(Side(name, prompt, said, given))
    return sides
