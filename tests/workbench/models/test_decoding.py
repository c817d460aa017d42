"""Sampling completions and scoring continuations, against Hugging Face and against doing one thing at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import DataError, ModelError
from workbench.models.decoding import Completion
from workbench.models.interventions import Scope, Where
from workbench.models.language_model import LanguageModel
from workbench.models.sampling import filter_logits
from workbench.sites import Site

Oracle = Callable[..., Any]


def _tokens(completions: list[list[Completion]]) -> list[list[list[int]]]:
    return [[completion.tokens for completion in row] for row in completions]


# ---- what is sampled


@settings(max_examples=12)
@given(order=st.permutations(range(4)), n=st.integers(1, 3))
def test_a_completion_depends_on_its_prompt_and_seed_and_not_on_the_batch(
    model: LanguageModel, order: list[int], n: int
) -> None:
    prompts, seeds = ["a b c d e f", "q", "z y x w", "a b c d e f"], [5, 6, 7, 5]
    alone = [model.generate([p], n=3, max_new_tokens=6, seeds=[s])[0] for p, s in zip(prompts, seeds, strict=True)]
    together = model.generate([prompts[k] for k in order], n=n, max_new_tokens=6, seeds=[seeds[k] for k in order])
    assert _tokens(together) == [[c.tokens for c in alone[k][:n]] for k in order]


def test_completions_of_a_prompt_differ_and_seeds_matter(model: LanguageModel) -> None:
    one, two = (_tokens(model.generate(["a b"], n=8, max_new_tokens=6, seeds=s))[0] for s in (0, 1))
    assert len({tuple(t) for t in one}) > 4 and one != two


def test_first_tokens_are_drawn_with_the_models_probabilities(model: LanguageModel, oracle_logits: Oracle) -> None:
    """Chi-square over 4000 draws against Hugging Face's softmax, temperature 1.5."""
    tokens, n = model.encode("a b c"), 4000
    probabilities = (oracle_logits(model.backend.hf_model, tokens)[-1] / 1.5).softmax(-1)
    drawn = model.generate([tokens], n=n, max_new_tokens=1, temperature=1.5, seeds=3)[0]
    counts = torch.bincount(torch.tensor([c.tokens[0] if c.tokens else 2 for c in drawn]), minlength=len(probabilities))
    likely = probabilities * n >= 5
    rest = torch.stack([counts[~likely].sum(), n * probabilities[~likely].sum()])
    seen = torch.cat([counts[likely].float(), rest[:1]])
    expected = torch.cat([n * probabilities[likely], rest[1:]])
    chi_square, freedom = float(((seen - expected) ** 2 / expected).sum()), len(expected) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5
    flat = torch.full_like(expected, n / len(expected))
    assert float(((seen - flat) ** 2 / flat).sum()) > 10 * freedom  # the test can tell


def test_each_prompt_may_have_its_own_number_of_completions(model: LanguageModel) -> None:
    some = model.generate(["a b", "c"], n=[3, 1], max_new_tokens=4, seeds=2)
    more = model.generate(["a b", "c"], n=3, max_new_tokens=4, seeds=2)
    assert _tokens(some) == [_tokens(more)[0], _tokens(more)[1][:1]]


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_sampling_cut_to_one_token_is_greedy(model: LanguageModel, prompts: list[str], options: Any) -> None:
    greedy = model.generate(prompts, max_new_tokens=6, temperature=0)
    assert _tokens(model.generate(prompts, max_new_tokens=6, **options)) == _tokens(greedy)


# ---- how completions end


def test_a_stop_string_ends_a_completion_and_stays_in_its_text(model: LanguageModel) -> None:
    free = model.generate(["a b c"], n=20, max_new_tokens=12, seeds=1)[0]
    stop = model.decode(free[0].tokens)[3:5]
    for long, short in zip(
        free, model.generate(["a b c"], n=20, max_new_tokens=12, seeds=1, stop=[stop])[0], strict=True
    ):
        assert short.tokens == long.tokens[: len(short.tokens)] and long.text.startswith(short.text)
        if stop in long.text:
            assert short.finish == "stop" and stop in short.text
            assert stop not in model.decode(short.tokens[:-1])
        else:
            assert short.tokens == long.tokens and short.finish == long.finish
    assert stop in free[0].text


