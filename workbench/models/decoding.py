"""Decoding: sampling completions and scoring continuations, one algorithm for every back end.

Prompts and what follows them are trees (see :mod:`workbench.models.trees`), which run in batches that fit into memory;
row by row on models that cannot do that (see :mod:`workbench.models.sharing`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from workbench.errors import ModelError, warn
from workbench.models.backend import Backend
from workbench.models.cache import PromptCache
from workbench.models.interventions import Intervention
from workbench.models.memory import batch_budget, fits, logits_bytes, slot_bytes
from workbench.models.rows import own_cache, run_row
from workbench.models.sampling import penalised, sample
from workbench.models.sharing import ROW_BY_ROW, SHARED, DecodingPath, path_of
from workbench.models.trees import (
    MOST_LEAVES,
    Leaf,
    Tree,
    early,
    fan_out,
    halved,
    in_chunks,
    in_pieces,
    last_tokens,
    merged,
    plant,
    run_shared,
    run_stretches,
    whole_leaves,
)


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
    """How to sample; ``temperature`` 0 is greedy.  A completion ends with an ``eos`` token, or with the token after
    which it is ``stopped``."""

    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    eos: frozenset[int] = frozenset()
    stopped: Callable[[Leaf], bool] | None = None


@dataclass(frozen=True)
class Decoder:
    """Fills leaves: draws their tokens as ``sampling`` says or, without it, scores the tokens that they hold.

    ``advance`` is told how many completions have just finished.  ``shape`` makes, of logits [rows vocab], those whose
    log-softmax is scored.
    """

    backend: Backend
    interventions: Sequence[Intervention] = ()
    sampling: Sampling | None = None
    advance: Callable[[int], object] | None = None
    shape: Callable[[Tensor], Tensor] | None = None

    def fill(self, prompts: list[list[int]], leaves: list[list[Leaf]], cache: PromptCache | None = None) -> None:
        """Fill ``leaves[row]`` of each prompt, in the caller's cache or in batches that fit into memory."""
        if self.sampling is None:
            leaves = [merged(own) for own in leaves]
        with torch.inference_mode():  # results are plain numbers, and it spares autograd's bookkeeping
            if cache is not None:
                self._fill_cached(prompts, leaves, cache)
                return
            trees = [tree for tree in plant(prompts, leaves, self.interventions) if tree.leaves]
            longest = max((self._new_slots(leaf) for row in leaves for leaf in row), default=0)
            budget = batch_budget(self.backend)
            for chunk in in_chunks(in_pieces(trees, budget, longest), budget, longest):
                self.run(chunk)

    def _new_tokens(self, leaf: Leaf) -> int:
        return len(leaf.tokens) if self.sampling is None else self.sampling.max_new_tokens

    def _new_slots(self, leaf: Leaf) -> int:
        """Room for a leaf, in token slots; all logits of a continuation are held, too."""
        each = 1 if self.sampling else 1 + logits_bytes(self.backend) // slot_bytes(self.backend)
        return each * self._new_tokens(leaf)

    def _fill_cached(self, prompts: list[list[int]], leaves: list[list[Leaf]], cache: PromptCache) -> None:
        if any(early(prompt, self.interventions) for prompt in prompts):
            raise ModelError("a prompt cache cannot be used with interventions before the last prompt token")
        trees = [Tree(prompt, row, own) for row, (prompt, own) in enumerate(zip(prompts, leaves, strict=True))]
        try:
            self.run(trees, cache, keep_rows=True)
        except BaseException:
            cache.clear()  # a pass that broke off has filled some layers and not others
            raise

    def run(self, trees: list[Tree], cache: PromptCache | None = None, keep_rows: bool = False) -> None:
        """Fill the leaves of trees as one batch, or in halves where memory runs out (``cache`` is empty then);
        ``keep_rows``: the cache's rows must stay those of ``trees``."""
        cache = PromptCache.of(self.backend) if cache is None else cache
        if not fits(lambda: self._run(trees, cache, keep_rows)):
            cache.clear()
            for half in halved(trees, self.backend):
                self.run(half)

    def grow_shared(self, trees: list[Tree], cache: PromptCache) -> None:
        """Run what the cache lacks of the shared part of every tree, where rows can be decoded together."""
        if self._path(trees, cache, keep_rows=True).name == SHARED:
            run_shared(self.backend, trees, cache, self.interventions)

    def _run(self, trees: list[Tree], cache: PromptCache, keep_rows: bool) -> None:
        path = self._path(trees, cache, keep_rows)
        if path.name != SHARED:
            cache.clear()
            kind = type(self.backend.hf_model).__name__
            warn(f"{kind} on {self.backend.name} decodes {path.name}, which is slower: {path.reason}")
            self._by_rows(trees, path)
            return
        run_shared(self.backend, trees, cache, self.interventions)
        if self.sampling is None:
            self._score(trees, cache)
        else:
            self._sample(trees if keep_rows else fan_out(trees, cache), cache, self.sampling)

    def _path(self, trees: list[Tree], cache: PromptCache, keep_rows: bool) -> DecodingPath:
        """How trees of this size are decoded."""
        together = MOST_LEAVES if self.sampling and not keep_rows else None
        tokens = slots = 0
        for tree in trees:
            new = [self._new_tokens(leaf) for leaf in tree.leaves[:together]]
            tokens = max(tokens, len(tree.prompt) + max(new, default=0))
            slots = max(slots, cache.slots + len(tree.prompt) + sum(new))
        return path_of(self.backend, tokens, slots)

    # ---- row by row

    def _by_rows(self, trees: list[Tree], path: DecodingPath) -> None:
        """One leaf after another; those of a tree begin with copies of the same cache, where there is one."""
        for tree in trees:
            cache = own_cache(self.backend) if path.name == ROW_BY_ROW and self.sampling else None
            if cache is not None and len(tree.prompt) > 1:
                run_row(
                    self.backend, tree.prompt[:-1], self.interventions,
                    row=tree.row, prompt_length=len(tree.prompt), cache=cache, logits=False,
                )  # fmt: skip
            for leaf in tree.leaves:
                if self.sampling is None:
                    logits = self._row(tree.prompt + leaf.tokens[:-1], leaf.row, len(tree.prompt))
                    self._set_scores(leaf, logits[len(tree.prompt) - 1 :])
                else:
                    self._sample_row(tree.prompt, leaf, copy.deepcopy(cache), self.sampling)

    def _sample_row(self, prompt: list[int], leaf: Leaf, cache: Any, sampling: Sampling) -> None:
        leaf.start()
        while not leaf.finish and len(leaf.tokens) < sampling.max_new_tokens:
            tokens = prompt + leaf.tokens
            start = 0 if cache is None else len(tokens) - 1
            logits = self._row(tokens[start:], leaf.row, len(prompt), start=start, cache=cache)
            _extend([leaf], logits[-1:], len(leaf.tokens), sampling, [prompt])
        if self.advance:
            self.advance(1)

    def _row(self, tokens: list[int], row: int, prompt_length: int, **options: Any) -> Tensor:
        logits = run_row(self.backend, tokens, self.interventions, row=row, prompt_length=prompt_length, **options)
        assert logits is not None
        return logits

    # ---- many rows at once

    def _sample(self, trees: Sequence[Tree], cache: PromptCache, sampling: Sampling) -> None:
        """Draw token after token; finished leaves leave the batch."""
        for leaf in (leaf for tree in trees for leaf in tree.leaves):
            leaf.start()
        kept = sum(len(tree.leaves) for tree in trees)
        alive = [list(range(len(tree.leaves))) for tree in trees]
        for step in range(sampling.max_new_tokens):
            new = last_tokens(trees, alive, step)
            logits = run_stretches(self.backend, trees, new, cache, self.interventions)  # [tree leaf vocab]
            assert logits is not None
            leaves = [tree.leaves[k] for tree, numbers in zip(trees, alive, strict=True) for k in numbers]
            prompts = [tree.prompt for tree, numbers in zip(trees, alive, strict=True) for _ in numbers]
            _extend(leaves, by_leaf([len(numbers) for numbers in alive], logits), step, sampling, prompts)
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
        logits = run_stretches(self.backend, trees, whole_leaves(trees), cache, self.interventions)
        assert logits is not None
        for row, tree in zip(logits, trees, strict=True):
            lengths = [len(leaf.tokens) for leaf in tree.leaves]
            for leaf, own in zip(tree.leaves, row[: sum(lengths)].split(lengths), strict=True):
                self._set_scores(leaf, own)

    def _set_scores(self, leaf: Leaf, logits: Tensor) -> None:
        """Read the scores of a leaf, and of those within it, off its logits [pos, vocab]."""
        logprobs = (logits if self.shape is None else self.shape(logits)).float().log_softmax(-1)
        for each in (leaf, *leaf.within):
            each.token_logprobs = logprobs[range(len(each.tokens)), each.tokens].tolist()
            _require_finite([each], [sum(each.token_logprobs)], "a continuation")


