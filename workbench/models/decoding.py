"""Decoding: sampling completions and scoring continuations, one algorithm for every back end.

Rows with the same prompt share one *tree* (see :mod:`workbench.models.cache` for how it lies in a batch).  A tree's
shared part is the prompt but its last token; each *leaf* (a completion or a continuation) starts by running that last
token itself, so that leaves steered in different ways can share a prompt.  Trees run in batches that fit into memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from workbench.errors import ModelError
from workbench.models.backend import Backend
from workbench.models.cache import SHARED, PromptCache
from workbench.models.interventions import Intervention, Where, hooks_for
from workbench.models.memory import in_halves, slot_budget
from workbench.models.sampling import sample
from workbench.seeding import derive_seed

# A batch of so many leaves keeps a machine busy: a larger one saves little, and its padding costs.
ENOUGH = 256
MOST_LEAVES = 16


@dataclass(frozen=True)
class Completion:
    """A sampled completion.  ``tokens`` are without the end token; ``logprob`` is the model's own (at temperature 1,
    nothing cut off) over ``tokens`` and the end token if drawn; ``finish`` is ``stop``, ``eos`` or ``length``."""

    text: str
    tokens: list[int]
    logprob: float
    finish: str


@dataclass(frozen=True)
class Score:
    """Log-probability (nats) of a continuation: in all, and token by token."""

    logprob: float
    tokens: list[int]
    token_logprobs: list[float]


@dataclass(frozen=True)
class Sampling:
    """How to sample; ``temperature`` 0 is greedy.  ``stop`` strings in the ``text_of`` its tokens end a completion (and
    are kept in its text), as ``eos`` tokens do."""

    text_of: Callable[[list[int]], str]
    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    eos: frozenset[int] = frozenset()


@dataclass
class Leaf:
    """One completion or continuation: the caller's ``row``, the ``seed`` it is drawn with, its tokens so far."""

    row: int
    seed: int = 0
    tokens: list[int] = field(default_factory=list)
    token_logprobs: list[float] = field(default_factory=list)
    finish: str = ""


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


@dataclass(frozen=True)
class Decoder:
    """Fills leaves: draws their tokens as ``sampling`` says or, without it, scores the tokens that they hold.

    ``advance`` is told how many completions have just finished.
    """

    backend: Backend
    interventions: Sequence[Intervention] = ()
    sampling: Sampling | None = None
    advance: Callable[[int], object] | None = None

    def fill(self, prompts: list[list[int]], leaves: list[list[Leaf]], cache: PromptCache | None = None) -> None:
        """Fill ``leaves[row]`` of each prompt, in the caller's cache or in batches that fit into memory."""
        with torch.inference_mode():  # results are plain numbers, and it spares autograd's bookkeeping
            if cache is not None:
                self._fill_cached(prompts, leaves, cache)
                return
            trees = [tree for tree in plant(prompts, leaves, self.interventions) if tree.leaves]
            chunks = in_chunks(trees, slot_budget(self.backend), self._new_tokens(leaves))
            in_halves(self.run, chunks)

    def _new_tokens(self, leaves: list[list[Leaf]]) -> int:
        if self.sampling is not None:
            return self.sampling.max_new_tokens
        return max((len(leaf.tokens) for row in leaves for leaf in row), default=0)

    def _fill_cached(self, prompts: list[list[int]], leaves: list[list[Leaf]], cache: PromptCache) -> None:
        if any(early(prompt, self.interventions) for prompt in prompts):
            raise ModelError("a prompt cache cannot be used with interventions before the last prompt token")
        trees = [Tree(prompt, row, own) for row, (prompt, own) in enumerate(zip(prompts, leaves, strict=True))]
        try:
            self.run(trees, cache, keep_rows=True)
        except BaseException:
            cache.clear()  # a pass that broke off has filled some layers and not others
            raise

    def run(self, trees: Sequence[Tree], cache: PromptCache | None = None, keep_rows: bool = False) -> None:
        """Fill the leaves of trees as one batch; ``keep_rows``: the cache's rows must stay those of ``trees``."""
        cache = PromptCache.of(self.backend) if cache is None else cache
        self.grow_shared(trees, cache)
        if self.sampling is None:
            self._score(trees, cache)
        else:
            self._sample(trees if keep_rows else fan_out(trees, cache), cache, self.sampling)

    def grow_shared(self, trees: Sequence[Tree], cache: PromptCache) -> None:
        """Run what the cache lacks of the shared part of every tree."""
        shared = [tree.prompt[:-1] for tree in trees]
        missing = cache.sync(shared)
        if any(missing):
            stretches = [
                [Stretch(SHARED, tree.row, len(tree.prompt) - 1 - len(part), part)]
                for tree, part in zip(trees, missing, strict=True)
            ]
            self._pass(trees, stretches, cache, logits=False)
            cache.tokens = shared

    def _pass(
        self, trees: Sequence[Tree], stretches: Sequence[list[Stretch]], cache: PromptCache, logits: bool = True
    ) -> Tensor | None:
        """Run new tokens; logits [tree, pos, vocab], the stretches of a tree side by side along ``pos``."""
        tokens, positions, leaves, rows, lengths = lay(trees, stretches, self.backend.device)
        mask = cache.mask(positions, leaves)
        out = self.backend.forward(
            tokens,
            positions=None if mask is None and not cache.slots else positions.clamp(min=0),
            mask=mask,
            cache=cache.keys_values,
            hooks=hooks_for(self.interventions, Where(positions, rows, lengths)),
            logits=logits,
        )
        cache.append(positions, leaves)
        return out

    def _sample(self, trees: Sequence[Tree], cache: PromptCache, sampling: Sampling) -> None:
        """Draw token after token; finished leaves leave the batch."""
        for leaf in (leaf for tree in trees for leaf in tree.leaves):
            leaf.tokens, leaf.token_logprobs, leaf.finish = [], [], ""
        kept = sum(len(tree.leaves) for tree in trees)
        alive = [list(range(len(tree.leaves))) for tree in trees]
        for step in range(sampling.max_new_tokens):
            logits = self._pass(trees, _last_tokens(trees, alive, step), cache)  # [tree leaf vocab]
            assert logits is not None
            leaves = [tree.leaves[k] for tree, numbers in zip(trees, alive, strict=True) for k in numbers]
            _extend(leaves, _filled([len(numbers) for numbers in alive], logits), step, sampling)
            alive = [[k for k in ks if not tree.leaves[k].finish] for tree, ks in zip(trees, alive, strict=True)]
            if self.advance:
                self.advance(sum(bool(leaf.finish) for leaf in leaves))
            left = sum(map(len, alive))
            if not left:
                break
            if left <= kept // 2:
                cache.keep_leaves(alive)
                kept = left

    def _score(self, trees: Sequence[Tree], cache: PromptCache) -> None:
        """One pass over all continuations of all trees."""
        stretches = [
            [
                Stretch(k, leaf.row, len(tree.prompt) - 1, [tree.prompt[-1], *leaf.tokens[:-1]])
                for k, leaf in enumerate(tree.leaves)
            ]
            for tree in trees
        ]
        logits = self._pass(trees, stretches, cache)
        assert logits is not None
        for row, tree in zip(logits.float().log_softmax(-1), trees, strict=True):
            lengths = [len(leaf.tokens) for leaf in tree.leaves]
            for leaf, logprobs in zip(tree.leaves, row[: sum(lengths)].split(lengths), strict=True):
                leaf.token_logprobs = logprobs[range(len(leaf.tokens)), leaf.tokens].tolist()
                _require_finite([leaf], [sum(leaf.token_logprobs)], "a continuation")