def test_an_end_token_ends_a_completion_and_is_left_out(model: LanguageModel, oracle_logits: Oracle) -> None:
    found = model.generate(["a b"], n=300, max_new_tokens=3, seeds=0)[0]
    ended = [c for c in found if c.finish == "eos"]
    assert ended and not any(2 in c.tokens for c in found)
    assert all(len(c.tokens) == 3 for c in found if c.finish == "length")
    tokens = model.encode("a b")
    for completion in ended[:3]:  # its log-probability counts the end token
        whole = [*completion.tokens, 2]
        logprobs = oracle_logits(model.backend.hf_model, tokens + whole[:-1]).log_softmax(-1)[len(tokens) - 1 :]
        assert completion.logprob == pytest.approx(float(logprobs[range(len(whole)), whole].sum()), abs=1e-4)


def test_log_probabilities_are_the_models_own_at_any_temperature(model: LanguageModel) -> None:
    for completion in model.generate(["a b"], n=4, max_new_tokens=5, temperature=0.7, top_k=5, seeds=2)[0]:
        if completion.finish == "length":
            (score,) = model.score(["a b"], [[completion.tokens]])[0]
            assert score.logprob == pytest.approx(completion.logprob, abs=1e-4)


# ---- scoring


def test_scores_equal_hugging_faces_log_softmax(
    model_on: Callable[[str, str], LanguageModel], prompts: list[str], backend: str, oracle_logits: Oracle
) -> None:
    model = model_on("mistral", backend)
    continuations = [[" a b", " q"], [" z y x w v u t"], [[50, 51, 52], " a b c"]]
    for prompt, parts, scores in zip(prompts, continuations, model.score(prompts, continuations), strict=True):
        tokens = model.encode(prompt)
        for part, score in zip(parts, scores, strict=True):
            own = model.encode_continuation(part) if isinstance(part, str) else part
            logprobs = oracle_logits(model.backend.hf_model, tokens + own[:-1]).log_softmax(-1)[len(tokens) - 1 :]
            expected = logprobs[range(len(own)), own]
            assert score.tokens == own
            torch.testing.assert_close(torch.tensor(score.token_logprobs), expected, atol=1e-5, rtol=1e-5)
            assert score.logprob == pytest.approx(float(expected.sum()), abs=1e-4)


@pytest.mark.parametrize("options", [{"temperature": 0.5}, {"top_p": 0.6}, {"temperature": 2.0, "top_p": 0.8}])
def test_scores_at_a_temperature_and_top_p_are_those_of_the_distribution_that_is_sampled(
    model: LanguageModel, options: Any
) -> None:
    prompt = model.encode("a b c")
    logits = model.forward([prompt], logits=True).logits
    assert logits is not None
    expected = filter_logits(logits[0, -1:], **options).log_softmax(-1)[0]
    scores = model.score([prompt], [[[token] for token in range(len(expected))]], **options)[0]
    torch.testing.assert_close(torch.tensor([score.logprob for score in scores]), expected, rtol=1e-4, atol=1e-4)
    assert "top_p" not in options or min(score.logprob for score in scores) == -float("inf")


