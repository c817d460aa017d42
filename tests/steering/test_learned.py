from __future__ import annotations

import time

import pytest
import torch

from steering import Add, Learning, learn_affine, learn_preference
from workbench.errors import DataError, ModelError, SiteError, SpecError
from workbench.models.tiny import tiny_model

PAIRS = [("a b", " c", " d"), ("e f g", " c c", " d"), ("h", " c", " d d"), ("i j k l", " c", " d")]
QUICK = Learning(epochs=8, batch=3, lr=0.1)


@pytest.fixture(scope="module", params=["llama", "gpt2", "mistral"])
def model(request):
    return tiny_model(request.param)


def margins(model, interventions):
    """How much likelier the positive completion is, in nats."""
    scores = model.score([p for p, *_ in PAIRS], [list(pair[1:]) for pair in PAIRS], interventions)
    return torch.tensor([own[0].logprob - own[1].logprob for own in scores])


def test_with_the_vector_positive_completions_are_preferred_and_against_it_negative_ones(model):
    vector = learn_preference(model, PAIRS, 1, QUICK, name="c")
    plain = margins(model, [])
    assert bool((margins(model, [Add(vector)]) > plain).all())
    assert bool((margins(model, [Add(vector, -1.0)]) < plain).all())
    losses = vector.metadata["losses"]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    assert vector.norm / vector.residual_norm <= 0.4 + 1e-4
    assert (vector.fingerprint, vector.name, vector.site.layer) == (model.fingerprint, "c", 1)


def test_the_first_loss_is_log_two_and_the_loss_is_that_of_the_formula(model):
    """At v = 0 every margin is 0; after a tiny step the loss follows from the scores of the steered model."""
    vector = learn_preference(model, PAIRS[:1], 2, Learning(epochs=2, batch=1, lr=0.05), beta=0.7)
    assert vector.metadata["losses"][0] == pytest.approx(0.693147, abs=1e-5)
    first = learn_preference(model, PAIRS[:1], 2, Learning(epochs=1, batch=1, lr=0.05), beta=0.7)
    prompts, completions = [PAIRS[0][0]], [_with_end(model, PAIRS[0])]

    def gap(interventions):
        positive, negative = model.score(prompts, completions, interventions)[0]
        return positive.logprob - negative.logprob

    terms = [0.7 * sign * (gap([Add(first, float(sign))]) - gap([])) for sign in (1, -1)]
    expected = -torch.nn.functional.logsigmoid(torch.tensor(terms)).mean()
    assert vector.metadata["losses"][1] == pytest.approx(float(expected), abs=1e-5)


def _with_end(model, pair):
    prompt, *completions = pair
    return [[*model.encode_continuation(each, prompt), model.tokenizer.eos_token_id] for each in completions]


def test_the_affine_edit_makes_the_positive_completions_likely(model):
    edit = learn_affine(model, [pair[:2] for pair in PAIRS], 1, QUICK, name="c")
    prompts, completions = [p for p, *_ in PAIRS], [_with_end(model, pair[:2]) for pair in PAIRS]
    plain, found = (model.score(prompts, completions, each) for each in ([], [edit]))
    assert all(a[0].logprob > b[0].logprob for a, b in zip(found, plain, strict=True))
    assert edit.metadata["losses"][-1] < edit.metadata["losses"][0]
    tokens = sum(len(own[0].tokens) for own in plain)
    one = learn_affine(model, PAIRS, 1, Learning(epochs=1, batch=4))
    assert one.metadata["losses"][0] == pytest.approx(-sum(own[0].logprob for own in plain) / tokens, rel=1e-4)
    assert float(edit.weights.norm()) > 0


def test_the_same_seed_gives_the_same_vector_and_the_weights_stay_as_they_were(model):
    before = {name: weight.clone() for name, weight in model.backend.hf_model.named_parameters()}
    thawed = [weight.requires_grad for weight in model.backend.hf_model.parameters()]
    one, again = (learn_preference(model, PAIRS, 1, Learning(epochs=2, batch=2, seed=4)) for _ in range(2))
    assert torch.equal(one.vector, again.vector)
    assert [weight.requires_grad for weight in model.backend.hf_model.parameters()] == thawed
    for name, weight in model.backend.hf_model.named_parameters():
        assert torch.equal(weight, before[name])
        assert weight.grad is None


def test_dicts_are_pairs_too(model):
    rows = [dict(zip(("prompt", "positive", "negative"), pair, strict=True)) for pair in PAIRS]
    one, again = (learn_preference(model, each, 1, Learning(epochs=1)) for each in (PAIRS, rows))
    assert torch.equal(one.vector, again.vector)


@pytest.mark.parametrize(
    ("pairs", "line"),
    [
        ([], "no pairs to learn from"),
        ([("a", " b")], "pair 0 lacks a completion"),
        ([("a", " b", "")], "pair 0 lacks a completion"),
        ([("a",)], r"\(prompt, positive, negative\)"),
        ([{"prompt": "a"}], "prompt, positive and negative are needed"),
        ([("a", 3, " b")], "a completion must be a text"),
    ],
)
def test_pairs_that_cannot_be_read_are_refused_in_one_line(model, pairs, line):
    with pytest.raises(DataError, match=line) as caught:
        learn_preference(model, pairs, 1)
    assert "\n" not in str(caught.value)


def test_sites_scopes_and_settings_that_cannot_be_used_are_refused(model):
    with pytest.raises(SiteError, match=r"no attn\.z|has no"):
        learn_preference(model, PAIRS, "1.attn.z")
    with pytest.raises(SiteError, match="layers 0 to 3"):
        learn_preference(model, PAIRS, 9)
    with pytest.raises(SpecError, match="from the last prompt token on"):
        learn_preference(model, PAIRS, 1, scope="prompt+generation")
    with pytest.raises(SpecError, match="lr must be"):
        Learning(lr=-1.0)
    with pytest.raises(ModelError, match="more than the 256 positions"):
        learn_affine(model, [("a", " b" * 300)], 1)


QUESTIONS = [
    "How was your day?", "What do you think of the weather?", "Tell me about your family.", "How is your new job?",
    "What is your town like?", "How was the film?", "What will you do tomorrow?", "How is the food here?",
    "What do you think of Mondays?", "How did the exam go?", "How is the garden?", "What is winter like for you?",
    "How was the journey?", "Do you like your neighbours?", "How is your health?", "How was the party?",
    "What do you think of this music?", "How is school?", "What was the book like?", "Do you like the future?",
]  # fmt: skip


@pytest.mark.real
@pytest.mark.slow
def test_on_a_real_model_a_preference_of_twenty_pairs_is_learned_in_minutes(smollm2):
    happy, sad = "It is wonderful, I love it and I feel so happy!", "It is terrible, I hate it and I feel so sad."
    pairs = [([{"role": "user", "content": question}], happy, sad) for question in QUESTIONS]
    started = time.process_time()
    vector = learn_preference(smollm2, pairs, 15, Learning(epochs=3))
    assert time.process_time() - started < 120
    new = [[{"role": "user", "content": "How was the holiday?"}]]
    gaps = []
    for multiplier in (-1.0, 0.0, 1.0):
        good, bad = smollm2.score(
            new, [["I loved it, it was great.", "I hated it, it was awful."]], [Add(vector, multiplier)]
        )[0]
        gaps.append(good.logprob - bad.logprob)
    assert gaps[0] < gaps[1] < gaps[2]
