"""Damage is what plain passes with a plain hook give, and a calibrated strength has the divergence asked for."""

import numpy as np
import pytest
import torch

from steering import Ablate, Add, Condition, SteeringVector, calibrate, calibrate_all, damage
from workbench.errors import DataError, SpecError
from workbench.models.tiny import tiny_model

MODEL = tiny_model()
DRAW = torch.Generator().manual_seed(0)
VECTOR = SteeringVector(2, torch.randn(MODEL.d_model, generator=DRAW))
TEXTS = ["a b c d e f", "k l m n", "x y z a b c d"]


def logprobs(tokens, added=None, start=0):
    def hook(module, inputs, output):
        z = (output[0] if isinstance(output, tuple) else output).clone()
        z[:, start:] += added
        return (z, *output[1:]) if isinstance(output, tuple) else z

    handle = MODEL.backend.hf_model.model.layers[2].register_forward_hook(hook) if added is not None else None
    try:
        with torch.no_grad():
            return MODEL.backend.hf_model(torch.tensor([tokens])).logits[0].log_softmax(-1)
    finally:
        if handle:
            handle.remove()


@pytest.mark.parametrize("front", ["", "p q"])
def test_kl_and_nll_are_those_of_plain_passes_steered_from_the_last_word_of_the_head(front):
    multiplier = 1.5
    condition = Condition("vector", (Add(VECTOR, multiplier),), front, {"layer": 2})
    found = damage(MODEL, [Condition("unsteered"), condition], TEXTS).set_index(["method", "item"])
    assert np.allclose(found.loc["unsteered", ["kl", "nll"]], 0, atol=1e-6)
    for item, text in enumerate(TEXTS):
        head, rest = " ".join(text.split()[:3]), " " + " ".join(text.split()[3:])
        tail = MODEL.tokenizer(rest, add_special_tokens=False)["input_ids"]
        plain, own = MODEL.encode(head), MODEL.encode(f"{front} {head}".strip())
        n = len(tail)
        base = logprobs(plain + tail)[len(plain) - 1 :][:n]
        steered = logprobs(own + tail, multiplier * VECTOR.vector, len(own) - 1)[len(own) - 1 :][:n]
        kl = (base.exp() * (base - steered)).sum(-1).mean().item()
        nll = np.mean([(base - steered)[i, token].item() for i, token in enumerate(tail)])
        assert found.loc[("vector", item), "kl"] == pytest.approx(kl, abs=1e-5)
        assert found.loc[("vector", item), "nll"] == pytest.approx(nll, abs=1e-5)


def test_what_is_measured_together_is_what_is_measured_alone(monkeypatch):
    ways = [Condition("a", (Add(VECTOR, dose=0.5),)), Condition("b", (Ablate(VECTOR),)), Condition("c")]
    together = damage(MODEL, ways, TEXTS)
    monkeypatch.setattr("steering.divergence._MOST", 1)  # one row at a time
    alone = damage(MODEL, ways, TEXTS)
    assert np.allclose(together[["kl", "nll"]], alone[["kl", "nll"]], atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_calibrated_dose_has_the_divergence_asked_for(sign):
    for target in (0.001, 0.05):
        found = calibrate(VECTOR, MODEL, target, sign=sign, texts=TEXTS)
        kl = damage(MODEL, [Condition("v", (Add(VECTOR, dose=found.dose),))], TEXTS)["kl"].mean()
        assert kl == pytest.approx(target, rel=0.05) and found.kl == pytest.approx(kl, rel=1e-3)
        assert found.dose * sign > 0
        again = damage(MODEL, [Condition("v", (Add(VECTOR, found.multiplier),))], TEXTS)["kl"].mean()
        assert again == pytest.approx(kl, rel=1e-3)


def test_many_are_calibrated_as_each_is_alone():
    several = [VECTOR, VECTOR.random_like(1), VECTOR.random_like(2)]
    together = calibrate_all(several, MODEL, 0.02, texts=TEXTS)
    alone = [calibrate(each, MODEL, 0.02, texts=TEXTS) for each in several]
    assert [each.dose for each in together] == pytest.approx([each.dose for each in alone], rel=1e-3)
    assert len({round(each.dose, 4) for each in together}) == 3, "equal divergence is not equal dose"


def test_what_cannot_be_measured_or_reached_is_one_line():
    with pytest.raises(DataError, match="more than its first 3 words: 'a b c'"):
        damage(MODEL, [Condition("unsteered")], ["a b c"])
    with pytest.raises(DataError, match=r"no dose of .* up to 20"):
        calibrate(VECTOR, MODEL, 1e6, texts=TEXTS)
    with pytest.raises(SpecError, match="above 0"):
        calibrate(VECTOR, MODEL, 0.0, texts=TEXTS)
