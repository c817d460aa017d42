"""A bandit episode, one step at a time: the episode that ``rollout`` plays, interrupted between its steps.

An episode is a function of its settings and interventions, so the steps played so far are enough to go on from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from workbench.models import Intervention, LanguageModel
from workbench.seeding import derive_seed
from workbench.views.choices import number, pick
from workbench.views.games import Game
from workbench.views.text import plain
from workbench.worlds.bandits.arms import GaussianArms, reward_table
from workbench.worlds.bandits.text import HELD_OUT_WORDINGS, RENDERINGS, TRAINED_WORDINGS, BanditText

if TYPE_CHECKING:
    from workbench.worlds.bandits.agents.language_agent import LanguageAgent


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
    agent = settings.agent(model)
    _, rewards = reward_table(GaussianArms(settings.means, settings.sigma), [settings.seed], settings.horizon)
    steps = list(played[:count])
    # Steered positions before the last prompt token must not be kept for the next step.
    cache = None if any(each.scope.first_position(2) == 0 for each in interventions) else model.prompt_cache()
    turns = [agent.turn(step.completion, step.arm, step.reward) for step in steps if step.arm is not None]
    while len(steps) < min(count, settings.horizon) and not (steps and steps[-1].arm is None):
        advance(len(steps))
        prompt = agent.prompt(turns)
        [decision] = agent.decide([prompt], [derive_seed(settings.seed, "step", len(steps))], interventions, cache)
        assert decision is not None
        if decision.arm is None or decision.chosen is None:
            nothing = (float("nan"),) * len(settings.means)
            steps.append(BanditStep(prompt, decision.texts[0], None, float("nan"), "", nothing, float("nan"), 0.0))
            break
        said, reward = decision.texts[decision.chosen], float(rewards[0, len(steps), decision.arm])
        turns.append(agent.turn(said, decision.arm, reward))
        shares = tuple((decision.counts / np.sum(decision.counts)).tolist())
        told = agent.text.feedback(decision.arm, reward)
        steps.append(BanditStep(prompt, said, decision.arm, reward, told, shares, decision.entropy, decision.valid))
    return steps


def _choose() -> BanditSettings:
    first, second, third = st.columns(3)
    rendering = pick("Rendering", list(RENDERINGS), "rendering", show=lambda name: name.replace("_", " "), at=first)
    wording = pick("Wording", list(map(str, sorted(TRAINED_WORDINGS + HELD_OUT_WORDINGS))), "wording", at=first)
    low = number("Mean of arm 1", 0.0, 1000.0, "mean1", 95.0, 1.0, at=second)
    high = number("Mean of arm 2", 0.0, 1000.0, "mean2", 105.0, 1.0, at=second)
    sigma = number("Standard deviation", 0.0, 1000.0, "sigma", 10.0, 1.0, at=third)
    completions = number("Completions a step", 1, 50, "completions", 10, help="drawn to see how sure it is", at=third)
    return BanditSettings(rendering, int(wording), (low, high), sigma, completions=completions)


def _show(found: Mapping[str, Sequence[BanditStep]], settings: BanditSettings) -> None:
    """The choices and the transcript of each condition, side by side."""
    for column, (name, steps) in zip(st.columns(len(found)), found.items(), strict=True):
        with column:
            st.subheader(plain(name))
            _episode(steps, settings)


def _episode(steps: Sequence[BanditStep], settings: BanditSettings) -> None:
    best = max(range(len(settings.means)), key=lambda arm: settings.means[arm])
    done = [step for step in steps if step.arm is not None]
    if len(done) < len(steps):
        st.warning("None of the completions held a readable action, so the episode ended here.")
    if not done:
        return
    with st.container(horizontal=True):
        st.metric("Points", f"{sum(step.reward for step in done):.0f}")
        st.metric("Best arm chosen", f"{sum(step.arm == best for step in done)} of {len(done)}")
        st.metric("Mean entropy, nats", f"{sum(step.entropy for step in done) / len(done):.2f}")
    table = pd.DataFrame({
        "step": range(1, len(done) + 1),
        "arm": [1 + int(step.arm or 0) for step in done],
        "paid": [round(step.reward) for step in done],
        "entropy": [step.entropy for step in done],
        "valid": [step.valid for step in done],
    } | {f"p(arm {k + 1})": [step.shares[k] for step in done] for k in range(len(settings.means))})  # fmt: skip
    st.dataframe(table.iloc[::-1].round(2), hide_index=True, height=min(38 + 35 * len(done), 250))
    last = done[-1]
    st.code(f"{last.completion.strip()}\n\n{last.feedback}", language=None, wrap_lines=True)


def _last(model: LanguageModel, step: BanditStep) -> tuple[list[int], list[int]]:
    return step.prompt, model.encode_continuation(step.completion, after=step.prompt)


GAME = Game(BanditSettings.horizon, _choose, play_bandit, _show, _last)
