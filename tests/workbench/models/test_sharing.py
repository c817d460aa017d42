"""Models that cannot decode many rows at once are found out by a check, and decode one row at a time."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import chain
from typing import Any

import pytest
import torch

from tests.workbench.models.tiny_architectures import tiny_architecture
from workbench.errors import ModelError, WorkbenchWarning
from workbench.models import decoding_path
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.sharing import DecodingPath
from workbench.models.tiny import tiny_tokenizer
from workbench.sites import Site

SHARED = ["gemma4_text"]
BY_ROWS = ["bloom", "mpt", "falcon, ALiBi", "qwen3_5_text", "lfm2"]
UNCACHED = ["recurrent_gemma", "minimax"]
PROMPTS = [[5 + 7 * i % 120 for i in range(9)], [60], [5 + 7 * i % 120 for i in range(9)]]


@cache
def _model(kind: str, backend: str = "hf", **options: Any) -> LanguageModel:
    if backend != "hf":
        return with_backend(_model(kind, **options), backend)
    return LanguageModel(HuggingFaceBackend(tiny_architecture(kind, **options)), tiny_tokenizer(), kind)


def _logits(model: LanguageModel, tokens: list[int]) -> torch.Tensor:
    """Plain Hugging Face: one row, no cache."""
    with torch.no_grad():
        return model.backend.hf_model(torch.tensor([tokens]), use_cache=False).logits[0]


def _logprobs(model: LanguageModel, prompt: list[int], continuation: list[int]) -> torch.Tensor:
    logits = _logits(model, prompt + continuation[:-1])[len(prompt) - 1 :]
    return logits.log_softmax(-1)[range(len(continuation)), continuation]


def _worst(model: LanguageModel, prompts: list[list[int]], parts: list[list[int]], **options: Any) -> float:
    """How far scores of ``parts`` behind each prompt are from the truth."""
    found = model.score(prompts, [parts] * len(prompts), **options)
    return max(
        float((torch.tensor(score.token_logprobs) - _logprobs(model, prompt, part)).abs().max())
        for prompt, scores in zip(prompts, found, strict=True)
        for part, score in zip(parts, scores, strict=True)
    )


@pytest.mark.filterwarnings("ignore::workbench.errors.WorkbenchWarning")
@pytest.mark.parametrize("kind", [*SHARED, *BY_ROWS, *UNCACHED])
def test_completions_and_scores_are_those_of_plain_hugging_face(kind: str) -> None:
    model = _model(kind)
    expected = "shared" if kind in SHARED else "row by row" if kind in BY_ROWS else "row by row, without a cache"
    assert decoding_path(model).name == expected, decoding_path(model)
    cache = model.prompt_cache()
    for kept in (None, cache, cache):
        found = model.generate(PROMPTS, n=2, max_new_tokens=5, seeds=[1, 2, 3], cache=kept)
        for prompt, row in zip(PROMPTS, found, strict=True):
            for completion in row:
                drawn = completion.tokens + [2] * (completion.finish == "eos")
                truth = float(_logprobs(model, prompt, drawn).sum())
                assert completion.logprob == pytest.approx(truth, abs=1e-4)
    assert len({str(completion.tokens) for row in found for completion in row}) == 6
    greedy = model.generate(PROMPTS[:1], max_new_tokens=4, temperature=0)[0][0].tokens
    for step, token in enumerate(greedy):
        assert token == int(_logits(model, PROMPTS[0] + greedy[:step])[-1].argmax())
    assert _worst(model, PROMPTS, [[17, 30, 44], [8]], cache=cache) < 1e-4


def test_a_window_by_cache_slot_is_found_where_it_is_reached(backend: str) -> None:
    model = _model("gpt_neo", backend, window_size=64)
    generator = torch.Generator().manual_seed(0)
    prompt, *parts = (torch.randint(5, 120, (n,), generator=generator).tolist() for n in (40, *[6] * 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error", WorkbenchWarning)
        assert _worst(model, [prompt], parts[:2]) < 1e-4
    with pytest.warns(WorkbenchWarning, match="decodes row by row, which is slower: rows that share a batch differ"):
        assert _worst(model, [prompt], parts) < 1e-4


def test_chunks_are_found_where_they_are_reached() -> None:
    model = _model("llama4_text", attention_chunk_size=32)
    prompt = [5 + 7 * i % 120 for i in range(30)]
    assert decoding_path(model, 32, slots=500).name == "shared" != decoding_path(model, 33).name
    with pytest.warns(WorkbenchWarning, match="row by row"):
        assert _worst(model, [prompt], [[17, 30, 44, 9, 12], [8]]) < 1e-4


def test_a_width_by_cache_slot_costs_no_prompt_of_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("phi3", sliding_window=None, original_max_position_embeddings=128, max_position_embeddings=256)
    forward, widths = type(model.backend).forward, []

    def count(self: Any, tokens: torch.Tensor, **options: Any) -> Any:
        if len(tokens) == 1:
            widths.append(tokens.shape[1])
        return forward(self, tokens, **options)

    monkeypatch.setattr(type(model.backend), "forward", count)
    assert decoding_path(model, 20, slots=200).name == "shared"
    assert max(widths) < 20
    assert decoding_path(model, 200).name == "shared"
    assert max(widths) > 128


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every model decode on a given path."""
    return lambda name: monkeypatch.setattr(
        "workbench.models.decoding.path_of", lambda *_: DecodingPath(name, "a test wants it")
    )


