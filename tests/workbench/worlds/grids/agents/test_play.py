"""Episodes in grids: what ends them, what a row says, and that company changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from steering import Add
from workbench.errors import DataError, SpecError
from workbench.worlds.grids.agents.agent import GridAgent
from workbench.worlds.grids.agents.play import episodes_of, play_grids, transcripts_of
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.oracles import optimal_policy, random_policy
from workbench.worlds.grids.text import GridText
from workbench.worlds.moves import Move

CORRIDOR = Layout(("#####", "#####", "#___#", "#####", "#####"), start=(2, 1), goal=(2, 3))


def always(move: Move):
    return lambda layout, state: np.eye(4)[move]


@pytest.fixture(scope="module")
def agents(grid_model) -> dict[str, GridAgent]:
    return {
        "exact": GridAgent(grid_model, exact=True),
        "reasoning": GridAgent(grid_model, GridText(reasoning=True), max_new_tokens=4, attempts=2),
    }


def test_the_optimal_player_succeeds_on_shortest_paths(grids) -> None:
    episodes = episodes_of(play_grids(optimal_policy, grids, rollouts=3), grids)
    assert episodes["success"].all() and (episodes["steps"] == episodes["optimal_length"]).all()
    assert (episodes[["accuracy", "spl"]] == 1).all().all() and len(episodes) == 18


@pytest.mark.parametrize("cap", [0.5, 1.0, 1.5, 1.1])
def test_episodes_end_at_the_cap(cap: float) -> None:
    layout = make_layout(9, 1.0, seed=1)
    steps = play_grids(always(Move.UP), [layout], rollouts=1, cap=cap)
    assert len(steps) == math.ceil(round(cap * layout.distance(layout.initial), 6))
    assert not episodes_of(steps, [layout])["success"].any()


def test_the_cap_is_not_a_rounding_longer() -> None:
    corridor = Layout(("#" * 28, "#" + "_" * 26 + "#", *["#" * 28] * 26), start=(1, 1), goal=(1, 26))
    assert 1.12 * 25 > 28 and len(play_grids(always(Move.LEFT), [corridor], rollouts=1, cap=1.12)) == 28


def test_a_detour_lowers_spl_by_the_ratio_of_lengths() -> None:
    """In the corridor: bump left once, then go right twice: 3 steps where 2 are enough."""
    moves = iter([Move.LEFT, Move.RIGHT, Move.RIGHT])
    text = GridText()

    class Model:
        tokenizer = type("Tokenizer", (), {"chat_template": None})

        def encode(self, prompt):
            return [1]

        def generate(self, prompts, n, **options):
            from workbench.models.decoding import Completion

            return [[Completion(text.answer(next(moves)), [7], 0.0, "eos")]]

    steps = play_grids(GridAgent(Model()), [CORRIDOR], rollouts=1)
    assert steps["bumped"].tolist() == [True, False, False] and steps["optimal"].tolist() == [False, True, True]
    assert steps[["row", "column"]].to_numpy().tolist() == [[2, 1], [2, 1], [2, 2]]
    assert steps["distance"].tolist() == [2, 2, 1] and steps[["p_0", "p_3"]].isna().all().all()
    episode = episodes_of(steps, [CORRIDOR]).iloc[0]
    assert episode["success"] and episode["spl"] == pytest.approx(2 / 3) and episode["accuracy"] == pytest.approx(2 / 3)


def test_an_agent_without_a_readable_answer_stays_and_is_not_optimal(scripted) -> None:
    steps = play_grids(GridAgent(scripted(lambda prompt, seed: "no idea")), [CORRIDOR], rollouts=2)
    assert (steps["move"] == -1).all() and not steps["valid"].any() and not steps["optimal"].any()
    assert not steps["bumped"].any() and (steps["column"] == 1).all() and (steps["attempts"] == 3).all()
    assert len(steps) == 2 * 3 and (episodes_of(steps, [CORRIDOR])["spl"] == 0).all()


def test_rows_follow_from_one_another(grids) -> None:
    layouts = [*grids[:2], make_layout(7, structure="KeyDoor", seed=2)]
    steps = play_grids(random_policy, layouts, rollouts=4, cap=4)
    for (i, _), part in steps.groupby(["layout", "rollout"]):
        state = layouts[i].initial
        for row in part.itertuples():
            assert State((row.row, row.column), row.has_key) == state and row.distance == layouts[i].distance(state)
            assert row.optimal == (Move(row.move) in layouts[i].optimal_moves(state))
            state = layouts[i].after(state, Move(row.move))
    assert steps["has_key"].any()


def test_the_key_counts_as_picked_up_by_the_last_step_too() -> None:
    layout = Layout(("#####", "#___#", "#_#_#", "#___#", "#####"), start=(2, 1), goal=(2, 3), key=(1, 1))
    steps = play_grids(always(Move.UP), [layout], rollouts=1, cap=0.25)
    assert len(steps) == 1 and episodes_of(steps, [layout])["key"].tolist() == [True]


@pytest.mark.parametrize("mode", ["exact", "reasoning"])
def test_an_episode_is_the_same_alone_or_among_others(agents, grids, mode) -> None:
    together = play_grids(agents[mode], grids[:4], rollouts=2, seed=5)
    alone = play_grids(agents[mode], [grids[2]], rollouts=1, seed=5)
    part = together[(together["layout"] == 2) & (together["rollout"] == 0)].reset_index(drop=True)
    pd.testing.assert_frame_equal(part.assign(layout=0), alone, rtol=1e-4, atol=1e-5)


def test_rollouts_and_seeds_and_copies_of_a_layout_differ(grids) -> None:
    steps = play_grids(random_policy, [grids[0], grids[0]], rollouts=4)
    paths = {tuple(part["move"]) for _, part in steps.groupby(["layout", "rollout"])}
    assert len(paths) >= 7
    assert not steps["move"].equals(play_grids(random_policy, [grids[0], grids[0]], rollouts=4, seed=1)["move"])


def test_known_probabilities_are_computed_once_a_place(agents, grids) -> None:
    asked = []

    def policy(layout, state):
        asked.append((layout, state))
        return random_policy(layout, state)

    steps = play_grids(policy, grids, rollouts=10)
    assert len(asked) == len(set(asked)) == len(steps.drop_duplicates(["layout", "row", "column"]))


def test_exact_play_draws_from_the_recorded_probabilities(agents, grids) -> None:
    steps = play_grids(agents["exact"], grids[:2], rollouts=400)
    p = steps[["p_0", "p_1", "p_2", "p_3"]].to_numpy()
    places = [(grids[i], State((r, c))) for i, r, c in steps[["layout", "row", "column"]].itertuples(index=False)][:40]
    np.testing.assert_allclose(p[:40], agents["exact"].probabilities(places), atol=1e-5)
    made = np.eye(4)[steps["move"]]
    np.testing.assert_allclose(made.mean(0), p.mean(0), atol=4 * np.sqrt(0.25 / len(steps)))


@pytest.mark.parametrize("mode", ["exact", "reasoning"])
def test_interventions_reach_every_decision(agents, grids, grid_model, mode) -> None:
    vector = torch.randn(grid_model.d_model, generator=torch.Generator().manual_seed(0)) * 20
    plain, steered, zero = (
        play_grids(agents[mode], grids[:2], rollouts=1, interventions=given)
        for given in ([], [Add(vector, site=1)], [Add(vector, 0.0, site=1)])
    )
    column = "p_0" if mode == "exact" else "completion"
    assert zero[column].round(4).equals(plain[column].round(4)) if mode == "exact" else zero.equals(plain)
    assert (steered[column].iloc[0] != plain[column].iloc[0]) and steered["layout"].nunique() == 2


def test_interventions_as_a_function_are_asked_for_the_layouts_of_every_batch(agents, grids, grid_model) -> None:
    vectors = torch.randn(2, grid_model.d_model, generator=torch.Generator().manual_seed(0)) * 20
    own = play_grids(
        agents["exact"], grids[:2], rollouts=2, interventions=lambda rows: [Add(vectors[torch.tensor(rows)], site=1)]
    )
    for i in range(2):
        alone = play_grids(agents["exact"], [grids[i]], rollouts=2, interventions=[Add(vectors[i], site=1)])
        part = own[own["layout"] == i].reset_index(drop=True)
        pd.testing.assert_frame_equal(part.assign(layout=0), alone, rtol=1e-3, atol=1e-4)


def test_transcripts_are_the_tokens_of_prompt_and_completion(agents, grids) -> None:
    steps = play_grids(agents["exact"], grids[:2], rollouts=1)
    written = transcripts_of(agents["exact"], steps, grids)
    decision = agents["exact"].decide([(grids[0], grids[0].initial)], [0])[0]
    assert written[0][0] == decision.prompt and len(written) == len(steps)
    assert [agents["exact"].model.decode(said) for _, said in written] == steps["completion"].tolist()


def test_mistakes_are_named(grids) -> None:
    split = Layout(("#####", "#_#_#", "#_#_#", "#_#_#", "#####"), start=(1, 1), goal=(1, 3))
    with pytest.raises(DataError, match="layout 1: no way leads"):
        play_grids(random_policy, [grids[0], split])
    with pytest.raises(DataError, match="0 layouts"):
        play_grids(random_policy, [])
    with pytest.raises(SpecError, match="oracle cannot be steered"):
        play_grids(random_policy, grids, interventions=[Add(torch.ones(4), site=0)])
    with pytest.raises(DataError, match="four moves"):
        play_grids(lambda layout, state: np.array([0.5, 0.5]), grids)