def by_leaf(counts: list[int], logits: Tensor) -> Tensor:
    """The logits [leaf, vocab] of the leaves, tree by tree, out of [tree, pos, vocab]."""
    if min(counts) == logits.shape[1]:
        return rearrange(logits, "tree pos vocab -> (tree pos) vocab")
    widths = torch.tensor(counts, device=logits.device)
    return logits[torch.arange(logits.shape[1], device=logits.device) < rearrange(widths, "tree -> tree 1")]


def _extend(
    leaves: Sequence[Leaf], logits: Tensor, step: int, sampling: Sampling, prompts: Sequence[list[int]]
) -> None:
    """Draw the next token of each leaf from its logits [leaf, vocab]."""
    for leaf, token, logprob in zip(leaves, *draw(leaves, logits, step, sampling, prompts), strict=True):
        take(leaf, token, logprob, sampling)


def draw(
    leaves: Sequence[Leaf], logits: Tensor, step: int, sampling: Sampling, prompts: Sequence[list[int]]
) -> tuple[list[int], list[float]]:
    """The next token of each leaf by its logits [leaf, vocab], and its log-probability; ``step`` tokens were drawn."""
    seeds, shaped = np.array([leaf.seed for leaf in leaves], dtype=np.uint64), logits
    if sampling.repetition_penalty != 1:
        seen = [prompt + leaf.tokens for prompt, leaf in zip(prompts, leaves, strict=True)]
        shaped = penalised(logits, seen, sampling.repetition_penalty)
    drawn = sample(shaped, seeds, step, sampling.temperature, sampling.top_p, sampling.top_k)
    logprobs = logits.float().log_softmax(-1).gather(1, drawn[:, None])[:, 0].tolist()
    _require_finite(leaves, logprobs, f"step {step}")
    return drawn.tolist(), logprobs


def take(leaf: Leaf, token: int, logprob: float, sampling: Sampling) -> None:
    """Put a drawn token into a leaf, and note whether it ends there."""
    leaf.token_logprobs.append(logprob)
    if token in sampling.eos:
        leaf.finish = "eos"
        return
    leaf.tokens.append(token)
    if sampling.stopped is not None and sampling.stopped(leaf):
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