@pytest.mark.filterwarnings("ignore::workbench.errors.WorkbenchWarning")
@pytest.mark.parametrize("path", ["row by row", "row by row, without a cache"])
@pytest.mark.parametrize("scope", ["prompt[-1:]+generation", "prompt[1:3]+generation[1:]"])
def test_row_by_row_gives_what_the_shared_path_gives(
    model: LanguageModel, by_rows: Any, add: Any, vectors: torch.Tensor, path: str, scope: str
) -> None:
    prompts, steer = ["a b c d e", "a b c d e", "q"], [add(Site(1), vectors, Scope.parse(scope))]
    options: Any = {"n": [2, 0, 3], "max_new_tokens": 6, "seeds": 4, "interventions": steer, "stop": ["t"]}
    parts = [["x y", "z"], [], [" q r s"]]
    drawn, scored = model.generate(prompts, **options), model.score(prompts, parts, steer)
    by_rows(path)
    for one, other in zip(chain(*drawn), chain(*model.generate(prompts, **options)), strict=True):
        assert (one.tokens, one.finish) == (other.tokens, other.finish)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
    for a, b in zip(chain(*scored), chain(*model.score(prompts, parts, steer)), strict=True):
        assert a.token_logprobs == pytest.approx(b.token_logprobs, abs=1e-4)


def test_a_cache_of_a_model_that_decodes_row_by_row_keeps_nothing_and_may_be_used(
    model: LanguageModel, by_rows: Any
) -> None:
    cache = model.prompt_cache()
    expected = model.generate(["a b c", "d"], max_new_tokens=3, cache=cache)
    by_rows("row by row")
    with pytest.warns(WorkbenchWarning, match="LlamaForCausalLM on hf decodes row by row, which is slower: a test"):
        found = model.generate(["a b c", "d"], max_new_tokens=3, cache=cache)
    assert [row[0].tokens for row in found] == [row[0].tokens for row in expected]
    assert not cache.slots
    cache.select([1])


def test_logits_that_are_not_finite_are_named_row_by_row_too(model: LanguageModel, by_rows: Any, watch: Any) -> None:
    class Break:
        site, scope = Site(3), Scope.parse("generation[1:]")

        def __call__(self, activation: torch.Tensor, where: Any) -> torch.Tensor:
            return activation.masked_fill(self.scope.mask(where)[..., None], float("nan"))

    by_rows("row by row")
    with pytest.warns(WorkbenchWarning), pytest.raises(ModelError, match="prompt 0 are not finite at step 2"):
        model.generate(["a b"], max_new_tokens=4, interventions=[Break()])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["gemma3_text", "mixtral", "bloom"])
def test_rounding_is_told_from_a_difference_in_every_precision(kind: str, dtype: torch.dtype) -> None:
    model = LanguageModel(HuggingFaceBackend(tiny_architecture(kind).to(dtype)), tiny_tokenizer(), kind)
    assert decoding_path(model, 100).name == ("row by row" if kind == "bloom" else "shared")


def test_running_out_of_memory_while_trying_is_not_taken_for_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel(HuggingFaceBackend(tiny_architecture("llama")), tiny_tokenizer(), "llama")

    def run_out(self: Any, *_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(type(model.backend), "forward", run_out)
        with pytest.raises(torch.OutOfMemoryError):
            decoding_path(model)
    assert decoding_path(model).name == "shared"
