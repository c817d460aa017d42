"""Coherence: likelihood under the unsteered model against its own replies; oracles are Hugging Face's own numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.families.introspection.concept_injection.coherence import QUANTILE, floor_table, floors, reply_logprobs
from workbench.families.introspection.concept_injection.trials import Outcome, Trial, run_trials
from workbench.families.introspection.concept_injection.vectors import concept_vectors
from workbench.runs import load_run


def test_a_reply_has_its_mean_log_probability_a_token_under_the_plain_model(chat_model) -> None:
    vector = concept_vectors(chat_model, ["snow", "clock"], ["cup", "hat"], [1])[1]["snow"]
    prompt = tuple(chat_model.encode([{"role": "user", "content": "Is a week longer than a year?"}]))
    trial = Trial(prompt, 2, None, vector, 8.0, seed=1, draws=3)
    (outcome,) = run_trials(chat_model, [trial], max_new_tokens=6, temperature=1.0)
    (found,) = reply_logprobs(chat_model, [trial], [outcome])
    for tokens, logprob in zip(outcome.tokens, found, strict=True):
        whole = torch.tensor([[*prompt, *tokens]])
        with torch.no_grad():
            likely = chat_model.backend.hf_model(whole).logits[0].log_softmax(-1)
        at = range(len(prompt) - 1, whole.shape[1] - 1)
        expected = float(np.mean([float(likely[k, whole[0, k + 1]]) for k in at]))
        assert logprob == pytest.approx(expected, abs=1e-4)
    (empty,) = reply_logprobs(chat_model, [trial], [Outcome([""], [], [()])])
    assert np.isnan(empty[0])


def test_the_floor_is_a_low_quantile_of_the_models_own_replies_of_each_arm() -> None:
    rows = pd.DataFrame(
        {"protocol": "naming", "arm": ["a"] * 101 + ["b"] * 3, "logprob": [*range(-100, 1), -1, -1, -1]}
    )
    assert floors(rows) == {("naming", "a"): -95.0, ("naming", "b"): -1.0}
    table = floor_table(rows)
    assert table["floor"].tolist() == [-95.0, -1.0] and table["n"].tolist() == [101, 3]


@pytest.mark.slow
def test_replies_below_the_floor_are_not_coherent_and_the_models_own_mostly_are(injection_run) -> None:
    record = load_run(injection_run)
    floor = floors(record.read("own-replies"))
    assert set(floor) == {
        tuple(pair) for pair in record.load_table("coherence")[["protocol", "arm"]].to_numpy().tolist()
    }
    rows = record.read("naming-1")
    assert not rows.loc[rows["logprob"] < floor["naming", "standard"], "coherent"].any()
    own = record.read("own-replies")
    likely = own["logprob"] >= [floor[key] for key in zip(own["protocol"], own["arm"], strict=True)]
    assert 1 - 2 * QUANTILE < likely.mean() < 1
