"""The language agent: prompts, parsing, entropy, retries, exact mode."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from steering import Add
from workbench.errors import SpecError
from workbench.models.continuations import as_generated
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


def test_exact_mode_without_thoughts_takes_no_other_beginning() -> None:
    text = BanditText(thoughts=False)
    with pytest.raises(SpecError, match="leave prefill out"):
        LanguageAgent(ScriptedModel(), text, exact=True, prefill="Thought:")
    assert LanguageAgent(ScriptedModel(), text, exact=True).begins == "Action: I choose Button"


def test_completions_are_cut_behind_their_action() -> None:
    player = agent([GOOD + " Button 1 paid 140 points.", GOOD + OTHER, BAD, OTHER])
    decision = player.decide([[1]], [0])[0]
    assert decision.texts == [GOOD, GOOD, BAD, OTHER] and decision.arms == [0, 0, None, 1]
    assert set(player.model.calls[0][2]["stop"]) == {"Action: I choose Button 1.", "Action: I choose Button 2."}


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


def _next(model, tokens: list[int], interventions=()) -> torch.Tensor:
    """Probability of every next token, by Hugging Face's softmax of one plain pass."""
    logits = model.forward([tokens], interventions=interventions, logits=True).logits
    return logits[0, -1].double().softmax(-1)


@pytest.mark.parametrize("form", ["action", "letter", "json"])
def test_exact_mode_gives_the_products_of_the_tokens_probabilities_and_all_else_is_outside(bandit_model, form) -> None:
    player = LanguageAgent(bandit_model, BanditText(thoughts=False, n_arms=3, answer=form), exact=True)
    prompt = player.prompt([player.turn(player.text.endings()[1], 1, 104)])
    expected = []
    for ending in player.text.endings():
        tokens, mass = prompt, 1.0
        for token in bandit_model.encode_continuation(ending, after=prompt):
            mass *= float(_next(bandit_model, tokens)[token])
            tokens = [*tokens, token]
        expected.append(mass)
    decision = player.decide([prompt], [0])[0]
    assert decision.counts == pytest.approx(np.array(expected) / sum(expected), rel=1e-4)
    assert decision.outside_mass == pytest.approx(1 - sum(expected), abs=1e-6)
    assert decision.valid == pytest.approx(sum(expected), abs=1e-6)


def test_the_mass_of_an_arm_that_does_not_exist_is_outside(bandit_model) -> None:
    three, two = (BanditText(thoughts=False, n_arms=n) for n in (3, 2))
    prompt = LanguageAgent(bandit_model, two, exact=True).prompt()
    of_three, of_two = (
        LanguageAgent(bandit_model, text, exact=True, temperature=3.0).arm_masses([prompt], [[[]]])[0][0]
        for text in (three, two)
    )
    decision = LanguageAgent(bandit_model, two, exact=True, temperature=3.0).decide([prompt], [0])[0]
    assert of_three[2] > 0 and of_three[:2] == pytest.approx(of_two, rel=1e-4)
    assert decision.outside_mass >= of_three[2]


def test_a_forced_answer_is_scored_behind_every_thought_and_thoughts_count_alike(bandit_model) -> None:
    player = LanguageAgent(bandit_model, BanditText(), completions=3, max_new_tokens=12, exact=True)
    add = Add(torch.ones(bandit_model.d_model) * 0.3, 1.0, site=2)
    prompt = player.prompt([player.turn(" so.\nAction: I choose Button 2.", 1, 104)])
    decision = player.decide([prompt], [5], [add])[0]
    assert len(decision.texts) == 3 and all(player.text.parse(text) == arm for text, arm in
                                            zip(decision.texts, decision.arms, strict=True))  # fmt: skip
    generated = as_generated([add], len(prompt))  # thought and lead are generated tokens to the scope
    shares, inside = [], []
    for text in decision.texts:
        said = bandit_model.encode_continuation(player.text.thought(text), after=prompt)
        lead = bandit_model.encode_continuation("\nAction: I choose Button", after="a thought")
        p = _next(bandit_model, [*prompt, *said, *lead], generated)
        arms = np.array([float(p[bandit_model.encode_continuation(f" {k}", after=lead)[0]]) for k in (1, 2)])
        shares.append(arms / arms.sum())
        inside.append(arms.sum())
    assert decision.counts == pytest.approx(np.mean(shares, axis=0), rel=1e-3)
    assert decision.valid == pytest.approx(np.mean(inside), rel=1e-3)


def test_forced_answers_follow_their_probabilities_over_seeds(bandit_model) -> None:
    player = LanguageAgent(bandit_model, BanditText(), completions=2, max_new_tokens=8, exact=True)
    prompt = player.prompt([player.turn(" so.\nAction: I choose Button 2.", 1, 96)])
    decisions = player.decide([prompt] * 200, list(range(200)))
    expected = np.mean([d.counts[0] for d in decisions])
    assert np.mean([d.arm == 0 for d in decisions]) == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(200))


def test_an_answer_outside_of_what_top_p_leaves_is_no_answer(bandit_model) -> None:
    player = LanguageAgent(bandit_model, BanditText(thoughts=False, answer="json"), exact=True, top_p=1e-6)
    prompt = bandit_model.encode("Reward:")  # nothing like an arm is the likeliest token here
    decision = player.decide([prompt], [0])[0]
    assert decision.chosen is None and decision.valid == 0 and decision.outside_mass == 1 and np.isnan(decision.entropy)


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
