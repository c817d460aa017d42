"""Filtering logits, against transformers' own processors; drawing, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    GenerationConfig,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from workbench.errors import SpecError, WorkbenchWarning
from workbench.models.loading import shipped_models, with_backend
from workbench.models.sampling import PLAIN, filter_logits, own_sampling, penalised, sample
from workbench.models.tiny import tiny_model
from workbench.seeding import uniforms


@given(seed=st.integers(0, 10_000), temperature=st.floats(0.1, 3), top_p=st.floats(0.05, 1), top_k=st.integers(0, 25))
def test_filters_equal_transformers_logits_processors(seed: int, temperature: float, top_p: float, top_k: int) -> None:
    logits = 4 * torch.randn(3, 20, generator=torch.Generator().manual_seed(seed))
    expected = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    torch.testing.assert_close(filter_logits(logits, temperature, top_p, top_k), expected)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 6), step=st.integers(0, 50))
def test_a_draw_inverts_the_cumulative_distribution(seed: int, rows: int, step: int) -> None:
    logits = 3 * torch.randn(rows, 9, generator=torch.Generator().manual_seed(seed))
    seeds = np.arange(rows, dtype=np.uint64) + np.uint64(seed)
    drawn, u = sample(logits, seeds, step), uniforms(seeds, step)
    for row in range(rows):
        cumulative = logits[row].double().softmax(-1).cumsum(-1)
        token = int(drawn[row])
        below = float(cumulative[token - 1]) if token else 0.0
        assert below - 1e-9 <= u[row] <= float(cumulative[token]) + 1e-9


@given(seed=st.integers(0, 10_000))
def test_a_row_draws_the_same_alone(seed: int) -> None:
    logits = torch.randn(5, 30, generator=torch.Generator().manual_seed(seed))
    seeds = np.arange(5, dtype=np.uint64) * np.uint64(7919)
    together = sample(logits, seeds, 3, temperature=0.8, top_p=0.9, top_k=12)
    alone = [sample(logits[k : k + 1], seeds[k : k + 1], 3, 0.8, 0.9, 12)[0] for k in range(5)]
    assert together.tolist() == [int(token) for token in alone]


def test_tokens_that_were_cut_off_are_never_drawn() -> None:
    logits = torch.zeros(4000, 6)
    logits[:, 3] = -float("inf")
    seeds = np.arange(4000, dtype=np.uint64)
    drawn = sample(logits, seeds, 0)
    counts = torch.bincount(drawn, minlength=6)
    assert counts[3] == 0 and counts.sum() == 4000
    assert float((counts[counts > 0] - 800).abs().max()) < 5 * (4000 * 0.2 * 0.8) ** 0.5


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0]])
    assert sample(logits, np.zeros(2, np.uint64), 0, temperature=0).tolist() == [1, 0]


@pytest.mark.parametrize(
    "options", [{"temperature": -1}, {"temperature": 0}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}]
)
def test_options_outside_their_range_are_named(options: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=next(iter(options))):
        filter_logits(torch.zeros(1, 3), **options)


@given(seed=st.integers(0, 10_000), penalty=st.floats(0.5, 2))
def test_the_repetition_penalty_is_transformers_own(seed: int, penalty: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, seen = (
        4 * torch.randn(3, 20, generator=generator),
        torch.randint(20, (3, 7), generator=generator),
    )
    expected = RepetitionPenaltyLogitsProcessor(penalty)(seen, logits.clone())
    before = logits.clone()
    torch.testing.assert_close(penalised(logits, seen.tolist(), penalty), expected)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("backend", ["hf", "transformer_lens"])
def test_completions_with_a_repetition_penalty_are_those_of_hugging_face(backend: str) -> None:
    model = with_backend(tiny_model(), backend)
    prompts, options = [[5, 6, 7, 8], [9, 10]], {"temperature": 0, "max_new_tokens": 12}
    found = model.generate(prompts, **options, repetition_penalty=1.8)
    for prompt, (completion,) in zip(prompts, found, strict=True):
        tokens = torch.tensor([prompt])
        said = model.backend.hf_model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=12, do_sample=False, repetition_penalty=1.8
        )
        assert completion.tokens == [token for token in said[0, len(prompt) :].tolist() if token != 2]
    assert found != model.generate(prompts, **options)


def test_where_nothing_is_said_of_sampling_it_is_as_the_models_authors_have_it() -> None:
    model, prompts = tiny_model(), ["a b", "c"]
    plain = model.generate(prompts)
    assert plain == model.generate(prompts, temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0)
    model = tiny_model()
    model.backend.hf_model.generation_config.update(do_sample=True, temperature=0.6, top_p=0.8, repetition_penalty=1.3)
    own = {"temperature": 0.6, "top_p": 0.8, "top_k": 0, "repetition_penalty": 1.3}
    assert model.sampling == own
    assert model.generate(prompts) == model.generate(prompts, **own) != plain
    assert model.generate(prompts, temperature=1.0) == plain, "what is said stands for itself"
    assert model.generate(prompts, **own | {"temperature": 1.1}) != model.generate(prompts, temperature=1.1)


def test_a_generation_config_without_sampling_is_greedy_only_where_it_says_so() -> None:
    assert own_sampling(GenerationConfig(), "it") == own_sampling(None, "it") == PLAIN
    assert own_sampling(GenerationConfig(do_sample=False), "it") == PLAIN | {"temperature": 0.0}
    assert own_sampling(GenerationConfig(top_k=64, top_p=0.95), "gemma") == PLAIN | {"top_k": 64, "top_p": 0.95}


def test_what_a_generation_config_asks_for_and_is_not_done_is_said() -> None:
    with pytest.warns(
        WorkbenchWarning, match=r"^mine: its generation config asks for min_p 0.1, no_repeat_ngram_size 3, "
    ):
        own_sampling(GenerationConfig(min_p=0.1, no_repeat_ngram_size=3, typical_p=1.0), "mine")


@pytest.mark.parametrize("name", ["bandit-agent", "grid-agent", "babbler-a", "babbler-b"])
def test_shipped_models_are_sampled_from_their_own_distribution(name: str) -> None:
    folder = shipped_models()[name]
    assert own_sampling(GenerationConfig.from_pretrained(folder), name) == PLAIN


@pytest.mark.parametrize("bad", [0, -1.0, "1", float("nan")])
def test_a_repetition_penalty_that_is_none_is_refused_in_one_line(bad: object) -> None:
    with pytest.raises(SpecError, match=r"^repetition_penalty [^\n]*$"):
        tiny_model().generate(["a"], repetition_penalty=bad)
