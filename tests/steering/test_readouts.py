"""Read-outs without a judge: log-odds and preferences are the formula on plain scores, and order is found out."""

import numpy as np
import pytest
import torch

from steering import Add, Condition, Question, generate_under, preferences, score_under, word_odds
from steering.readouts import Preferences
from workbench.errors import DataError
from workbench.models.tiny import tiny_model

MODEL = tiny_model()
WAYS = [
    Condition("unsteered"),
    Condition("prompt", front="p q"),
    Condition("vector", (Add(torch.randn(32, generator=torch.Generator().manual_seed(1)), dose=1.0, site=1),)),
]
PROMPTS = ["a b c", "d e"]


def alone(condition, prompt, text):
    return MODEL.score([condition.prompt(prompt)], [[text]], condition.interventions)[0][0]


def test_word_odds_are_log_sums_of_plain_scores():
    found = word_odds(MODEL, PROMPTS, [" x", " y z"], [" k"], WAYS)
    for c, condition in enumerate(WAYS):
        for p, prompt in enumerate(PROMPTS):
            up = [alone(condition, prompt, word).logprob for word in (" x", " y z")]
            down = alone(condition, prompt, " k").logprob
            assert found.log_odds[c, p] == pytest.approx(np.logaddexp(*up) - down, abs=1e-4)
            assert found.mass[c, p] == pytest.approx(np.exp([*up, down]).sum(), rel=1e-3)


def test_preferences_are_a_tokens_mean_less_the_prior_under_the_same_condition():
    question = Question(("a b", "b a"), (" x", " y z"), ("b", "a"))
    found = preferences(MODEL, [question], WAYS)
    for c, condition in enumerate(WAYS):
        for w in range(2):
            for a, answer in enumerate(question.answers):
                own, bare = (alone(condition, p[w], answer) for p in (question.asked, question.bare))
                expected = own.logprob / len(own.tokens) - bare.logprob / len(bare.tokens)
                assert found.ways[c, 0, w, a] == pytest.approx(expected, abs=1e-4)
    assert np.allclose(found.values, found.ways.mean(2))


def test_an_answer_by_position_is_not_measurable_and_one_by_content_is():
    rng = np.random.default_rng(0)
    content = rng.normal(size=(1, 40, 1, 2)).repeat(2, axis=2) + 0.01 * rng.normal(size=(1, 40, 2, 2))
    position = np.zeros((1, 40, 2, 2))
    position[:, :, 0, 0] = position[:, :, 1, 1] = 1.0  # what is named first
    chance = rng.normal(size=(1, 40, 2, 2))
    for ways, measurable, share in ((content, True, 1.0), (position, False, 0.0), (chance, False, None)):
        found = Preferences(ways, np.zeros_like(ways))
        assert found.measurable() is measurable
        if share is not None:
            assert found.symmetry().estimate == share


def test_questions_of_different_shapes_are_refused():
    with pytest.raises(DataError, match="equally many"):
        preferences(MODEL, [Question(("a",), (" b",)), Question(("a", "b"), (" b",))], WAYS)


def test_scores_and_completions_come_by_condition_and_prompt():
    scores = score_under(MODEL, PROMPTS, [[" x"], [" y", " z"]], WAYS)
    assert [[len(row) for row in own] for own in scores] == [[1, 2]] * 3
    assert scores[2][1][1].logprob == pytest.approx(alone(WAYS[2], PROMPTS[1], " z").logprob, abs=1e-4)
    drawn = generate_under(MODEL, PROMPTS, WAYS, 2, max_new_tokens=4)
    plain = MODEL.generate(PROMPTS, 2, max_new_tokens=4, seeds=[0, 1])
    assert [[x.text for x in row] for row in drawn[0]] == [[x.text for x in row] for row in plain]
    assert drawn[2] != drawn[0]
