"""A bandit episode, one step at a time: the episode that ``rollout`` plays, interrupted between its steps.

An episode is a function of its settings and interventions, so the steps played so far are enough to go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from workbench.models import Intervention, LanguageModel
    from workbench.worlds.bandits.agents.language_agent import LanguageAgent

__all__ = ["BanditSettings", "BanditStep", "play_bandit"]


@dataclass(frozen=True)
class BanditSettings:
    """One episode: how it is written, what the arms pay, and the seed of everything random."""

    rendering: str = "buttons"
    wording: int = 0
    means: tuple[float, ...] = (95.0, 105.0)
    sigma: float = 10.0
    horizon: int = 50
    completions: int = 10
    seed: int = 0

    def agent(self, model: LanguageModel) -> LanguageAgent:
        """The agent that plays it."""
        from workbench.worlds.bandits.agents.language_agent import LanguageAgent
        from workbench.worlds.bandits.text import BanditText

        text = BanditText(self.rendering, self.wording, len(self.means), self.horizon)
        return LanguageAgent(model, text, completions=self.completions)


@dataclass(frozen=True)
class BanditStep:
    """One step: the prompt, what was said, and what came of it.  ``arm`` None: no completion could be read, and the
    episode ends.  ``shares`` [arm]: of the valid completions; ``entropy`` in nats."""

    prompt: list[int]
    completion: str
    arm: int | None
    reward: float
    feedback: str
    shares: tuple[float, ...]
    entropy: float
    valid: float


def play_bandit(
    model: LanguageModel,
    settings: BanditSettings,
    interventions: Sequence[Intervention],
    count: int,
    played: Sequence[BanditStep] = (),
    advance: Callable[[int], object] = lambda number: None,
) -> list[BanditStep]:
    """The first ``count`` steps, going on from those ``played``; fewer when the episode ends before.

    ``advance`` is called with the number of steps played before each new one.
    """
    from workbench.seeding import derive_seed
    from workbench.worlds.bandits.arms import GaussianArms, reward_table

    agent = settings.agent(model)
    _, rewards = reward_table(GaussianArms(settings.means, settings.sigma), [settings.seed], settings.horizon)
    steps, messages = list(played[:count]), agent.opening()
    # Steered positions before the last prompt token must not be kept for the next step.
    cache = None if any(each.scope.first_position(2) == 0 for each in interventions) else model.prompt_cache()
    for step in steps:
        if step.arm is not None:
            messages = agent.reply(messages, step.completion, step.arm, step.reward)
    while len(steps) < min(count, settings.horizon) and not (steps and steps[-1].arm is None):
        advance(len(steps))
        prompt = agent.prompt(messages)
        [decision] = agent.decide([prompt], [derive_seed(settings.seed, "step", len(steps))], interventions, cache)
        assert decision is not None
        if decision.arm is None or decision.chosen is None:
            nothing = (float("nan"),) * len(settings.means)
            steps.append(BanditStep(prompt, decision.texts[0], None, float("nan"), "", nothing, float("nan"), 0.0))
            break
        said, reward = decision.texts[decision.chosen], float(rewards[0, len(steps), decision.arm])
        messages = agent.reply(messages, said, decision.arm, reward)
        shares = tuple((decision.counts / np.sum(decision.counts)).tolist())
        told = messages[-1]["content"]
        steps.append(BanditStep(prompt, said, decision.arm, reward, told, shares, decision.entropy, decision.valid))
    return steps
