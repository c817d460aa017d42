"""Token tables against an explicit softmax."""

import numpy as np
import pytest
import torch

from workbench.errors import SpecError
from workbench.models.tiny import tiny_model
from workbench.models.token_probabilities import token_probabilities, token_texts

MODEL = tiny_model()


@pytest.fixture(scope="module")
def table():
    return token_probabilities(MODEL, "a b c", MODEL.encode_continuation(" d e"), top=4)


def test_columns_agree_with_a_softmax_over_the_logits(table):
    tokens = MODEL.encode("a b c d e")
    p = MODEL.forward([tokens], logits=True).logits[0].double().softmax(-1).numpy()
    assert table["token"].tolist() == [*tokens, -1]
    own = [p[i - 1, t] for i, t in enumerate(tokens) if i]
    np.testing.assert_allclose(np.exp(table["logprob"].iloc[1:-1].astype(float)), own, rtol=1e-4)
    assert table["rank"].iloc[1:-1].tolist() == [
        1 + int((p[i - 1] > p[i - 1, t]).sum()) for i, t in enumerate(tokens) if i
    ]
    np.testing.assert_allclose(table["entropy"].iloc[1:].astype(float), -(p * np.log(p)).sum(1), rtol=1e-4)
    for row, expected in zip(table["top_probabilities"].iloc[1:], p, strict=True):
        np.testing.assert_allclose(row, np.sort(expected)[::-1][:4], rtol=1e-4)


def test_parts_and_the_row_of_the_next_token(table):
    assert table["part"].tolist() == ["prompt"] * 4 + ["completion"] * 2 + ["next"]
    assert np.isnan(table["logprob"].iloc[[0, -1]]).all() and table["top_texts"].iloc[0] == []
    best = int(MODEL.forward(["a b c d e"], logits=True).logits[0, -1].argmax())
    assert table["top_texts"].iloc[-1][0] == token_texts(MODEL, [best])[0]


def test_texts_keep_special_tokens_and_ids_without_a_token():
    named = token_texts(MODEL, [1, *MODEL.encode_continuation("a"), 10**6])
    assert named[1] == "a" and named[0] and named[2] == "<1000000>"


def test_infinite_logits_give_no_nan():
    from workbench.models.token_probabilities import top_tokens

    logprobs = torch.tensor([[0.0, -float("inf"), -float("inf")]])
    texts, likeliest = top_tokens(MODEL, logprobs, 2)
    assert likeliest == [[1.0, 0.0]] and len(texts[0]) == 2
    with pytest.raises(SpecError, match="top must be an integer of at least 1, not 0"):
        top_tokens(MODEL, logprobs, 0)