def test_scores_over_the_whole_vocabulary_sum_to_one(model: LanguageModel) -> None:
    every = [[token] for token in range(model.config.vocab_size)]
    scores = model.score(["a b c"], [every])[0]
    assert float(torch.tensor([s.logprob for s in scores]).exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("cached", [False, True])
def test_continuations_that_begin_alike_run_once_and_score_as_alone(
    model: LanguageModel, add: Any, vectors: torch.Tensor, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    prompts = ["a b c", "a b c", "q r"]
    parts = [[[5], [6], [7, 8], [7, 9, 5]], [[5], [6]], [[7, 9], [8], [7, 9]]]
    steer = [add(Site(1), vectors, Scope())]
    alone = [[model.score(prompts, [[part] if r == row else [] for r in range(3)], steer)[row][0] for part in own]
             for row, own in enumerate(parts)]  # fmt: skip
    forward, seen = type(model.backend).forward, []

    def count(self: Any, tokens: torch.Tensor, **options: Any) -> Any:
        seen.append(tokens.shape)
        return forward(self, tokens, **options)

    monkeypatch.setattr(type(model.backend), "forward", count)
    found = model.score(prompts, parts, steer, model.prompt_cache() if cached else None)
    assert [[score.tokens for score in row] for row in found] == parts
    for own, expected in zip(found, alone, strict=True):
        for one, other in zip(own, expected, strict=True):
            assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-5)
    # Row 0 runs 3 tokens for its 4 continuations and row 1 one, side by side; row 2 runs 2 for 3.
    assert seen[-1] == torch.Size([3, 3] if cached else [2, 4])


# ---- interventions


def test_rows_with_their_own_vectors_equal_runs_one_by_one(
    model_on: Callable[[str, str], LanguageModel], backend: str, add: Any, vectors: torch.Tensor
) -> None:
    """The same prompt three times, each row steered its own way: a sweep in one batch."""
    model, site = model_on("gpt2", backend), Site(1)
    together = model.generate(["a b c"] * 3, n=2, max_new_tokens=6, seeds=[4, 4, 4], interventions=[add(site, vectors)])
    alone = [
        model.generate(["a b c"], n=2, max_new_tokens=6, seeds=[4], interventions=[add(site, vector)])[0]
        for vector in vectors
    ]
    assert _tokens(together) == _tokens(alone)
    assert len({str(row) for row in _tokens(together)}) > 1


@pytest.mark.parametrize("text", ["prompt[-1:]+generation", "prompt[1:3]+generation[1:4]", "generation[2:]", "prompt"])
def test_every_position_of_a_scope_is_visited_once_for_each_completion(
    model: LanguageModel, watch: Any, text: str
) -> None:
    scope, new, visits = Scope.parse(text), 5, []

    def see(activation: torch.Tensor, where: Where) -> None:
        assert activation.shape[:2] == where.positions.shape
        mask = scope.mask(where)
        visits.extend(zip(where.rows[mask].tolist(), where.positions[mask].tolist(), strict=True))

    prompts = ["a b c d", "q"]
    model.generate(prompts, max_new_tokens=new, temperature=0, interventions=[watch(Site(1), see, scope)])
    expected = []
    for row, length in enumerate(len(model.encode(p)) for p in prompts):
        # The last new token is returned and never run.
        prompt, generated = list(range(length)), list(range(length, length + new - 1))
        for positions, window in ((prompt, scope.prompt), (generated, scope.generation)):
            expected += [(row, p) for p in (positions[window.start : window.stop] if window else [])]
    assert sorted(visits) == sorted(expected)


def test_rows_steered_early_in_the_same_prompt_do_not_share_it(
    model: LanguageModel, add: Any, vectors: torch.Tensor
) -> None:
    doses, scope = 3 * torch.arange(3)[:, None] * vectors[0], Scope.parse("prompt[:-1]")  # the last token left alone
    prompts = ["a b c d"] * 3
    together = model.generate(prompts, max_new_tokens=6, temperature=0, interventions=[add(Site(0), doses, scope)])
    alone = [
        model.generate(prompts[:1], max_new_tokens=6, temperature=0, interventions=[add(Site(0), dose, scope)])[0]
        for dose in doses
    ]
    assert _tokens(together) == _tokens(alone)
    assert len({str(row) for row in _tokens(together)}) > 1


# ---- memory, progress, mistakes


def test_running_out_of_memory_halves_the_batch_and_changes_nothing(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = ["a b c", "d", "e f", "g h i j", "k l m"]
    expected = model.generate(prompts, n=2, max_new_tokens=4, seeds=1)
    forward, sizes = type(model.backend).forward, []

    def small(self: Any, tokens: torch.Tensor, **options: Any) -> Any:
        sizes.append(len(tokens))
        if len(tokens) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(self, tokens, **options)

    monkeypatch.setattr(type(model.backend), "forward", small)
    assert _tokens(model.generate(prompts, n=2, max_new_tokens=4, seeds=1)) == _tokens(expected)
    assert max(sizes) == 5 and sizes.count(5) == 1


@pytest.mark.parametrize("kept", [False, True])
def test_one_prompt_with_many_completions_is_halved_down_to_one(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    expected = model.generate(["a b c"], n=6, max_new_tokens=4, seeds=1)
    scores = model.score(["a b c"], [[" a b", " c", " d e f"]])
    forward = type(model.backend).forward

    def small(self: Any, tokens: torch.Tensor, **options: Any) -> Any:
        if tokens.numel() > limit:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        return forward(self, tokens, **options)

    monkeypatch.setattr(type(model.backend), "forward", small)
    limit, cache = 3, model.prompt_cache() if kept else None
    assert _tokens(model.generate(["a b c"], n=6, max_new_tokens=4, seeds=1, cache=cache)) == _tokens(expected)
    found = model.score(["a b c"], [[" a b", " c", " d e f"]], cache=cache)
    for one, other in zip(found[0], scores[0], strict=True):
        assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-5)
    limit = 0
    with pytest.raises(ModelError, match="out of memory: one row with a prompt of 4 tokens does not fit beside Llama"):
        model.generate(["a b c"], n=6, max_new_tokens=4, cache=cache)


def test_errors_that_are_not_about_memory_are_raised(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model.generate(["a"], max_new_tokens=1)
    calls = []

    def fail(self: Any, tokens: torch.Tensor, **_: Any) -> Any:
        calls.append(len(tokens))
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(type(model.backend), "forward", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        model.generate(["a c", "b c"], max_new_tokens=1)
    assert calls == [2]


def test_the_progress_bar_counts_completions(model: LanguageModel, capsys: pytest.CaptureFixture[str]) -> None:
    found = model.generate(["a", "b c"], n=2, max_new_tokens=3, progress=True)
    assert found == model.generate(["a", "b c"], n=2, max_new_tokens=3)


def test_mistakes_are_one_line(model: LanguageModel, add: Any, vectors: torch.Tensor) -> None:
    with pytest.raises(DataError, match="2 seeds for 1 prompts"):
        model.generate(["a"], seeds=[1, 2])
    with pytest.raises(DataError, match="one prompt write"):
        model.generate("a")
    with pytest.raises(DataError, match="interventions must be a list"):
        model.generate(["a"], interventions=add(Site(0), vectors[0]))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="exceed the 256 positions"):
        model.generate(["a"], max_new_tokens=256)
    with pytest.raises(DataError, match="a continuation is empty"):
        model.score(["a"], [[""]])
    with pytest.raises(DataError, match="1 lists of continuations for 2 prompts"):
        model.score(["a", "b"], [["c"]])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_logits_that_are_not_finite_name_the_step_and_the_prompt(
    model: LanguageModel, broken: float, temperature: float
) -> None:
    class Break:
        site, scope = Site(3), Scope.parse("generation[1:]")

        def __call__(self, activation: torch.Tensor, where: Where) -> torch.Tensor:
            hit = self.scope.mask(where) & (where.rows == 1)
            return activation.masked_fill(hit[..., None], broken)

    options = {"max_new_tokens": 5, "temperature": temperature, "interventions": [Break()]}
    assert model.generate(["a b", "c"], **{**options, "max_new_tokens": 2})
    with pytest.raises(ModelError, match="the logits of prompt 1 are not finite at step 2"):
        model.generate(["a b", "c"], **options)
    with pytest.raises(ModelError, match="the logits of prompt 1 are not finite at a continuation"):
        model.score(["a b", "c"], [["a b c"], ["a b c"]], [Break()])
