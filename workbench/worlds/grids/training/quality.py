"""How well a grid agent walks layouts it has never seen, beside a random and an optimal player, for its card."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.worlds.grids.agents.agent import GridAgent
from workbench.worlds.grids.agents.behaviour import grid_behaviour
from workbench.worlds.grids.agents.play import play_grids
from workbench.worlds.grids.layouts import Layout
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.oracles import optimal_policy, random_policy
from workbench.worlds.grids.text import GridText

SIZES, DENSITIES = (7, 9), (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
EASY = "size 7, density up to 0.4"  # the setting of the quality bar
MEASURES = ("success", "accuracy", "spl", "valid", "jsd")
CARD = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
CARD_ROWS = ("player", "setting")


def measure_quality(model: LanguageModel, layouts: int = 20, rollouts: int = 2, progress: bool = False) -> pd.DataFrame:
    """Success, accuracy, SPL, readable answers and divergence from the optimal policy, one row a player, setting and
    measure.

    Players: the agent answering directly and after a reasoning, a random and an optimal player.  Settings: every size
    and density (``layouts`` held-out mazes each), mazes of size 7 with density up to .4 together, and rooms whose door
    needs a key.  Columns ``player, setting, measure, estimate, low, high`` (95%, over layouts).
    """
    players = {
        "agent, direct": GridAgent(model, exact=True),
        "agent, reasoning": GridAgent(model, GridText(reasoning=True)),
        "random": random_policy,
        "optimal": optimal_policy,
    }
    drawn = _layouts(layouts)
    labels = pd.DataFrame({"setting": [setting for setting, _ in drawn]})
    easy = labels["setting"].isin([f"size 7, density {density:g}" for density in DENSITIES if density <= 0.4])
    grids = [layout for _, layout in drawn]
    tables = []
    for name, player in players.items():
        steps = play_grids(player, grids, rollouts, progress=progress).assign(player=name)  # type: ignore[arg-type]
        whole = steps[easy[steps["layout"]].to_numpy()].assign(setting=EASY)
        tables += [
            grid_behaviour(whole, grids, by=["setting"]),
            grid_behaviour(steps, grids, by=["setting"], labels=labels),
        ]
    table = pd.concat(tables, ignore_index=True).rename(columns={"metric": "measure"})
    return table[table["measure"].isin(MEASURES)].drop(columns="n").reset_index(drop=True)


def _layouts(count: int) -> list[tuple[str, Layout]]:
    found = []
    for size in SIZES:
        for density in DENSITIES:
            for k in range(count):
                seed = derive_seed("grid quality", size, str(density), k)
                found.append(
                    (f"size {size}, density {density:g}", make_layout(size, density, seed=seed, held_out=True))
                )
        for k in range(count):
            seed = derive_seed("grid quality", "KeyDoor", size, k)
            found.append((f"size {size}, key and door", make_layout(size, 0.0, "KeyDoor", seed, held_out=True)))
    return found
