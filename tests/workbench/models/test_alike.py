"""Rows that are alike run once, and nothing shows it: against the plain pass, in which every row is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from steering import Ablate, Add, side_by_side
from tests.workbench.models.tiny_architectures import tiny_architecture
from workbench.models import alike
from workbench.models.alike import Course, runs_alike
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Scope, Where
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.tiny import tiny_model, tiny_tokenizer
from workbench.sites import Site

PROMPTS = ["a b c d e f g h i j k l", "q", "a b c d e f g h i j k l", "z y x w v u t s"]  # beyond mistral's window of 6
SITES = ["0.resid_pre", "0.resid_post", "1.attn_out", "2.resid_mid", "2.resid_post", "3.mlp_out", "3.resid_post"]
G = torch.Generator().manual_seed(0)
ONE, TWO = (3 * torch.randn(32, generator=G) for _ in range(2))
CELLS: list[list[Any]] = [
    [],
    [Add(ONE, 1.0, site=1)],
    [Add(TWO, -1.0, site=1, scope=Scope.everywhere()), Add(ONE, 1.0, site=3)],
    [Add(ONE, 0.0, site=0)],
    [Ablate(TWO, site="2.resid_pre", scope=Scope.everywhere())],
    [Add(ONE, 1.0, site="2.resid_mid", scope="prompt[1:3]")],
    [Add(TWO, 0.5, site="3.attn_out")],
    [Add(TWO, 1.0, site=0, scope="generation")],  # which touches nothing of a prompt
]


def _model(kind: str) -> LanguageModel:
    if kind in ("llama", "gpt2", "mistral"):
        return tiny_model(kind)
    return LanguageModel(HuggingFaceBackend(tiny_architecture(kind)), tiny_tokenizer(), kind)


@pytest.fixture(scope="module", params=["llama", "gpt2", "mistral", "gemma2", "gemma3_text"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return _model(request.param)


@contextmanager
def _row_by_row(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(alike, "runs_alike", lambda *_: False)
        yield


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that each pass begins with."""
    found, forward = [], HuggingFaceBackend.forward

    def count(self: Any, tokens: Tensor, **options: Any) -> Any:
        found.append(len(tokens))
        return forward(self, tokens, **options)

    monkeypatch.setattr(HuggingFaceBackend, "forward", count)
    return found


@pytest.mark.parametrize("logits", [True, False])
def test_a_grid_of_rows_reads_as_the_plain_pass_does(
    model: LanguageModel, logits: bool, monkeypatch: pytest.MonkeyPatch, widths: list[int]
) -> None:
    rows, steer = PROMPTS * len(CELLS), side_by_side(CELLS, model, len(PROMPTS))
    sites = [site for site in SITES if Site.parse(site).component in model.backend.components]
    found = model.forward(rows, sites, steer, logits=logits)
    assert runs_alike(model.backend, 13) and widths[-1] == 3
    with _row_by_row(monkeypatch):
        plain = model.forward(rows, sites, steer, logits=logits)
    assert widths[-1] == len(rows)
    for site in sites:
        for row, length in enumerate(plain.lengths):
            one, other = (each.activations[site][row, :length] for each in (found, plain))
            torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)
    if logits:
        for row, length in enumerate(plain.lengths):
            torch.testing.assert_close(found.logits[row, :length], plain.logits[row, :length], atol=2e-4, rtol=1e-4)


def test_completions_and_scores_of_rows_steered_from_the_first_token_on_are_those_of_the_plain_pass(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, widths: list[int]
) -> None:
    cells = [[Add(v, 0.3, site=layer, scope=Scope.everywhere())] for layer in (1, 3) for v in (ONE, TWO)]
    rows, steer = PROMPTS * len(cells), side_by_side(cells, model, len(PROMPTS))
    parts = [[" a", " b c", " z y"]] * len(rows)

    def both() -> tuple[list[Any], list[Any]]:
        drawn = model.generate(rows, max_new_tokens=5, temperature=0, interventions=steer)
        return [row[0].tokens for row in drawn], [
            x.token_logprobs for row in model.score(rows, parts, steer) for x in row
        ]

    model.score(rows[:1], parts[:1])  # the try of trees is done
    tokens, scores = both()
    before = len(widths)
    with _row_by_row(monkeypatch):
        expected, plain = both()
    assert tokens == expected
    for one, other in zip(scores, plain, strict=True):
        assert one == pytest.approx(other, abs=2e-4)
    assert 3 in widths[:before] and 3 not in widths[before:]  # "q" has a shared part of its own: the BOS


