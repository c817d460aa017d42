"""The shipped models are as good as their cards say, on a few fresh episodes; and the cards exist."""

from __future__ import annotations

import json

import pytest

from workbench.models import load_model, shipped_models
from workbench.models.language_model import LanguageModel
from workbench.models.names import shipped_adapters
from workbench.worlds import get_recipe, recipes
from workbench.worlds.grids.agents.agent import GridAgent
from workbench.worlds.grids.agents.play import episodes_of, play_grids
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.oracles import random_policy
from workbench.worlds.grids.text import GridText

RECIPES = [name for name, recipe in recipes().items() if recipe.ships]


@pytest.fixture(scope="module")
def grid_agent() -> LanguageModel:
    return load_model("grid-agent", device="cpu")


LAYOUTS = [make_layout(7, density, seed=k, held_out=True) for density in (0.0, 0.2, 0.4) for k in range(8)]


@pytest.mark.parametrize("reasoning", [False, True])
def test_the_grid_agent_reaches_the_goal_far_more_often_than_chance(grid_agent: LanguageModel, reasoning: bool) -> None:
    agent = GridAgent(grid_agent, GridText(reasoning=reasoning), exact=not reasoning)
    success = episodes_of(play_grids(agent, LAYOUTS, rollouts=1), LAYOUTS)["success"].mean()
    chance = episodes_of(play_grids(random_policy, LAYOUTS, rollouts=20), LAYOUTS)["success"].mean()
    assert success >= 0.6 and success >= 3 * chance  # the card says .88 and .83 over many more layouts


def test_the_grid_agents_reasoning_is_read_and_names_where_it_stands(grid_agent: LanguageModel) -> None:
    agent = GridAgent(grid_agent, GridText(reasoning=True))
    said = agent.decide([(layout, layout.initial) for layout in LAYOUTS], seeds=range(len(LAYOUTS)))
    places = [
        f"At {layout.start[0]} {layout.start[1]}." in d.completion for layout, d in zip(LAYOUTS, said, strict=True)
    ]
    assert all(decision.move is not None for decision in said) and sum(places) >= 0.9 * len(places)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_shipped_model_with_a_card_that_holds_its_quality(name: str) -> None:
    shipped = {**shipped_models(), **shipped_adapters()}
    folders = [folder for n, folder in shipped.items() if n == name or n.startswith(f"{name}-")]
    assert folders
    rows = get_recipe(name).measure().CARD_ROWS
    for folder in folders:
        card, quality = (folder / "README.md").read_text(), json.loads((folder / "quality.json").read_text())
        assert f"workbench train {name}" in card and all(str(row[rows[1]]) in card for row in quality)
        assert sum(file.stat().st_size for file in folder.iterdir()) < 16_000_000
