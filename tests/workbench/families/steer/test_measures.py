"""Both measures are what a plain pass with a plain hook gives, whatever shares the batch."""

import numpy as np
import pytest
import torch

from workbench.families.steer.measures import Condition, measure
from workbench.models.tiny import tiny_model
from workbench.sites import Site

MODEL = tiny_model()
LAYER = 2


def logprobs(tokens, direction=None, dose=0.0, start=0):
    """Log-probabilities [positions, vocabulary] of a plain pass; the direction is added from ``start`` on."""
    hooks = []
    if direction is not None:
        added = dose * MODEL.residual_norm(Site(LAYER)) * direction / direction.norm()

        def hook(module, inputs, output):
            z = output[0] if isinstance(output, tuple) else output
            z = z.clone()
            z[:, start:] += added
            return (z, *output[1:]) if isinstance(output, tuple) else z

        hooks.append(MODEL.backend.hf_model.model.layers[LAYER].register_forward_hook(hook))
    try:
        with torch.no_grad():
            return MODEL.backend.hf_model(torch.tensor([tokens])).logits[0].log_softmax(-1)
    finally:
        for each in hooks:
            each.remove()


def of_text(prompt, text, **steered):
    """Log-probability of a text behind a prompt, steered from the prompt's last token on, and its number of tokens."""
    head, tail = MODEL.encode(prompt), MODEL.tokenizer(text, add_special_tokens=False)["input_ids"]
    found = logprobs(head + tail, start=len(head) - 1, **steered)
    return sum(found[len(head) - 1 + i, token].item() for i, token in enumerate(tail)), len(tail)


def log_odds(prompt, **steered):
    up = [of_text(prompt, word, **steered)[0] for word in (" a", " b c")]
    return np.logaddexp(*up) - of_text(prompt, " z", **steered)[0]


@pytest.fixture(scope="module")
def conditions():
    draw = torch.Generator().manual_seed(0)
    return [Condition("vector", LAYER, dose, torch.randn(32, generator=draw), i) for i, dose in enumerate((-0.5, 0.8))]


def test_log_odds_and_surprise_are_those_of_a_plain_pass(letters, conditions):
    rows = measure(MODEL, letters, conditions)
    assert len(rows) == 2 * (3 + 2)
    for condition in conditions:
        own = rows[rows["draw"] == condition.draw].set_index(["set", "item"])["value"]
        steered = {"direction": condition.direction, "dose": condition.dose}
        for key, prompt in ((("choose", 0), "d e"), (("test", 1), "f g h"), (("test", 2), "k")):
            assert own[key] == pytest.approx(log_odds(prompt, **steered), abs=1e-4)
        total, tokens = of_text("k l m", " n o p", **steered)
        assert own["neutral", 0] == pytest.approx(-total / tokens, abs=1e-4)


def test_without_a_direction_texts_are_read_as_they_are_and_a_sentence_stands_in_front(letters):
    rows = measure(MODEL, letters, [Condition("unsteered"), Condition("prompt", side="up", front="a b")])
    values = rows.set_index(["method", "set", "item"])["value"]
    assert values["unsteered", "test", 1] == pytest.approx(log_odds("f g h"), abs=1e-4)
    assert values["prompt", "test", 1] == pytest.approx(log_odds("a b f g h"), abs=1e-4)
    total, tokens = of_text("a b k l m", " n o p")
    assert values["prompt", "neutral", 0] == pytest.approx(-total / tokens, abs=1e-4)


def test_mass_is_the_probability_of_all_words(letters):
    rows = measure(MODEL, letters, [Condition("unsteered")]).set_index(["set", "item"])
    expected = sum(np.exp(of_text("k", word)[0]) for word in (" a", " b c", " z"))
    assert rows["mass"]["test", 2] == pytest.approx(expected, rel=1e-4)
    assert rows["mass"]["neutral"].isna().all()


def test_dose_zero_is_the_unsteered_model(letters):
    nothing = measure(MODEL, letters, [Condition("vector", LAYER, 0.0, torch.ones(32))])
    plain = measure(MODEL, letters, [Condition("unsteered")])
    assert np.array_equal(nothing["value"], plain["value"])