def test_rows_that_nothing_touches_equal_the_unsteered_ones_bit_for_bit(model: LanguageModel) -> None:
    rows, nothing = PROMPTS * 3, [Add(ONE, torch.zeros(12), site=1), Add(TWO, dose=0.0, site=2)]
    plain, zero = (model.forward(rows, [3], steer, logits=True) for steer in ([], nothing))
    assert torch.equal(plain.logits, zero.logits) and torch.equal(plain.activations[3], zero.activations[3])


def test_rows_come_apart_where_they_are_touched_and_not_before() -> None:
    model = tiny_model()
    cells = [[], [Add(ONE, 1.0, site=1)], [Add(ONE, 1.0, site=3)], [Add(TWO, 1.0, site="3.mlp_out")]]
    steer = side_by_side(cells, model, 2)
    rows = model.encode_all(["a b", "c d e"] * 4)
    course = Course.of(model._pad(rows), model._where(rows, range(8)), steer)
    stages = {site: course.at(Site.parse(site)).rows.tolist() for site in ("1.mlp_out", "1.resid_post", "2.resid_post")}
    assert stages == {"1.mlp_out": [0, 1], "1.resid_post": [0, 1, 2, 3], "2.resid_post": [0, 1, 2, 3]}
    assert course.at(Site(3, "resid_pre")).rows.tolist() == [0, 1, 2, 3, 6, 7]  # mlp_out: from the block's entry on
    assert course.last is course.at(Site(3)) and len(course.last.rows) == 8


def test_what_does_not_say_which_rows_it_touches_is_handed_all_of_them(add: Any, watch: Any) -> None:
    model, seen = tiny_model(), []
    see = watch(Site(1), lambda activation, where: seen.append(where.rows[:, 0].tolist()))
    model.forward(["a b"] * 4, 2, [see])
    assert seen == [[0, 1, 2, 3]]


def test_a_row_without_a_value_is_refused_though_its_tokens_are_anothers() -> None:
    with pytest.raises(Exception, match="values for 2 rows, the batch has a row 2"):
        tiny_model().forward(["a b"] * 3, [2], [Add(ONE, torch.zeros(2), site=1)])


def test_a_kept_cache_holds_the_keys_of_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    rows, steer = ["a b c d"] * 3, [Add(torch.stack([ONE, TWO, 0 * ONE]), site=1)]
    cache = model.prompt_cache()
    first = model.generate(rows, max_new_tokens=3, temperature=0, interventions=steer, cache=cache)
    assert {len(layer.keys) for layer in cache.keys_values.layers} == {3}
    cache.select([2, 0])
    again = model.generate(rows[:2], max_new_tokens=3, temperature=0, cache=cache)
    assert again[0][0].tokens == again[1][0].tokens == first[2][0].tokens


@pytest.mark.parametrize("backend", ["transformer_lens", "nnsight"])
def test_other_back_ends_run_every_row(backend: str) -> None:
    assert not runs_alike(with_backend(tiny_model(), backend).backend, 4)


def test_a_model_that_mixes_its_rows_is_found_out() -> None:
    """Like batch statistics: what a row becomes depends on how many rows there are."""
    model = tiny_model()
    block = model.backend.hf_model.model.layers[2]
    block.register_forward_hook(lambda _module, _args, output: output + output.mean(0, keepdim=True))
    assert not runs_alike(model.backend, 4)


def test_arguments_with_as_many_entries_as_there_are_rows_are_not_taken_for_the_batchs() -> None:
    """Positions [pos] beside a batch of as many rows."""
    model = tiny_model()
    rows, steer = ["a b c", "d e f", "g h i", "j k l"] * 2, side_by_side([[Add(ONE, site=1)], []], model, 4)
    found = model.forward(rows, [3], steer).activations[3]
    alone = [model.forward([row], [3], steer, row_numbers=[k]).activations[3][0] for k, row in enumerate(rows)]
    torch.testing.assert_close(found, torch.stack(alone), atol=1e-4, rtol=1e-4)


def test_hooks_are_gone_when_a_pass_raises(watch: Any) -> None:
    model = tiny_model()

    class Break:
        site, scope = Site(3), Scope()

        def acts_on(self, rows: Tensor) -> Tensor:
            return rows == 1

        def __call__(self, activation: Tensor, where: Where) -> Tensor:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        model.forward(["a b"] * 3, [3], [Add(ONE, torch.tensor([0.0, 0, 1]), site=1), Break()])
    modules = model.backend.hf_model.modules()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
