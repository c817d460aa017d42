"""Bandits told by summary statistics: what is written, what is read, and that an agent can play them."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import DataError, SpecError
from workbench.worlds.bandits.conversation import Turn
from workbench.worlds.bandits.summary import HELD_OUT_WORDINGS, LABELS, THOUGHTS, TRAINED_WORDINGS, SummaryText

THREE = SummaryText(("A", "B", "C"))


def test_the_state_holds_the_averages_and_counts_of_the_turns() -> None:
    turns = [Turn("", 1, 96.0), Turn("", 0, 104.0), Turn("", 1, 99.0)]
    (message,) = THREE.conversation(turns, "Be quick.")
    assert message["role"] == "user"
    assert message["content"].endswith(" Be quick.\nRound 4 of 50: A 54 (1), B 48 (2), C new.")


@pytest.mark.parametrize(
    ("pays", "shown", "reward", "written"),
    [
        ("points", (50.0, 150.0), 97.4, 47),
        ("points", (50.0, 150.0), 10.0, 0),
        ("points", (50.0, 150.0), 190.0, 100),
        ("all or nothing", (0.0, 1.0), 0.75, 75),
    ],
)
def test_rewards_are_written_as_whole_points_from_0_to_100(pays, shown, reward, written) -> None:
    text = SummaryText(pays=pays, shown=shown)
    assert text.points(reward) == written
    assert text.averages([2, 1], [2 * reward, reward]) == [written, written]


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_every_action_is_read_back_and_nothing_behind_it(labels: tuple[str, ...]) -> None:
    text = SummaryText(labels)
    for arm in range(text.n_arms):
        said = f"Thought: samples: 12, 13.\n{text.action(arm)}\nAction: Z"
        assert text.parse(said) == arm
        assert text.spoken(said) == f"Thought: samples: 12, 13.\n{text.action(arm)}"
        assert text.thought(said) == "Thought: samples: 12, 13."
        assert text.action(arm) == text.lead + text.endings()[arm]


@pytest.mark.parametrize("said", ["Action: D", "Action:", "I choose A", "Action: Z then Action: A"])
def test_an_action_of_no_arm_is_none(said: str) -> None:
    assert THREE.parse(said) is None


@pytest.mark.parametrize("thinks", THOUGHTS)
def test_the_first_words_of_an_answer_choose_the_teacher(thinks: str) -> None:
    text = SummaryText(thinks=thinks)
    assert text.prefill == ("Action:" if thinks == "none" else f"Thought: {thinks}:")
    assert text.thoughts == (thinks != "none")


def test_wordings_are_trained_or_held_out_and_all_differ() -> None:
    wordings = [SummaryText(wording=w).instructions() for w in (*TRAINED_WORDINGS, *HELD_OUT_WORDINGS)]
    assert len(set(wordings)) == len(wordings)


@pytest.mark.parametrize(
    "values",
    [{"labels": ("A",)}, {"labels": ("A", "A")}, {"labels": ("1", "2")}, {"wording": 9}, {"shown": (1.0, 1.0)},
     {"pays": "gold"}, {"thinks": "aloud"}, {"rendering": "doors"}],
)  # fmt: skip
def test_what_is_no_text_is_refused_in_one_line(values) -> None:
    with pytest.raises(SpecError) as refused:
        SummaryText(**values)
    assert "\n" not in str(refused.value)


def test_counts_of_another_number_of_arms_are_refused() -> None:
    with pytest.raises(DataError, match="3 arms"):
        THREE.averages(np.ones(2), np.ones(2))


def test_a_language_agent_plays_it_in_exact_mode(bandit_model) -> None:
    from workbench.worlds.bandits.agents.language_agent import LanguageAgent
    from workbench.worlds.bandits.agents.rollout import rollout
    from workbench.worlds.bandits.arms import BernoulliArms

    text = SummaryText(("a", "b", "c"), horizon=3, pays="all or nothing", shown=(0.0, 1.0), thinks="none")
    steps = rollout(LanguageAgent(bandit_model, text, exact=True), BernoulliArms((0.2, 0.5, 0.8)), [0, 1]).steps
    assert len(steps) == 6
    np.testing.assert_allclose(steps[["n0", "n1", "n2"]].sum(axis=1), 1)
