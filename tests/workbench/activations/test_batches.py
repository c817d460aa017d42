"""Batches: every sequence once, within the budget, little padding, smaller when memory runs out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.activations import ActivationSet, capture, replay
from workbench.activations.batches import Budget, Pass, _next_batch, run_passes
from workbench.errors import ModelError, SpecError, WorkbenchError
from workbench.models.tiny import tiny_model
from workbench.sites import Site


def passes_of(lengths):
    return [Pass(list(range(n)), [n - 1], [i]) for i, n in enumerate(lengths)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 400), st.integers(0, 40))
def test_batches_hold_every_pass_once_within_budget_and_padding(lengths, tokens, pass_cost):
    waiting = sorted(passes_of(lengths), key=lambda one: -len(one.tokens))
    start, seen = 0, []
    while start < len(waiting):
        batch = _next_batch(waiting, start, tokens, pass_cost)
        longest = len(batch[0].tokens)
        assert len(batch) == 1 or longest * len(batch) <= tokens
        assert sum(longest - len(one.tokens) for one in batch) <= pass_cost
        seen += [one.rows[0] for one in batch]
        start += len(batch)
    assert sorted(seen) == list(range(len(lengths)))


@pytest.fixture
def short_of_memory(model, monkeypatch):
    """The model, on a machine where a batch of more than 40 tokens does not fit; and the batches that did."""
    forward, sizes = type(model).forward, []

    def limited(self, prompts, *args, **kwargs):
        size = len(prompts) * max(map(len, prompts))
        if size > 40:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        sizes.append(size)
        return forward(self, prompts, *args, **kwargs)

    monkeypatch.setattr(type(model), "forward", limited)
    return model, sizes


def test_batches_halve_when_memory_runs_out_and_stay_small(short_of_memory):
    model, sizes = short_of_memory
    passes, budget = passes_of([8] * 20), Budget(160)
    found = run_passes(model, passes, [Site(1)], budget)
    assert sizes == [40] * 4  # 20 rows, 10 rows, 5 rows: and on with 5
    assert budget.tokens == 40
    plain = run_passes(tiny_model(), passes, [Site(1)], Budget(160))
    assert torch.allclose(found[Site(1)], plain[Site(1)], atol=1e-5)


def test_single_input_that_does_not_fit_is_one_clear_line(short_of_memory):
    with pytest.raises(ModelError, match="out of memory: one input of 41 tokens does not fit"):
        run_passes(short_of_memory[0], passes_of([41]), [Site(1)], Budget(160))


@pytest.mark.parametrize(
    ("read", "way_out"),
    [
        (lambda model, folder: capture(model, ["a b"] * 3, [1], "all"), "let capture_to_store keep them on disk"),
        (lambda model, folder: replay(model, [["a", "a b"]], [1]), "replay fewer episodes"),
        (lambda model, folder: ActivationSet.load(folder), "go through the store shard by shard"),
    ],
)
def test_rows_that_do_not_fit_are_one_line_that_says_a_way_out(model, tmp_path, monkeypatch, read, way_out):
    capture(model, ["a b"], [1]).save(tmp_path)

    def full(*_args, **_kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 102400000 bytes")

    monkeypatch.setattr(torch.Tensor, "new_empty", full)  # capture and replay
    monkeypatch.setattr(torch, "empty", full)  # a store
    with pytest.raises(WorkbenchError, match=rf"^out of memory: \d rows .*{way_out}") as caught:
        read(model, tmp_path)
    assert "\n" not in str(caught.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory(model, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(type(model), "forward", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run_passes(model, passes_of([3]), [Site(1)], Budget(10))


def test_budget_is_positive_and_automatic_when_not_given(model):
    assert Budget.of(model, 7).tokens == 7
    assert Budget.of(model).tokens >= 512
    with pytest.raises(SpecError, match="batch_tokens must be an integer of at least 1, not 0"):
        Budget.of(model, 0)
