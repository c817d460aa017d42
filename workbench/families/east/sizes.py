"""About how much the steps of an EAST run read and draw, for plans and their minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from workbench.families.east.spec import EastSpec

# Tokens, about: the first message; feedback with what a chat template puts around a turn; an action.
_INSTRUCTIONS, _FEEDBACK, _ACTION = 100, 30, 10


class Size(TypedDict, total=False):
    """Arguments of a step."""

    completions: int
    tokens: int


@dataclass(frozen=True)
class Sizes:
    """How much each kind of step reads and draws."""

    spec: EastSpec

    def played(self, episodes: int, completions: int) -> Size:
        """Of episodes; with 0 completions, of reading them once more."""
        spec, horizon = self.spec, self.spec.horizon
        scored = self._scored(completions) if completions else 0
        tokens = episodes * (_INSTRUCTIONS + horizon * (self._turn + scored))
        return {"completions": episodes * horizon * completions * spec.drawn, "tokens": tokens}

    def evaluated(self, conditions: int, batches: int) -> Size:
        """Of all prompts under some conditions, which read the prompts once a batch."""
        spec = self.spec
        prompt = _INSTRUCTIONS + spec.horizon * self._turn // 2
        tokens = spec.prompts * (batches * prompt + conditions * self._scored(spec.eval_completions))
        return {"completions": conditions * spec.prompts * spec.eval_completions * spec.drawn, "tokens": tokens}

    def thoughts(self, methods: int = 2, points: int = 9) -> Size:
        """Of scoring the arms at some points of a thought a prompt."""
        behind = points * self.spec.n_arms * (self.spec.max_new_tokens // 2 + _ACTION)
        return {"tokens": methods * (self.evaluated(0, 1)["tokens"] + self.spec.prompts * behind)}

    @property
    def _turn(self) -> int:
        return _FEEDBACK + _ACTION + (self.spec.max_new_tokens if self.spec.thoughts else 0)

    def _scored(self, completions: int) -> int:
        """Tokens of the answers that are scored for a decision."""
        thought = completions * self.spec.max_new_tokens if self.spec.thoughts else 0
        answers = (completions if self.spec.thoughts else 1) * _ACTION
        return self.spec.n_arms * (thought + answers) if self.spec.exact else 0
