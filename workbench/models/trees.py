"""Decoding and scoring over token trees: one algorithm for every back end.

Rows with the same prompt share one tree.  A tree's shared part is the prompt but its last token; each *leaf* (a
completion or a continuation) starts by running that last token itself, so that leaves steered in different ways can
share a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.models.backend import Backend, Hook
from workbench.models.cache import PromptCache, pad_right
from workbench.models.interventions import Intervention, Where, act
from workbench.sites import Site

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MOST_LEAVES", "Leaf", "Tree", "fan_out", "grow_shared", "hooks_for", "plant", "run_leaves"]

MOST_LEAVES = 16


@dataclass
class Leaf:
    """One completion or continuation: the caller's ``row``, its ``index`` within the row, its tokens so far."""

    row: int
    index: int
    tokens: list[int] = field(default_factory=list)
    token_logprobs: list[float] = field(default_factory=list)
    finish: str = ""


@dataclass
class Tree:
    """A prompt, the caller's row whose interventions reach into it, and the leaves that grow from it."""

    prompt: list[int]
    row: int
    leaves: list[Leaf]


def plant(prompts: Sequence[list[int]], leaves: Sequence[int], interventions: Sequence[Intervention]) -> list[Tree]:
    """One tree for each distinct prompt; for each row where an intervention reaches before the last prompt token."""
    trees: dict[object, Tree] = {}
    for row, (prompt, n) in enumerate(zip(prompts, leaves, strict=True)):
        key = (tuple(prompt), row if early(prompt, interventions) else -1)
        tree = trees.setdefault(key, Tree(prompt, row, []))
        tree.leaves += [Leaf(row, index) for index in range(n)]
    return list(trees.values())


def early(prompt: list[int], interventions: Sequence[Intervention]) -> bool:
    """Whether an intervention may touch a prompt token other than the last."""
    firsts = [i.scope.first_position(len(prompt)) for i in interventions]
    return any(first is not None and first < len(prompt) - 1 for first in firsts)


def hooks_for(interventions: Sequence[Intervention], where: Where) -> dict[Site, Hook]:
    """Interventions as hooks; several at one site act in the order given."""
    hooks: dict[Site, Hook] = {}
    for site in {i.site for i in interventions}:
        chain = [i for i in interventions if i.site == site]

        def hook(activation: Tensor, chain: list[Intervention] = chain) -> Tensor:
            for intervention in chain:
                activation = act(intervention, activation, where)
            return activation

        hooks[site] = hook
    return hooks


def grow_shared(
    backend: Backend, trees: Sequence[Tree], cache: PromptCache, interventions: Sequence[Intervention]
) -> None:
    """Run what the cache lacks of the shared part of every tree."""
    import torch

    shared = [tree.prompt[:-1] for tree in trees]
    missing = cache.sync(shared)
    if not any(missing):
        return
    device = backend.device
    tokens = pad_right(missing, 0, device)
    offsets = [len(whole) - len(part) for whole, part in zip(shared, missing, strict=True)]
    positions = pad_right(
        [list(range(o, o + len(part))) for o, part in zip(offsets, missing, strict=True)], -1, device
    )  # [tree pos]
    leaves = torch.full_like(positions, -1)
    mask = cache.mask(positions, leaves)
    rows = torch.tensor([[tree.row] for tree in trees], device=device).expand_as(positions)
    lengths = torch.tensor([[len(tree.prompt)] for tree in trees], device=device).expand_as(positions)
    backend.forward(
        tokens,
        positions=None if mask is None else positions.clamp(min=0),
        mask=mask,
        cache=cache.keys_values,
        hooks=hooks_for(interventions, Where(positions, rows, lengths)),
        logits=False,
    )
    cache.append(positions, leaves)
    cache.tokens = shared


def fan_out(trees: Sequence[Tree], cache: PromptCache) -> list[Tree]:
    """Split trees with many leaves, copying their prompts' keys and values: a leaf's attention also reads (and masks
    out) the leaves beside it, so a few trees with some leaves are faster than one with very many."""
    pieces = [
        (i, Tree(tree.prompt, tree.row, tree.leaves[start : start + MOST_LEAVES]))
        for i, tree in enumerate(trees)
        for start in range(0, len(tree.leaves), MOST_LEAVES)
    ]
    if len(pieces) > len(trees):
        cache.select([i for i, _ in pieces])
    return [tree for _, tree in pieces]


def lay(
    trees: Sequence[Tree], blocks: Sequence[Sequence[tuple[int, list[int], int]]], device: Any
) -> tuple[Tensor, ...]:
    """Tokens, positions, leaf numbers, rows and prompt lengths of the blocks, each [tree, pos], padded on the right.

    Padding is nobody's leaf: it is numbered past all leaves, and no slot of it is ever seen (its position is -1)."""
    import torch

    counts = np.array([len(tokens) for tree in blocks for _, tokens, _ in tree])
    each = np.array(
        [(i, start, k, trees[i].leaves[k].row, len(trees[i].prompt)) for i, t in enumerate(blocks) for k, _, start in t]
    ).repeat(counts, axis=0)  # [token, (tree, position of its block, leaf, row, prompt length)]
    index = np.arange(len(each))
    each[:, 1] += index - np.repeat(counts.cumsum() - counts, counts)
    widths = np.bincount(each[:, 0], minlength=len(blocks))
    laid = np.zeros((5, len(blocks), widths.max()), dtype=np.int64)
    laid[1], laid[2] = -1, np.iinfo(np.int32).max
    tokens = [token for tree in blocks for _, part, _ in tree for token in part]
    laid[:, each[:, 0], index - (widths.cumsum() - widths)[each[:, 0]]] = np.stack([tokens, *each.T[1:]])
    return torch.from_numpy(laid).to(device).unbind()


def run_leaves(
    backend: Backend,
    trees: Sequence[Tree],
    blocks: Sequence[Sequence[tuple[int, list[int], int]]],
    cache: PromptCache,
    interventions: Sequence[Intervention],
) -> Tensor:
    """Run new tokens of leaves.  ``blocks[tree]`` lists (leaf number, tokens, absolute position of the first).

    Returns logits [tree, pos, vocab], the blocks of a tree side by side along ``pos``.
    """

    tokens, positions, leaves, rows, lengths = lay(trees, blocks, backend.device)
    logits = backend.forward(
        tokens,
        positions=positions.clamp(min=0),
        mask=cache.mask(positions, leaves),
        cache=cache.keys_values,
        hooks=hooks_for(interventions, Where(positions, rows, lengths)),
    )
    cache.append(positions, leaves)
    assert logits is not None
    return logits
