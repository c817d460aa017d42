"""Sampling completions and scoring continuations (see :mod:`workbench.models.trees` for how they share prompts)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import ModelError
from workbench.models.backend import Backend
from workbench.models.cache import PromptCache
from workbench.models.interventions import Intervention
from workbench.models.memory import is_out_of_memory
from workbench.models.sampling import sample
from workbench.models.trees import MOST_LEAVES, Leaf, Tree, early, fan_out, grow_shared, plant, run_leaves
from workbench.seeding import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ENOUGH", "Completion", "Sampling", "Score", "decode", "leaf_seeds", "score_leaves"]

# A batch of so many leaves keeps a machine busy: a larger one saves little, and its padding costs.
ENOUGH = 256


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
    """How to sample; ``temperature`` 0 is greedy.  ``stop`` strings end a completion (and are kept in its text)."""

    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    eos: frozenset[int] = frozenset()


def leaf_seeds(seeds: int | Sequence[int], n_rows: int, n: int) -> np.ndarray:
    """[rows, n] seeds: derived from each row's seed (itself derived from one seed, if one is given) and the index."""
    base = [derive_seed(seeds, row) for row in range(n_rows)] if isinstance(seeds, int) else list(seeds)
    return np.array([[derive_seed(int(seed), index) for index in range(n)] for seed in base], dtype=np.uint64)


def decode(
    backend: Backend,
    trees: Sequence[Tree],
    cache: PromptCache,
    sampling: Sampling,
    seeds: np.ndarray,
    interventions: Sequence[Intervention],
    text_of: Callable[[list[int]], str],
    progress: Callable[[int], object] | None = None,
    keep_rows: bool = False,
) -> None:
    """Fill the leaves of ``trees`` with sampled tokens.  ``seeds`` [row, index]; finished leaves leave the batch.

    ``keep_rows``: the cache will be used again, so its rows must stay those of ``trees``."""
    grow_shared(backend, trees, cache, interventions)
    if not keep_rows:
        trees = fan_out(trees, cache)
    kept = sum(len(tree.leaves) for tree in trees)
    alive = [list(range(len(tree.leaves))) for tree in trees]
    for step in range(sampling.max_new_tokens):
        blocks = [
            [(k, [(tree.leaves[k].tokens or tree.prompt)[-1]], len(tree.prompt) - 1 + step) for k in numbers]
            for tree, numbers in zip(trees, alive, strict=True)
        ]
        logits = run_leaves(backend, trees, blocks, cache, interventions)  # [tree leaf vocab]
        leaves = [trees[i].leaves[k] for i, numbers in enumerate(alive) for k in numbers]
        flat = _filled(alive, logits)  # [alive vocab], tree by tree
        _extend(leaves, flat, step, sampling, seeds, text_of)
        alive = [[k for k in ks if not tree.leaves[k].finish] for tree, ks in zip(trees, alive, strict=True)]
        if progress:
            progress(sum(bool(leaf.finish) for leaf in leaves))
        left = sum(map(len, alive))
        if not left:
            break
        if left <= kept // 2:
            cache.keep_leaves(alive)
            kept = left


def _filled(alive: Sequence[Sequence[int]], logits: Tensor) -> Tensor:
    """The logits [alive, vocab] of the leaves, tree by tree, out of [tree, pos, vocab]."""
    import torch

    counts = list(map(len, alive))
    if min(counts) == logits.shape[1]:
        return logits.flatten(0, 1)
    widths = torch.tensor(counts, device=logits.device)
    return logits[torch.arange(logits.shape[1], device=logits.device)[None] < widths[:, None]]


def _extend(
    leaves: Sequence[Leaf],
    logits: Tensor,
    step: int,
    sampling: Sampling,
    seeds: np.ndarray,
    text_of: Callable[[list[int]], str],
) -> None:
    rows = seeds[[leaf.row for leaf in leaves], [leaf.index for leaf in leaves]]
    drawn = sample(logits, rows, step, sampling.temperature, sampling.top_p, sampling.top_k)
    logprobs = logits.float().log_softmax(-1).gather(1, drawn[:, None])[:, 0].tolist()
    for leaf, token, logprob in zip(leaves, drawn.tolist(), logprobs, strict=True):
        leaf.token_logprobs.append(logprob)
        if token in sampling.eos:
            leaf.finish = "eos"
            continue
        leaf.tokens.append(token)
        if sampling.stop and any(stop in text_of(leaf.tokens) for stop in sampling.stop):
            leaf.finish = "stop"
        elif len(leaf.tokens) == sampling.max_new_tokens:
            leaf.finish = "length"


def score_leaves(
    backend: Backend, trees: Sequence[Tree], cache: PromptCache, interventions: Sequence[Intervention]
) -> None:
    """Fill ``token_logprobs`` of leaves whose ``tokens`` are given: one pass over all continuations of all trees."""
    grow_shared(backend, trees, cache, interventions)
    blocks = [
        [(k, [tree.prompt[-1], *leaf.tokens[:-1]], len(tree.prompt) - 1) for k, leaf in enumerate(tree.leaves)]
        for tree in trees
    ]
    logprobs = run_leaves(backend, trees, blocks, cache, interventions).float().log_softmax(-1)
    for i, tree in enumerate(trees):
        start = 0
        for leaf in tree.leaves:
            index = logprobs.new_tensor(leaf.tokens).long()[:, None]
            stretch = logprobs[i, start : start + len(leaf.tokens)]
            leaf.token_logprobs = stretch.gather(1, index)[:, 0].tolist()
            start += len(leaf.tokens)


def chunks(trees: Sequence[Tree], budget: int, new_tokens: int) -> Iterator[list[Tree]]:
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


Run = Callable[[list[Tree], PromptCache], None]


def run_in_cache(
    rows: Sequence[list[int]],
    leaves: Sequence[int],
    interventions: Sequence[Intervention],
    cache: PromptCache,
    run: Run,
) -> list[Tree]:
    """Run one tree a row in the caller's cache, as one batch."""
    if any(early(row, interventions) for row in rows):
        raise ModelError("a prompt cache cannot be used with interventions before the last prompt token")
    trees = [Tree(row, i, [Leaf(i, k) for k in range(leaves[i])]) for i, row in enumerate(rows)]
    try:
        run(trees, cache)
    except BaseException:
        cache.clear()  # a pass that broke off has filled some layers and not others
        raise
    return trees


def run_in_chunks(
    rows: Sequence[list[int]],
    leaves: Sequence[int],
    interventions: Sequence[Intervention],
    budget: int,
    new_tokens: int,
    new_cache: Callable[[], PromptCache],
    run: Run,
) -> list[Tree]:
    """Run shared trees in chunks that fit into ``budget`` slots; a chunk that runs out of memory is halved."""
    trees = [tree for tree in plant(rows, leaves, interventions) if tree.leaves]
    todo = list(chunks(trees, budget, new_tokens))[::-1]
    while todo:
        chunk = todo.pop()
        try:
            run(chunk, new_cache())
        except RuntimeError as error:
            if not is_out_of_memory(error) or len(chunk) == 1:
                raise
            for leaf in (leaf for tree in chunk for leaf in tree.leaves):
                leaf.tokens, leaf.token_logprobs, leaf.finish = [], [], ""
            todo += [chunk[len(chunk) // 2 :], chunk[: len(chunk) // 2]]
    return trees