def _last_tokens(trees: Sequence[Tree], alive: Sequence[list[int]], step: int) -> list[list[Stretch]]:
    """The last token of each leaf that is alive, which the next one follows."""
    return [
        [
            Stretch(k, tree.leaves[k].row, len(tree.prompt) - 1 + step, [(tree.leaves[k].tokens or tree.prompt)[-1]])
            for k in numbers
        ]
        for tree, numbers in zip(trees, alive, strict=True)
    ]


def _filled(counts: list[int], logits: Tensor) -> Tensor:
    """The logits [leaf, vocab] of the leaves, tree by tree, out of [tree, pos, vocab]."""
    if min(counts) == logits.shape[1]:
        return rearrange(logits, "tree pos vocab -> (tree pos) vocab")
    widths = torch.tensor(counts, device=logits.device)
    return logits[torch.arange(logits.shape[1], device=logits.device) < rearrange(widths, "tree -> tree 1")]


def _extend(leaves: Sequence[Leaf], logits: Tensor, step: int, sampling: Sampling) -> None:
    """Draw the next token of each leaf from its logits [leaf, vocab]."""
    seeds = np.array([leaf.seed for leaf in leaves], dtype=np.uint64)
    drawn = sample(logits, seeds, step, sampling.temperature, sampling.top_p, sampling.top_k)
    logprobs = logits.float().log_softmax(-1).gather(1, drawn[:, None])[:, 0].tolist()
    _require_finite(leaves, logprobs, f"step {step}")
    for leaf, token, logprob in zip(leaves, drawn.tolist(), logprobs, strict=True):
        leaf.token_logprobs.append(logprob)
        if token in sampling.eos:
            leaf.finish = "eos"
            continue
        leaf.tokens.append(token)
        if sampling.stop and any(stop in sampling.text_of(leaf.tokens) for stop in sampling.stop):
            leaf.finish = "stop"
        elif len(leaf.tokens) == sampling.max_new_tokens:
            leaf.finish = "length"


def _require_finite(leaves: Sequence[Leaf], logprobs: Sequence[float], what: str) -> None:
    """Raise :class:`ModelError` where logits were not finite: then the log-probability of any token is NaN."""
    for leaf, logprob in zip(leaves, logprobs, strict=True):
        if math.isnan(logprob):
            raise ModelError(
                f"the logits of prompt {leaf.row} are not finite at {what}: a weight or a steered activation is not"
            )


# ---- trees


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
