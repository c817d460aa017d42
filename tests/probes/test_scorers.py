"""Scores of single tokens are those of the activations there, with the message that each token is in."""

import numpy as np
import pytest
import torch

from probes import make_probe, scores_of, token_scores, top_examples
from steering import SteeringVector
from workbench.activations import ActivationSet, capture
from workbench.errors import ArtifactError, DataError, SpecError
from workbench.models.fingerprint import stamp_of
from workbench.models.tiny import tiny_model, tiny_model_with_sinks

CHAT = [
    {"role": "user", "content": "a b"},
    {"role": "assistant", "content": "c d"},
    {"role": "user", "content": "b"},
    {"role": "assistant", "content": "e"},
]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def probe(model):
    texts = ["a b", "b a c", "d e", "e d d", "a a", "e e"]
    read = capture(model, texts, [2])
    return make_probe("mass-mean").fit(read.numpy(2), ["low" if "a" in text else "high" for text in texts])


def test_a_tokens_score_is_the_probes_decision_at_its_activation(model, probe):
    table = token_scores(model, probe, CHAT, site=2)
    activations = model.forward([model.encode(CHAT)], [2]).activations[2][0]
    np.testing.assert_allclose(table["score"], probe.decision_function(activations.numpy()), atol=1e-5)
    assert "".join(table["text"]) == model.written(CHAT)


def test_each_token_has_the_role_of_its_message_and_what_the_template_writes_has_none(model, probe):
    table = token_scores(model, probe, CHAT, site=2)
    said = table[table["message"] >= 0].groupby("message").agg({"role": "first", "text": "".join})
    assert said["role"].tolist() == ["user", "assistant", "user", "assistant"]
    assert [text.strip() for text in said["text"]] == ["a b", "c d", "b", "e"]
    assert (table.loc[table["message"] < 0, "role"] == "").all() and (table["message"] < 0).any()
    assert set(token_scores(model, probe, "a b c", site=2)["role"]) == {""}


def test_a_vector_brings_its_site_and_is_refused_on_another_model(model):
    vector = SteeringVector(1, torch.ones(32), **stamp_of(model))
    table = token_scores(model, vector, "a b c")
    activations = model.forward([model.encode("a b c")], [1]).activations[1][0]
    np.testing.assert_allclose(table["score"], vector.project(activations), atol=1e-5)
    with pytest.raises(ArtifactError, match="another model"):
        token_scores(tiny_model(seed=5), vector, "a b c")


def test_tokens_at_attention_sinks_are_marked():
    model = tiny_model_with_sinks()
    table = token_scores(model, np.ones(model.d_model), "a b c", site=-1)
    assert table["attention_sink"].tolist() == [True, False, False, False]


def test_what_gives_no_number_a_token_is_refused_in_one_line(model):
    many = make_probe("mass-mean").fit(np.random.default_rng(0).normal(size=(9, 32)), list("abcabcabc"))
    with pytest.raises(ArtifactError, match="more than two classes"):
        token_scores(model, many, "a b", site=1)
    with pytest.raises(SpecError, match="site= is needed"):
        token_scores(model, np.ones(32), "a b")
    with pytest.raises(DataError, match=r"\[32\] numbers, not \[5\]"):
        token_scores(model, np.ones(5), "a b", site=1)


def test_the_highest_rows_come_first_with_their_tokens_and_what_stands_around_them(model):
    texts = ["a b", "c d e", "e a a b"]
    read = capture(model, texts, [1], "all", labels={"kind": ["x", "y", "z"]})
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    scores = scores_of(direction, read[1])
    top = top_examples(direction, read, 20, inputs=texts, model=model, one_each=False)
    assert top["score"].tolist() == sorted(scores, reverse=True)
    assert top["rank"].tolist() == list(range(1, len(read) + 1))
    first = top.iloc[0]
    assert first["score"] == pytest.approx(scores.max())
    assert first["token"] == model.decode([model.encode(texts[first["input"]])[first["position"]]])
    assert first["text"].endswith(texts[first["input"]]) and first["kind"] == "xyz"[first["input"]]
    low = top_examples(direction, read, 1, lowest=True)
    assert low["score"].item() == pytest.approx(scores.min()) and list(low) == ["rank", "score", *read.labels]
    assert sorted(top_examples(direction, read, 20)["input"]) == [0, 1, 2]


def test_rows_at_attention_sinks_are_no_examples():
    rows = torch.tensor([[9.0], [1.0], [2.0]])
    read = ActivationSet({"0.resid_post": rows}, {"input": [0, 1, 2], "attention_sink": [True, False, False]})
    assert top_examples(np.ones(1), read)["score"].tolist() == [2.0, 1.0]
