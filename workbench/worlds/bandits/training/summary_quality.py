"""How good an agent is on bandits told by summary statistics, beside oracles and its base on the same seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.statistics import Interval, cluster_bootstrap
from workbench.worlds.bandits import BernoulliBandit, GaussianBandit, play
from workbench.worlds.bandits.agents.behaviour import summarise
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.agents.rollout import rollout
from workbench.worlds.bandits.oracles import make_oracle
from workbench.worlds.bandits.summary import HELD_OUT_WORDINGS, LABELS, PAYS, SummaryText
from workbench.worlds.bandits.training.smollm2 import BASE
from workbench.worlds.bandits.training.summaries import COIN_SIGMA, SIGMA, bandits

CARD = Path(__file__).with_name("summary_card.md").read_text(encoding="utf-8")
CARD_ROWS = ("player", "setting")
HORIZON, LONG = 50, 300
THINKING = {"samples": "agent, samples", "upper bounds": "agent, upper bounds", "none": "agent, at once"}
ORACLES = ("random", "greedy", "ucb", "thompson")
MEASURES = ("suffix_failure", "minimum_arm_fraction", "greedy_rate")


def measure_quality(
    model: LanguageModel,
    episodes: int = 32,
    thinking: int = 32,
    thinking_long: int = 12,
    progress: bool = False,
    base: LanguageModel | None = None,
) -> pd.DataFrame:
    """Regret, behaviour and readability of the agent, its base and the oracles; a row a player, setting and measure.

    Bandits of 2 and 5 arms, both kinds of payment, at the horizon of training; those of 5 arms at six times that, too.
    Columns ``player, setting, measure, estimate, low, high`` (95%, over bandits): ``bandits`` is their number,
    ``regret`` a round's mean, in points of 100; ``read`` the share of rounds whose first answer named an arm (without a
    thought: the probability of that); suffix failures stand beside the least share of an arm (times K), since one who
    plays evenly has none.

    Args:
        model: the agent.
        episodes: bandits that oracles and agents without a thought play.
        thinking: of these, how many the agents that think play, which take the longest; 0 leaves them out.
        thinking_long: likewise at the long horizon.
        progress: draw progress bars.
        base: what is measured as it comes (default: SmolLM2).
    """
    parts = quality_parts(model, episodes, thinking, thinking_long, progress, base)
    return pd.concat(parts, ignore_index=True)


def quality_parts(
    model: LanguageModel, episodes: int, thinking: int, thinking_long: int, progress: bool = False,
    base: LanguageModel | None = None,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """The parts of :func:`measure_quality`, a player and setting each, the quickest first."""
    from workbench.models import load_model

    base = base or LanguageModel.of(load_model(BASE, device=model.device.type, dtype="bfloat16"))
    for think in (False, True):
        for text in settings():
            seeds = [derive_seed("summary quality", text.pays, text.n_arms, k) for k in range(episodes)]
            setting = f"{text.n_arms} arms, {text.pays}, horizon {text.horizon}"
            for player, agent in _agents(model, base, text):
                n = episodes if not think else thinking_long if text.horizon == LONG else thinking
                if agent.text.thoughts == think and n:
                    drawn = bandits(text.pays, text.n_arms)
                    played = rollout(agent, drawn, seeds[:n], horizon=text.horizon, progress=progress)
                    yield _measured(played.steps, played.failures, text, player, setting)
            for name in ORACLES if not think else ():
                yield _measured(_oracle(name, text, seeds), None, text, name, setting)


def settings() -> Iterator[SummaryText]:
    """What is played."""
    for horizon, arms in ((HORIZON, (2, 5)), (LONG, (5,))):
        for n_arms in arms:
            for pays in PAYS:
                shown = (50.0, 150.0) if pays == "points" else (0.0, 1.0)
                yield SummaryText(LABELS["letters"][:n_arms], horizon=horizon, pays=pays, shown=shown)


def _agents(model: LanguageModel, base: LanguageModel, text: SummaryText) -> Iterator[tuple[str, LanguageAgent]]:
    for thinks, name in THINKING.items():
        told = replace(text, thinks=thinks)
        # A bound is worked out, a sample is drawn.
        temperature = 0.0 if thinks == "upper bounds" else 1.0
        yield (
            name,
            LanguageAgent(
                model,
                told,
                completions=1,
                temperature=temperature,
                max_new_tokens=64,
                exact=not told.thoughts,
                retries=3,
            ),
        )
    if text.horizon == HORIZON:
        bare = replace(text, thinks="none")
        yield (
            "agent, at once, unseen wording",
            LanguageAgent(model, replace(bare, wording=HELD_OUT_WORDINGS[0]), exact=True),
        )
        yield "SmolLM2 as it comes, at once", LanguageAgent(base, bare, exact=True)


def _oracle(name: str, text: SummaryText, seeds: list[int]) -> pd.DataFrame:
    """The oracle's episodes, on the bandits and rewards that the agents have."""
    gaussian = text.pays == "points"
    options = {"sigma": SIGMA if gaussian else COIN_SIGMA / 100} if name == "ucb" else {}
    policy = make_oracle("bernoulli_thompson" if name == "thompson" and not gaussian else name, **options)
    means = bandits(text.pays, text.n_arms).means
    bandit = (GaussianBandit if gaussian else BernoulliBandit)(means, horizon=text.horizon)
    return play(policy, bandit, seeds)


def _measured(
    steps: pd.DataFrame, failures: pd.DataFrame | None, text: SummaryText, player: str, setting: str
) -> pd.DataFrame:
    rows = [{"measure": "bandits", "estimate": steps["episode"].nunique() if len(steps) else 0}]
    parts = [pd.DataFrame(rows)]
    if len(steps):
        low, high = text.shown
        summary = summarise(steps, [], ["regret", *MEASURES])
        summary.loc[summary["measure"] == "regret", ["estimate", "low", "high"]] *= 100 / (high - low) / text.horizon
        parts.append(summary)
    if failures is not None:
        parts.append(pd.DataFrame([{"measure": "read", **vars(_read(steps, failures))}]))
    whole = pd.concat(parts, ignore_index=True).assign(player=player, setting=setting)
    return whole.reindex(columns=["player", "setting", "measure", "estimate", "low", "high"])


def _read(steps: pd.DataFrame, failures: pd.DataFrame) -> Interval:
    """The share of rounds whose first answer named an arm."""
    parts = [failures[["episode"]].assign(read=0.0)] if len(failures) else []
    if len(steps):
        parts.append(steps.assign(read=steps["valid"].where(steps["attempts"] == 1, 0.0))[["episode", "read"]])
    first = pd.concat(parts)
    return cluster_bootstrap(first["read"].to_numpy(), first["episode"].to_numpy())
