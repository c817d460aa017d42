"""Episodes of a language agent, many at once.

All episodes advance together, one step at a time; the prompt cache keeps what earlier turns computed, so a step costs
its new tokens only.  Steered positions live as long as the decision: at the next step the turn is encoded again,
unsteered unless the intervention's scope says otherwise.  Rewards come from the bandit's reward table, which depends
on (seed, step, arm) alone, and every random choice from the episode's seed: an episode is the same alone or among
others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from workbench.errors import DataError, ModelError
from workbench.models.interventions import Intervention
from workbench.models.memory import slot_budget
from workbench.progress import progress_bar
from workbench.seeding import derive_seed
from workbench.worlds.bandits.agents.language_agent import Decision, LanguageAgent
from workbench.worlds.bandits.arms import Arms, reward_table
from workbench.worlds.bandits.conversation import Turn

_TOKENS_PER_TURN = 64  # only to guess how many episodes fit into memory at once

Interventions = Sequence[Intervention] | Callable[[Sequence[int]], Sequence[Intervention]]


@dataclass(frozen=True)
class Rollout:
    """Episodes of an agent.

    ``steps``: one row a step (``episode, seed, step, arm, reward, regret, best_arm, mean0.., entropy,
    entropy_corrected, n0.., valid, outside_mass, attempts, completion, feedback``; the numbers are those of
    :class:`Decision`).  ``prompts``: the prompt tokens of each row.
    ``failures``: the steps at which no completion could be parsed; they end their episode and have no row in ``steps``.
    """

    steps: pd.DataFrame
    prompts: list[list[int]]
    failures: pd.DataFrame


@dataclass
class _Episode:
    index: int
    seed: int
    turns: list[Turn] = field(default_factory=list)
    alive: bool = True


def rollout(
    agent: LanguageAgent,
    arms: Arms | Sequence[Arms],
    seeds: Sequence[int],
    *,
    horizon: int | None = None,
    interventions: Interventions = (),
    parallel: int | None = None,
    progress: bool = False,
) -> Rollout:
    """Play one episode for each seed, all on the same bandit or each on its own (``arms`` as a list).

    ``interventions`` act at every step; given as a function, it is called with the indices of the episodes that are
    played together and returns interventions whose rows are these.  ``parallel`` episodes run at once (default: as many
    as fit into memory).  Raises :class:`DataError` without seeds.
    """
    if not len(seeds):
        raise DataError("nothing to play: give at least one seed")
    horizon = horizon or agent.text.horizon
    means, rewards = _rewards(arms, seeds, horizon)
    if means.shape[1] != agent.text.n_arms:
        raise DataError(f"the bandit has {means.shape[1]} arms and the text speaks of {agent.text.n_arms}")
    size = parallel or _parallel(agent, horizon)
    rows: list[tuple[dict[str, Any], list[int]]] = []
    failures: list[dict[str, Any]] = []
    with progress_bar(len(seeds) * horizon, progress, "playing") as advance:
        for start in range(0, len(seeds), size):
            episodes = [_Episode(i, int(seeds[i])) for i in range(start, min(start + size, len(seeds)))]
            given = interventions([e.index for e in episodes]) if callable(interventions) else interventions
            _play(agent, episodes, means, rewards, given, rows, failures, advance)
    rows.sort(key=lambda row: (row[0]["episode"], row[0]["step"]))
    columns = ["episode", "seed", "step", "completion"]
    return Rollout(pd.DataFrame([r for r, _ in rows]), [p for _, p in rows], pd.DataFrame(failures, columns=columns))


def prompts_of(agent: LanguageAgent, steps: pd.DataFrame) -> list[list[int]]:
    """The prompt tokens of every row of ``Rollout.steps``, written again from what was said and done."""
    prompts: list[list[int]] = []
    turns: dict[int, list[Turn]] = {}
    columns = (steps[name] for name in ("episode", "step", "arm", "reward", "completion"))
    for episode, step, arm, reward, completion in zip(*columns, strict=True):
        if step == 0:
            turns[episode] = []
        prompts.append(agent.prompt(turns[episode]))
        turns[episode].append(agent.turn(completion, int(arm), reward))
    return prompts


def _play(
    agent: LanguageAgent, episodes: list[_Episode], means: np.ndarray, rewards: np.ndarray,
    interventions: Sequence[Intervention], rows: list[tuple[dict[str, Any], list[int]]],
    failures: list[dict[str, Any]], advance: Callable[[int], object],
) -> None:  # fmt: skip
    cache = agent.model.prompt_cache()
    for step in range(rewards.shape[1]):
        alive = [e.alive for e in episodes]
        if not any(alive):
            return
        prompts = [agent.prompt(e.turns) for e in episodes]
        decisions = agent.decide(
            prompts, [derive_seed(e.seed, "step", step) for e in episodes], interventions, cache, alive
        )
        for episode, prompt, decision in zip(episodes, prompts, decisions, strict=True):
            if decision is None:
                continue
            advance(1)
            if decision.arm is None or decision.chosen is None:
                episode.alive = False
                failed = {"episode": episode.index, "seed": episode.seed, "step": step}
                failures.append(failed | {"completion": decision.texts[0]})
                continue
            reward = float(rewards[episode.index, step, decision.arm])
            episode.turns.append(agent.turn(decision.texts[decision.chosen], decision.arm, reward))
            row = _row(episode, step, decision, reward, means[episode.index])
            rows.append((row | {"feedback": agent.text.feedback(decision.arm, reward)}, prompt))


def _rewards(arms: Arms | Sequence[Arms], seeds: Sequence[int], horizon: int) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(arms, Sequence):
        return reward_table(arms, seeds, horizon)
    if len(arms) != len(seeds):
        raise DataError(f"{len(arms)} bandits for {len(seeds)} seeds: give one for each")
    tables = [reward_table(each, [seed], horizon) for each, seed in zip(arms, seeds, strict=True)]
    return np.concatenate([means for means, _ in tables]), np.concatenate([rewards for _, rewards in tables])


def _row(episode: _Episode, step: int, decision: Decision, reward: float, means: np.ndarray) -> dict[str, Any]:
    assert decision.arm is not None and decision.chosen is not None
    row: dict[str, Any] = {"episode": episode.index, "seed": episode.seed, "step": step, "arm": decision.arm}
    row |= {"reward": reward, "regret": means.max() - means[decision.arm], "best_arm": int(means.argmax())}
    row |= {f"mean{k}": mean for k, mean in enumerate(means)}
    row |= {"entropy": decision.entropy, "entropy_corrected": decision.corrected}
    row |= {f"n{k}": count for k, count in enumerate(decision.counts)}
    row |= {"valid": decision.valid, "outside_mass": decision.outside_mass, "attempts": decision.attempts}
    return row | {"completion": decision.texts[decision.chosen]}


def _parallel(agent: LanguageAgent, horizon: int) -> int:
    model = agent.model
    budget = slot_budget(model.backend)
    width = len(agent.prompt()) + horizon * _TOKENS_PER_TURN + agent.completions * agent.max_new_tokens
    if width > 8 * budget:
        raise ModelError(f"one episode of {width} tokens does not fit into memory beside {model.name}")
    return max(1, budget // width)
