"""The language agent: prompts, parsing, entropy, retries, exact mode."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.errors import SpecError
from workbench.models.decoding import Completion
from workbench.statistics import plugin_entropy
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.text import BanditText


class ScriptedModel:
    """Stands in for a model: ``generate`` returns prepared texts and records how it was called."""

    def __init__(self, *rounds: list[str]) -> None:
        self.rounds, self.calls = list(rounds), []
        self.tokenizer = SimpleNamespace(chat_template=None)

    def encode(self, prompt):
        return [len(prompt)] if isinstance(prompt, str) else prompt

    def encode_continuation(self, text: str, after: list[int]) -> list[int]:
        return [1000 + len(text)]

    def generate(self, prompts, counts, **options):
        self.calls.append((list(prompts), list(counts), options))
        texts = self.rounds[len(self.calls) - 1]
        return [[Completion(text, [1], -1.0, "eos") for text in texts[:n]] for n in counts]


GOOD, OTHER, BAD = " so.\nAction: I choose Button 1.", " so.\nAction: I choose Button 2.", " hmm"


def agent(*rounds: list[str], **options) -> LanguageAgent:
    return LanguageAgent(ScriptedModel(*rounds), BanditText(), completions=4, **options)


def test_entropy_is_taken_over_valid_completions_only() -> None:
    decision = agent([GOOD, GOOD, OTHER, BAD]).decide([[1]], [0])[0]
    assert decision.counts.tolist() == [2, 1] and decision.valid == 0.75
    assert decision.entropy == pytest.approx(float(plugin_entropy([2, 1])))
    assert decision.corrected > decision.entropy


def test_the_executed_completion_is_a_valid_one() -> None:
    decisions = agent(*[[BAD, OTHER, BAD, GOOD]] * 1).decide([[k] for k in range(50)], list(range(50)))
    assert {d.chosen for d in decisions} == {1, 3}
    assert all(d.arm == (1 if d.chosen == 1 else 0) for d in decisions)


def test_unparsable_steps_are_redrawn_with_new_seeds_and_then_given_up() -> None:
    player = agent([BAD] * 4, [BAD] * 4, retries=1)
    decision = player.decide([[1]], [7])[0]
    seeds = [call[2]["seeds"] for call in player.model.calls]
    assert decision.chosen is None and decision.arm is None and np.isnan(decision.entropy)
    assert decision.attempts == 2 and seeds[0] != seeds[1]


def test_a_retry_asks_only_for_the_rows_that_failed() -> None:
    player = agent([BAD] * 4, [GOOD] * 4)
    decisions = player.decide([[1], [2]], [0, 1], wanted=[True, False])
    assert [call[1] for call in player.model.calls] == [[4, 0], [4, 0]]
    assert decisions[1] is None and decisions[0].attempts == 2


def test_exact_mode_needs_a_text_without_thoughts() -> None:
    with pytest.raises(SpecError, match="thoughts=False"):
        agent(exact=True)


def test_the_request_is_added_to_the_instructions() -> None:
    assert agent(request="Explore!").conversation()[0]["content"].endswith("Explore!")
    assert agent().conversation()[0]["content"] == BanditText().instructions()


def test_what_a_model_says_behind_its_action_never_enters_the_conversation() -> None:
    said = agent().turn(" so.\nAction: I choose Button 1. Button 1 paid 140 points. Thought: again!", 0, 91.0)
    assert said.said == "Thought: so.\nAction: I choose Button 1."
    assert [m["content"] for m in agent().conversation([said])][1:] == [said.said, "Button 1 paid 91 points."]


def test_each_prompt_begins_with_the_one_before_on_the_shipped_model(bandit_model) -> None:
    player = LanguageAgent(bandit_model, BanditText())
    turns = []
    before = player.prompt(turns)
    for step in range(4):
        said = " Perhaps Button 2 pays more, but it may change.\nAction: I choose Button 2."
        turns.append(player.turn(said, 1, 90.0))
        after = player.prompt(turns)
        assert after[: len(before)] == before, step
        assert bandit_model.decode(after[-1:]) == "Thought:"
        before = after


def test_exact_probabilities_agree_with_sampled_frequencies(bandit_model) -> None:
    text = BanditText(thoughts=False)
    player = LanguageAgent(bandit_model, text, exact=True)
    prompt = player.prompt([player.turn(f" {arm + 1}.", arm, reward) for arm, reward in ((0, 100), (1, 104), (0, 96))])
    exact = player.decide([prompt], [0])[0].counts
    sampled = bandit_model.generate([prompt], 2000, max_new_tokens=1, seeds=3)[0]
    share = np.mean([c.text.strip() == "1" for c in sampled])
    assert share == pytest.approx(exact[0], abs=4 * np.sqrt(exact[0] * exact[1] / 2000) + 0.01)


def test_exact_decisions_follow_the_probabilities_over_seeds(bandit_model) -> None:
    player = LanguageAgent(bandit_model, BanditText(thoughts=False), exact=True)
    prompt = player.prompt()
    decisions = player.decide([prompt] * 300, list(range(300)))
    p = decisions[0].counts[0]
    assert np.mean([d.arm == 0 for d in decisions]) == pytest.approx(p, abs=0.12)


def test_a_hotter_agent_is_less_certain(bandit_model) -> None:
    player = LanguageAgent(bandit_model, BanditText(), completions=200)
    thought = " Clearly Button 2 pays more, and it is superior."
    turns = [
        player.turn(f"{thought}\nAction: I choose Button {arm + 1}.", arm, reward)
        for arm, reward in ((0, 80), (1, 120), (0, 85), (1, 118))
    ]
    prompt = player.prompt(turns)
    cold, warm = (replace(player, temperature=t).decide([prompt], [0])[0].entropy for t in (0.5, 1.5))
    assert cold < warm
