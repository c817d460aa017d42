"""What is checked of a model that acts, beside what is checked of every model: playing step by step."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.models.hooked_checks import HookedChecks
from workbench.models.reference import logit_difference, worst
from workbench.models.report import Check
from workbench.models.sequence_model import SequenceModel
from workbench.sites import Site


class SequenceChecks(HookedChecks):
    """Checks of a sequence model."""

    model: SequenceModel

    def checks(self) -> list[Check]:
        """What to run, in order."""
        return [
            *super().checks(),
            Check("episodes played step by step equal the reference", self.steps, self.close),
            Check("steered steps equal the reference", self.steered_steps, self.close),
        ]

    def steps(self) -> float:
        return worst(map(logit_difference, self._played(), map(self.reference.logits, self.prompts)))

    def steered_steps(self) -> float:
        vector = self.vectors[0]
        expected = [self.reference.logits(prompt, self.middle, vector) for prompt in self.prompts]
        return worst(map(logit_difference, self._played(vector), expected))

    def _played(self, vector: Tensor | None = None) -> list[Tensor]:
        """Logits [pos, values] of each episode, all stepped through at once; those that have ended are dropped."""
        cache = self.model.cache()
        found: list[list[Tensor]] = [[] for _ in self.prompts]
        hooks = {} if vector is None else {Site(self.middle): lambda x: x + vector.to(x.dtype)}
        playing = list(range(len(self.prompts)))
        for t in range(max(map(len, self.prompts))):
            left = [k for k, episode in enumerate(playing) if t < len(self.prompts[episode])]
            if len(left) < len(playing):
                cache.keep(torch.tensor(left, device=self.model.device))
                playing = [playing[k] for k in left]
            seen = torch.stack([self.prompts[episode][t] for episode in playing])
            with torch.no_grad():
                logits = self.model.step(seen, cache, hooks)
            assert logits is not None
            for episode, row in zip(playing, logits, strict=True):
                found[episode].append(row)
        return [torch.stack(rows) for rows in found]
