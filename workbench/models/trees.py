"""How completions and continuations lie in a batch: as the leaves of token trees.

Rows with the same prompt share one *tree* (see :mod:`workbench.models.cache` for how it lies in a batch).  A tree's
shared part is the prompt but its last token; each *leaf* (a completion or a continuation) starts by running that last
token itself, so that leaves steered in different ways can share a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.errors import ModelError
from workbench.models import alike
from workbench.models.backend import Backend
from workbench.models.cache import SHARED, PromptCache
from workbench.models.interventions import Intervention, Where, hooks_for
from workbench.seeding import derive_seed

# A batch of so many leaves keeps a machine busy: a larger one saves little, and its padding costs.
ENOUGH = 256
MOST_LEAVES = 16


@dataclass
class Leaf:
    """One completion or continuation: the caller's ``row``, the ``seed`` it is drawn with, its tokens so far.

    ``within``: continuations that need no pass of their own (see :func:`merged`).
    """

    row: int
    seed: int = 0
    tokens: list[int] = field(default_factory=list)
    token_logprobs: list[float] = field(default_factory=list)
    finish: str = ""
    within: list[Leaf] = field(default_factory=list)

    def start(self) -> None:
        """Forget what was drawn."""
        self.tokens, self.token_logprobs, self.finish = [], [], ""


@dataclass
class Tree:
    """A prompt, the caller's row whose interventions reach into it, and the leaves that grow from it."""

    prompt: list[int]
    row: int
    leaves: list[Leaf]


class Stretch(NamedTuple):
    """New tokens of the caller's ``row``, from the absolute position ``start`` on: those of a leaf, by its number in
    its tree, or of the shared part."""

    leaf: int
    row: int
    start: int
    tokens: list[int]


def seeded_leaves(counts: Sequence[int], seeds: int | Sequence[int]) -> list[list[Leaf]]:
    """``counts[row]`` empty leaves a row, each with a seed from its row's (itself derived from one seed, if one is
    given) and its index."""
    base = [derive_seed(seeds, row) for row in range(len(counts))] if isinstance(seeds, int) else seeds
    return [
        [Leaf(row, derive_seed(int(seed), index)) for index in range(n)]
        for row, (n, seed) in enumerate(zip(counts, base, strict=True))
    ]


def merged(continuations: Sequence[Leaf]) -> list[Leaf]:
    """Those of one row's continuations that have to be run; each holds ``within`` it the others that begin as it does,
    whose scores are read off the same pass.  So any number of single tokens cost one token.

    >>> ab, abc, x = (Leaf(0, tokens=tokens) for tokens in ([1, 2], [1, 3, 4], [5]))
    >>> [(leaf.tokens, [other.tokens for other in leaf.within]) for leaf in merged([ab, abc, x])]
    [([1, 3, 4], [[1, 2], [5]])]
    """
    run: list[Leaf] = []
    # In descending order, what is a beginning of others comes right behind them.
    for leaf in sorted(continuations, key=lambda leaf: leaf.tokens[:-1], reverse=True):
        fed = leaf.tokens[:-1]
        if run and run[-1].tokens[: len(fed)] == fed:
            run[-1].within.append(leaf)
        else:
            run.append(leaf)
    return run


def plant(prompts: list[list[int]], leaves: list[list[Leaf]], interventions: Sequence[Intervention]) -> list[Tree]:
    """One tree for each distinct prompt; for each row where an intervention reaches before the last prompt token."""
    trees: dict[object, Tree] = {}
    for row, (prompt, own) in enumerate(zip(prompts, leaves, strict=True)):
        key = (tuple(prompt), row if early(prompt, interventions) else -1)
        trees.setdefault(key, Tree(prompt, row, [])).leaves.extend(own)
    return list(trees.values())


def early(prompt: list[int], interventions: Sequence[Intervention]) -> bool:
    """Whether an intervention may touch a prompt token other than the last."""
    firsts = [i.scope.first_position(len(prompt)) for i in interventions]
    return any(first is not None and first < len(prompt) - 1 for first in firsts)


def fan_out(trees: Sequence[Tree], cache: PromptCache) -> list[Tree]:
    """Split trees with many leaves, copying their prompts' keys and values: a leaf's attention also reads (and masks
    out) the leaves beside it, so a few trees with some leaves are faster than one with very many."""
    pieces = [
        (i, Tree(tree.prompt, tree.row, tree.leaves[start : start + MOST_LEAVES]))
        for i, tree in enumerate(trees)
        for start in range(0, len(tree.leaves), MOST_LEAVES)
    ]
    rows = [i for i, _ in pieces]
    if rows != list(range(len(trees))):
        cache.select(rows)
    return [tree for _, tree in pieces]


