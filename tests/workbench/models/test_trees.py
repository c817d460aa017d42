"""How leaves lie in trees, and trees in batches."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.models.trees import ENOUGH, MOST_LEAVES, Leaf, Tree, in_chunks, in_pieces, merged, seeded_leaves


@settings(max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 200))
def test_chunks_hold_every_tree_once_within_the_budget(lengths: list[int], budget: int) -> None:
    trees = [Tree([1] * n, i, [Leaf(i), Leaf(i)]) for i, n in enumerate(lengths)]
    parts = list(in_chunks(trees, budget, new_tokens=4))
    assert sorted(id(t) for part in parts for t in part) == sorted(id(t) for t in trees)
    for part in parts:
        assert len(part) == 1 or len(part) * (max(len(t.prompt) for t in part) + 8) <= budget


@settings(max_examples=40)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=40))
def test_a_batch_with_leaves_enough_is_not_padded_far(lengths: list[int]) -> None:
    trees = [Tree([1] * n, i, [Leaf(i) for _ in range(60)]) for i, n in enumerate(lengths)]
    for part in in_chunks(trees, 10**9, new_tokens=4):
        assert all(len(tree.prompt) <= 1.25 * len(part[0].prompt) for tree in part[-(-ENOUGH // 60) :])


def test_short_prompts_fill_a_batch_with_long_ones() -> None:
    trees = [Tree([1] * n, i, [Leaf(i)]) for i, n in enumerate((1, 10, 100))]
    assert len(list(in_chunks(trees, 10**9, new_tokens=4))) == 1


def test_seeds_of_completions_never_repeat() -> None:
    seeds = [[leaf.seed for leaf in leaves] for leaves in seeded_leaves([20] * 50, 0)]
    assert {len(row) for row in seeds} == {20} and len({seed for row in seeds for seed in row}) == 1000


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), max_size=12))
def test_of_continuations_only_those_that_begin_otherwise_are_run(tokens: list[list[int]]) -> None:
    leaves = [Leaf(0, tokens=own) for own in tokens]
    run = merged(leaves)
    assert sorted(id(x) for leaf in run for x in (leaf, *leaf.within)) == sorted(map(id, leaves))
    for leaf in run:
        assert not any(other.within for other in leaf.within)
        assert all(other.tokens[:-1] == leaf.tokens[: len(other.tokens) - 1] for other in leaf.within)
    fed = [leaf.tokens[:-1] for leaf in run]
    assert not any(a == b[: len(a)] for i, a in enumerate(fed) for j, b in enumerate(fed) if i != j)


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 400))
def test_a_prompt_with_many_leaves_becomes_several_that_fit(n: int, budget: int) -> None:
    tree = Tree([1] * 5, 0, [Leaf(0) for _ in range(n)])
    parts = in_pieces([tree], budget, new_tokens=4)
    assert [id(leaf) for part in parts for leaf in part.leaves] == [id(leaf) for leaf in tree.leaves]
    for part in parts:
        rows = -(-len(part.leaves) // MOST_LEAVES)
        assert rows == 1 or rows * (5 + 4 * MOST_LEAVES) <= budget
