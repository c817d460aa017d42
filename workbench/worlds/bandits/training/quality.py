"""How good a bandit agent is on bandits it has never seen, beside every oracle on the same seeds, for its card."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.worlds.bandits import GaussianArms, GaussianBandit, play
from workbench.worlds.bandits.agents.behaviour import summarise
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.agents.rollout import rollout
from workbench.worlds.bandits.text import HELD_OUT_WORDINGS, BanditText

SETTINGS = ((95.0, 105.0), (105.0, 95.0), (99.0, 101.0))
ORACLES = ("random", "greedy", "epsilon_greedy", "ucb", "thompson")
HORIZON = 50
CARD = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
CARD_ROWS = ("player", "setting")


def measure_quality(
    model: LanguageModel, episodes: int = 16, completions: int = 4, progress: bool = False
) -> pd.DataFrame:
    """Regret, validity and entropy of the agent and of the oracles; one row a player, setting and measure.

    Players: the agent on both renderings, on each held-out wording, without thoughts, and every oracle.  Columns
    ``player, setting, measure, estimate, low, high`` (95%, over episodes); ``valid`` counts completions, entropies
    (nats) are means over the first and the last five steps.
    """
    texts = {"agent, buttons": BanditText(), "agent, slot machines": BanditText("slot_machines")}
    texts |= {f"agent, unseen wording {w}": BanditText(wording=w) for w in HELD_OUT_WORDINGS}
    texts |= {"agent, no thoughts": BanditText(thoughts=False)}
    played = [(means, k) for means in SETTINGS for k in range(episodes)]
    names = {means: f"({means[0]:g}, {means[1]:g})" for means in SETTINGS}
    seeds = [derive_seed("quality", str(means), k) for means, k in played]
    tables = []
    for player, text in texts.items():
        agent = LanguageAgent(model, text, completions, exact=not text.thoughts)
        arms = [GaussianArms(means) for means, _ in played]
        steps = rollout(agent, arms, seeds, horizon=HORIZON, progress=progress).steps
        tables.append(steps.assign(player=player, setting=[names[played[e][0]] for e in steps["episode"]]))
    for name in ORACLES:
        for i, means in enumerate(SETTINGS):
            own = seeds[i * episodes : (i + 1) * episodes]
            steps = play(name, GaussianBandit(means, horizon=HORIZON), own)
            tables.append(steps.assign(player=name, setting=names[means]))
    steps = pd.concat(tables, ignore_index=True)
    early, late = steps["step"] < 5, steps["step"] >= HORIZON - 5
    parts = [summarise(steps, ["player", "setting"], ["regret"])]
    for name, mask in (("entropy, first 5 steps", early), ("entropy, last 5 steps", late)):
        parts.append(summarise(steps[mask], ["player", "setting"], ["entropy"]).assign(measure=name))
    valid = (
        steps[steps["valid"].notna()].groupby(["player", "setting"])["valid"].mean().rename("estimate").reset_index()
    )
    return pd.concat([*parts, valid.assign(measure="valid")], ignore_index=True)
