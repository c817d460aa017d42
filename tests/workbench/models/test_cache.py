"""Keys and values kept across turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import DataError, ModelError
from workbench.models.cache import common_prefix, pad_right
from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.models.sharing import decoding_path
from workbench.sites import Site

Maker = Callable[[str, str], LanguageModel]


@pytest.mark.parametrize("shape", ["gpt2", "mistral"])
def test_turns_on_one_cache_equal_turns_from_scratch(
    model_on: Maker, shape: str, backend: str, add: Any, vectors: torch.Tensor
) -> None:
    model, steer = model_on(shape, backend), add(Site(1), vectors)
    cache, rows = model.prompt_cache(), [model.encode(p) for p in ("a b c d", "q", "z y x w v u")]
    for turn in range(3):
        kept = model.generate(rows, n=2, max_new_tokens=5, seeds=turn, interventions=[steer], cache=cache)
        fresh = model.generate(rows, n=2, max_new_tokens=5, seeds=turn, interventions=[steer])
        assert [[c.tokens for c in row] for row in kept] == [[c.tokens for c in row] for row in fresh]
        rows = [row + completions[0].tokens + [40 + turn] for row, completions in zip(rows, kept, strict=True)]


def test_a_later_turn_computes_only_what_is_new(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    decoding_path(model)  # looked into once, by passes of its own
    forward, widths = type(model.backend).forward, []

    def count(self: Any, tokens: torch.Tensor, **options: Any) -> Any:
        widths.append(tokens.shape[1])
        return forward(self, tokens, **options)

    monkeypatch.setattr(type(model.backend), "forward", count)
    cache, prompt = model.prompt_cache(), model.encode("a b c d e f g h")
    model.score([prompt], [[" d", " b c"]], cache=cache)
    model.score([[*prompt, 40, 41]], [[" d"]], cache=cache)
    assert widths == [len(prompt) - 1, 2, 2, 1]  # prompt, both leaves in one, the new suffix, a leaf


@settings(max_examples=10)
@given(data=st.data())
def test_prompts_may_change_and_rows_drop_in_any_way(model: LanguageModel, data: st.DataObject) -> None:
    """An edited prompt keeps its common prefix; dropped rows leave the others as they were."""
    text = st.lists(st.integers(30, 60), min_size=1, max_size=8)
    cache, rows = model.prompt_cache(), [[1, *data.draw(text)] for _ in range(3)]
    for _ in range(3):
        continuations = [[[40, 41], [42]] for _ in rows]
        kept = model.score(rows, continuations, cache=cache)
        for a, b in zip(kept, model.score(rows, continuations), strict=True):
            assert [s.logprob for s in a] == pytest.approx([s.logprob for s in b], abs=1e-4)
        keep = data.draw(st.permutations(range(len(rows))))[: max(1, len(rows) - 1)]
        cache.select(list(keep))
        rows = [rows[k][: data.draw(st.integers(1, len(rows[k])))] + data.draw(text) for k in keep]


def test_a_call_that_fails_leaves_a_cache_that_can_be_used(model: LanguageModel, watch: Any) -> None:
    cache, prompts = model.prompt_cache(), ["a b c d", "e f"]
    expected = model.generate(prompts, max_new_tokens=4, seeds=1, cache=cache)

    def fail(*_: Any) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        model.generate(prompts, max_new_tokens=4, interventions=[watch(Site(2), fail)], cache=cache)
    assert model.generate(prompts, max_new_tokens=4, seeds=1, cache=cache) == expected


def test_a_cache_refuses_what_would_spoil_it(model: LanguageModel, add: Any, vectors: torch.Tensor) -> None:
    cache = model.prompt_cache()
    with pytest.raises(ModelError, match="before the last prompt token"):
        model.generate(["a b c"], interventions=[add(Site(0), vectors[0], Scope.everywhere())], cache=cache)
    model.generate(["a", "b"], max_new_tokens=1, cache=cache)
    with pytest.raises(DataError, match="1 prompts for a cache of 2"):
        model.generate(["a"], max_new_tokens=1, cache=cache)


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_the_common_prefix_is_common_and_longest(a: list[int], b: list[int]) -> None:
    n = common_prefix(a, b)
    assert a[:n] == b[:n] and (n == min(len(a), len(b)) or a[n] != b[n])


def test_rows_are_padded_on_the_right() -> None:
    assert pad_right([[1, 2, 3], [4], []], -1).tolist() == [[1, 2, 3], [4, -1, -1], [-1, -1, -1]]