def halved(trees: list[Tree], backend: Backend) -> list[list[Tree]]:
    """Half of the trees, or of the leaves of one, and the other half; :class:`ModelError` for a single leaf."""
    if len(trees) > 1:
        return [trees[: len(trees) // 2], trees[len(trees) // 2 :]]
    [tree] = trees
    half = len(tree.leaves) // 2
    if not half:
        raise ModelError(
            f"out of memory: one row with a prompt of {len(tree.prompt)} tokens does not fit beside"
            f" {type(backend.hf_model).__name__} on {backend.device}: shorten the prompt or ask for fewer new tokens"
        )
    return [[Tree(tree.prompt, tree.row, leaves)] for leaves in (tree.leaves[:half], tree.leaves[half:])]


def in_pieces(trees: Sequence[Tree], budget: int, new_tokens: int) -> list[Tree]:
    """The trees, those with more leaves than fit into ``budget`` token slots as several on the same prompt."""
    pieces = []
    for tree in trees:
        most = max(1, budget // (len(tree.prompt) + MOST_LEAVES * new_tokens)) * MOST_LEAVES
        starts = range(0, len(tree.leaves), most)
        parts = [Tree(tree.prompt, tree.row, tree.leaves[start : start + most]) for start in starts]
        pieces += [tree] if len(parts) == 1 else parts
    return pieces


def in_chunks(trees: Sequence[Tree], budget: int, new_tokens: int) -> Iterator[list[Tree]]:
    """Trees of similar length, as many at once as their caches fit into ``budget`` token slots (at least one).

    Every tree is padded to the longest's length, so once a chunk has :data:`ENOUGH` leaves, no tree more than a quarter
    longer than its shortest joins it."""
    chunk: list[Tree] = []
    for tree in sorted(trees, key=lambda t: len(t.prompt)):
        rows = sum(-(-len(t.leaves) // MOST_LEAVES) for t in [*chunk, tree])
        width = len(tree.prompt) + min(MOST_LEAVES, max(len(t.leaves) for t in [*chunk, tree])) * new_tokens
        enough = sum(len(t.leaves) for t in chunk) >= ENOUGH
        if chunk and (width * rows > budget or (enough and len(tree.prompt) > 1.25 * len(chunk[0].prompt))):
            yield chunk
            chunk = []
        chunk.append(tree)
    if chunk:
        yield chunk


def last_tokens(trees: Sequence[Tree], alive: Sequence[list[int]], step: int) -> list[list[Stretch]]:
    """The last token of each leaf that is alive, which the next one follows."""
    return [
        [
            Stretch(k, tree.leaves[k].row, len(tree.prompt) - 1 + step, [(tree.leaves[k].tokens or tree.prompt)[-1]])
            for k in numbers
        ]
        for tree, numbers in zip(trees, alive, strict=True)
    ]


def whole_leaves(trees: Sequence[Tree]) -> list[list[Stretch]]:
    """All tokens that the next one of some leaf follows."""
    return [
        [
            Stretch(k, leaf.row, len(tree.prompt) - 1, [tree.prompt[-1], *leaf.tokens[:-1]])
            for k, leaf in enumerate(tree.leaves)
        ]
        for tree in trees
    ]


def lay(trees: Sequence[Tree], stretches: Sequence[list[Stretch]], device: torch.device) -> tuple[Tensor, ...]:
    """Tokens, positions, leaf numbers, rows and prompt lengths of the stretches, each [tree, pos], padded on the right.

    No slot of padding is ever seen (its position is -1), and beside leaves it is numbered past all of them."""
    flat = [(i, one) for i, own in enumerate(stretches) for one in own]
    counts = np.array([len(one.tokens) for _, one in flat])
    each = np.array([(i, one.start, one.leaf, one.row, len(trees[i].prompt)) for i, one in flat])
    each = each.repeat(counts, axis=0)  # [token, (tree, position, leaf, row, prompt length)]
    index = np.arange(len(each))
    each[:, 1] += index - np.repeat(counts.cumsum() - counts, counts)
    widths = np.bincount(each[:, 0], minlength=len(trees))
    laid = np.zeros((5, len(trees), widths.max()), dtype=np.int64)
    laid[1], laid[2] = -1, SHARED if flat[0][1].leaf == SHARED else np.iinfo(np.int32).max
    tokens = [token for _, one in flat for token in one.tokens]
    laid[:, each[:, 0], index - (widths.cumsum() - widths)[each[:, 0]]] = np.stack([tokens, *each.T[1:]])
    return torch.from_numpy(laid).to(device).unbind()


# ---- passes


def run_shared(
    backend: Backend, trees: Sequence[Tree], cache: PromptCache, interventions: Sequence[Intervention] = ()
) -> None:
    """Run what the cache lacks of the shared part of every tree."""
    shared = [tree.prompt[:-1] for tree in trees]
    missing = cache.sync(shared)
    if not any(missing):
        return
    stretches = [
        [Stretch(SHARED, tree.row, len(tree.prompt) - 1 - len(part), part)]
        for tree, part in zip(trees, missing, strict=True)
    ]
    if cache.slots:
        run_stretches(backend, trees, stretches, cache, interventions, logits=False)
    else:
        tokens, positions, leaves, rows, lengths = lay(trees, stretches, backend.device)
        where = Where(positions, rows, lengths)
        alike.run(backend, tokens, where, interventions, cache=cache.keys_values, logits=False)
        cache.append(positions, leaves)
    cache.tokens = shared


def run_stretches(
    backend: Backend,
    trees: Sequence[Tree],
    stretches: Sequence[list[Stretch]],
    cache: PromptCache,
    interventions: Sequence[Intervention] = (),
    logits: bool = True,
) -> Tensor | None:
    """Run new tokens; logits [tree, pos, vocab], the stretches of a tree side by side along ``pos``."""
    tokens, positions, leaves, rows, lengths = lay(trees, stretches, backend.device)
    mask = cache.mask(positions, leaves)
    out = backend.forward(
        tokens,
        positions=None if mask is None and not cache.slots else positions.clamp(min=0),
        mask=mask,
        cache=cache.keys_values,
        hooks=hooks_for(interventions, Where(positions, rows, lengths)),
        logits=logits,
    )
    cache.append(positions, leaves)
    return out
