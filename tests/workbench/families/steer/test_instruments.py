"""What is measured together is what a plain call gives alone."""

import numpy as np
import pytest
import torch

from steering import Add
from workbench.families.steer.instruments import Answers, Replies, Words, passing, probed
from workbench.families.steer.measures import condition, damages, effects, repetition, replies
from workbench.families.steer.pairs import pair
from workbench.families.steer.rules import read_rule
from workbench.models.tiny import tiny_model

MODEL = tiny_model()
PROMPTS, SETS = ["d e", "f g h", "k"], ["choose", "test", "test"]


@pytest.fixture(scope="module")
def conditions():
    vector = torch.randn(32, generator=torch.Generator().manual_seed(0))
    added = [condition("vector", Add(vector, dose=d, site=2), layer=2, dose=d, side="up") for d in (-0.5, 0.8)]
    return [condition("unsteered"), condition("prompt", front="a b", side="up"), *added]


def alone(each, prompt, text):
    score = MODEL.score([each.prompt(prompt)], [[text]], each.interventions)[0][0]
    return score.logprob, len(score.tokens)


def test_words_are_log_odds_with_their_mass(conditions):
    rows = effects(MODEL, Words(PROMPTS, SETS, [" a", " b c"], [" z"]), conditions)
    assert len(rows) == 4 * 3 and rows["set"].tolist() == SETS * 4
    for k, each in enumerate(conditions):
        for item, prompt in enumerate(PROMPTS):
            own = rows.iloc[3 * k + item]
            up = [alone(each, prompt, word)[0] for word in (" a", " b c")]
            down = alone(each, prompt, " z")[0]
            assert own["value"] == pytest.approx(np.logaddexp(*up) - down, abs=1e-4)
            assert own["mass"] == pytest.approx(np.exp([*up, down]).sum(), rel=1e-3)


def test_answers_are_the_mean_log_probability_of_a_token_of_the_one_less_the_other(conditions):
    pairs = [pair("x a b", "x z"), pair("c", "d e", "y")]
    rows = effects(MODEL, Answers(pairs, ["choose", "test"]), conditions)
    for k, each in enumerate(conditions):
        for item, own in enumerate(pairs):
            means = [total / n for total, n in (alone(each, own.prompt, text) for text in (own.up, own.down))]
            assert rows["value"].iloc[2 * k + item] == pytest.approx(means[0] - means[1], abs=1e-4)


def test_a_rule_is_the_share_of_replies_that_pass(conditions):
    instrument = Replies(PROMPTS, SETS, passing(read_rule("max_words:2")), "share", n=3, max_new_tokens=4)
    rows = effects(MODEL, instrument, conditions)
    for k, each in enumerate(conditions):
        drawn = MODEL.generate(
            [each.prompt(p) for p in PROMPTS], 3, max_new_tokens=4, seeds=[0, 1, 2], interventions=each.interventions
        )
        shares = [np.mean([0 < len(x.text.split()) <= 2 for x in own]) for own in drawn]
        assert rows["value"].iloc[3 * k : 3 * k + 3].tolist() == pytest.approx(shares)


def test_a_probe_reads_the_replies_in_the_unsteered_model(conditions):
    class Probe:
        def decision_function(self, x):
            return x[:, 0]

    instrument = Replies(PROMPTS, SETS, probed(Probe(), "2.resid_post"), "score", n=1, max_new_tokens=3)
    rows = effects(MODEL, instrument, conditions)
    each = conditions[3]
    drawn = MODEL.generate(PROMPTS, max_new_tokens=3, seeds=[0, 1, 2], interventions=each.interventions)
    tokens = MODEL.encode(PROMPTS[0]) + drawn[0][0].tokens
    read = MODEL.forward([tokens], sites=[2]).activations[2][0, -len(drawn[0][0].tokens) :, 0]
    assert rows["value"].iloc[9] == pytest.approx(read.mean().item(), abs=1e-4)


def test_damage_has_a_row_a_text_half_of_them_for_choosing(conditions):
    rows = damages(MODEL, ["k l m n o p", "q r s t u", "a b c d e"], conditions)
    assert rows.groupby(["measure", "set"])["item"].unique().map(sorted).to_dict() == {
        ("kl", "choose"): [0, 2], ("kl", "test"): [1], ("nll", "choose"): [0, 2], ("nll", "test"): [1],
    }  # fmt: skip
    assert np.allclose(rows.loc[rows["method"] == "unsteered", "value"], 0, atol=1e-6)


def test_replies_are_scored_by_the_unsteered_model_behind_the_plain_prompt(conditions):
    rows = replies(MODEL, PROMPTS[:2], SETS[:2], conditions, 4, seed=5)
    said = rows[rows["measure"] == "coherence"].set_index(["method", "dose", "item"])
    each = conditions[3]
    drawn = MODEL.generate(PROMPTS[:2], max_new_tokens=4, seeds=[5, 6], interventions=each.interventions)
    for item, (own,) in enumerate(drawn):
        row = said.loc[("vector", 0.8, item)]
        score = MODEL.score([PROMPTS[item]], [[own.tokens]])[0][0]
        assert row["text"] == own.text
        assert row["value"] == pytest.approx(score.logprob / len(own.tokens), abs=1e-4)
    assert repetition("a b c a b c a b c") > 0.5 > repetition("a b c d e f")
