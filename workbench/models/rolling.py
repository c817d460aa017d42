"""Decoding that never closes its batch: completions join it and leave it between any two tokens.

A :class:`Rolling` batch holds the token trees (see :mod:`workbench.models.trees`) of whatever is being written.  The
prompts of those that join are run by themselves, and their keys and values are put beside the others'.  Positions are
absolute and kept per slot, a token depends on its completion's own seed and number, and an intervention asks for the
row, so a completion is the one that :meth:`workbench.models.LanguageModel.generate` would give it alone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.models.backend import Backend
from workbench.models.cache import SHARED, PromptCache
from workbench.models.decoding import Sampling, by_leaf, draw, take
from workbench.models.interventions import Intervention
from workbench.models.rows import own_cache, run_row
from workbench.models.sharing import ROW_BY_ROW, DecodingPath, path_of
from workbench.models.trees import MOST_LEAVES, Leaf, Stretch, Tree, fan_out, plant, run_shared, run_stretches

if TYPE_CHECKING:
    from jaxtyping import Float

NOT_FINITE = "not finite"  # the finish of a completion whose logits are not
_SPARE = 64  # slots that nobody sees are let be up to here


@dataclass(eq=False)
class OwnLeaf(Leaf):
    """A completion that is sampled in its own way; whoever sets its ``finish`` takes it out of the batch.

    One whose logits are not finite ends with :data:`NOT_FINITE`.  It may have broken those that share its prompt.
    """

    sampling: Sampling = field(default_factory=Sampling)


class Rolling:
    """A batch that completions join and leave.

    ``interventions`` are those of all rows now in it; whoever changes who is in it renumbers the leaves' rows and sets
    them.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> batch = Rolling(model.backend)
    >>> first, second = (OwnLeaf(0, seed, sampling=Sampling(3, temperature=0)) for seed in (0, 1))
    >>> batch.add([model.encode("a b")], [[first]])
    >>> _ = batch.step()
    >>> batch.add([model.encode("c")], [[second]])
    >>> while batch.step()[0]:
    ...     pass
    >>> alone = model.generate(["a b", "c"], temperature=0, max_new_tokens=3)
    >>> [first.tokens, second.tokens] == [completion.tokens for (completion,) in alone]
    True
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.interventions: Sequence[Intervention] = ()
        self._trees: list[Tree] = []  # the rows of the cache
        self._cache = PromptCache.of(backend)
        self._kept = 0  # leaves that were alive when the cache was last packed

    @property
    def slots(self) -> int:
        """Token slots of keys and values that are held."""
        return len(self._trees) * self._cache.slots

    def add(self, prompts: Sequence[list[int]], leaves: Sequence[Sequence[OwnLeaf]]) -> None:
        """Run the prompts, from which ``leaves[prompt]`` grow from the next step on."""
        trees = [
            tree for tree in plant(list(prompts), [list(own) for own in leaves], self.interventions) if tree.leaves
        ]
        for tree in trees:
            tree.row = tree.leaves[0].row
        with torch.inference_mode():
            cache = PromptCache.of(self.backend)
            run_shared(self.backend, trees, cache, self.interventions)
            trees = fan_out(trees, cache)
            self._pack([(self._trees, self._cache), (trees, cache)])

    def step(self) -> tuple[list[OwnLeaf], Float[Tensor, "leaf vocab"] | None]:
        """Draw the next token of every leaf that is alive: these leaves, and the logits of the tokens drawn."""
        alive = _alive(self._trees)
        left = sum(map(len, alive))
        with torch.inference_mode():
            if left <= self._kept // 2 or self._cache.slots > 2 * _longest(self._trees) + _SPARE:
                self._pack([(self._trees, self._cache)])
                alive = _alive(self._trees)
            if not left:
                return [], None
            logits = run_stretches(
                self.backend, self._trees, _next(self._trees, alive), self._cache, self.interventions
            )
            assert logits is not None
            counts = [len(numbers) for numbers in alive]
            return drawn(self._trees, alive, by_leaf(counts, logits))

    def _pack(self, parts: Sequence[tuple[list[Tree], PromptCache]]) -> None:
        """Keep what is alive of some batches, side by side in one cache without the slots that nobody sees."""
        kept: list[tuple[list[Tree], PromptCache]] = []
        for trees, cache in parts:
            rows = [row for row, numbers in enumerate(_alive(trees)) if numbers]
            if rows and len(rows) < len(trees):
                cache.select(rows)
            if rows:
                kept.append(([trees[row] for row in rows], cache))
        self._trees = [tree for trees, _ in kept for tree in trees]
        self._cache = packed(self.backend, [(cache, _alive(trees)) for trees, cache in kept])
        self._kept = sum(map(len, _alive(self._trees)))


class OneByOne:
    """The same for models that cannot decode many rows at once: each completion through a cache of its own, or none."""

    def __init__(self, backend: Backend, path: DecodingPath) -> None:
        self.backend, self.path = backend, path
        self.interventions: Sequence[Intervention] = ()
        self.slots = 0
        self._trees: list[tuple[Tree, list[Any]]] = []

    def add(self, prompts: Sequence[list[int]], leaves: Sequence[Sequence[OwnLeaf]]) -> None:
        """As :meth:`Rolling.add`."""
        with torch.inference_mode():
            for prompt, own in zip(prompts, leaves, strict=True):
                if not own:
                    continue
                cache = own_cache(self.backend) if self.path.name == ROW_BY_ROW else None
                if cache is not None and len(prompt) > 1:
                    run_row(
                        self.backend, prompt[:-1], self.interventions,
                        row=own[0].row, prompt_length=len(prompt), cache=cache, logits=False,
                    )  # fmt: skip
                self._trees.append((Tree(prompt, own[0].row, list(own)), [copy.deepcopy(cache) for _ in own]))

    def step(self) -> tuple[list[OwnLeaf], Float[Tensor, "leaf vocab"] | None]:
        """As :meth:`Rolling.step`."""
        self._trees = [each for each in self._trees if not all(leaf.finish for leaf in each[0].leaves)]
        alive = _alive([tree for tree, _ in self._trees])
        with torch.inference_mode():
            rows = [
                self._row(tree, tree.leaves[k], caches[k])
                for (tree, caches), numbers in zip(self._trees, alive, strict=True)
                for k in numbers
            ]
            return drawn([tree for tree, _ in self._trees], alive, torch.cat(rows)) if rows else ([], None)

    def _row(self, tree: Tree, leaf: Leaf, cache: Any) -> Float[Tensor, "1 vocab"]:
        tokens = tree.prompt + leaf.tokens
        start = 0 if cache is None else len(tokens) - 1
        logits = run_row(
            self.backend, tokens[start:], self.interventions,
            row=leaf.row, start=start, prompt_length=len(tree.prompt), cache=cache,
        )  # fmt: skip
        assert logits is not None
        return logits[-1:]


def room_of(backend: Backend, prompts: Sequence[list[int]], n: int, new_tokens: int) -> tuple[int, DecodingPath]:
    """Token slots that completions may come to take, and how they can be decoded."""
    longest = max(map(len, prompts))
    slots = longest + min(n, MOST_LEAVES) * new_tokens
    return len(prompts) * -(-n // MOST_LEAVES) * slots, path_of(backend, longest + new_tokens, 2 * slots + _SPARE)


def drawn(
    trees: Sequence[Tree], alive: Sequence[list[int]], logits: Float[Tensor, "leaf vocab"]
) -> tuple[list[OwnLeaf], Float[Tensor, "leaf vocab"]]:
    """The leaves that are alive, each with one token more, by the logits of each; those sampled alike at once."""
    leaves = [(tree.leaves[k], tree.prompt) for tree, numbers in zip(trees, alive, strict=True) for k in numbers]
    groups: dict[tuple[Any, ...], list[int]] = {}
    finite = logits.float().logsumexp(-1).isfinite().tolist()
    for at, (leaf, _) in enumerate(leaves):
        if not finite[at]:
            leaf.finish = NOT_FINITE
            continue
        s = leaf.sampling  # type: ignore[attr-defined]  # ours are OwnLeaf
        key = (len(leaf.tokens), s.temperature, s.top_p, s.top_k, s.repetition_penalty)
        groups.setdefault(key, []).append(at)
    for (step, *_), members in groups.items():
        own = [leaves[at][0] for at in members]
        tokens, logprobs = draw(own, logits[members], step, own[0].sampling, [leaves[at][1] for at in members])  # type: ignore[attr-defined]
        for leaf, token, logprob in zip(own, tokens, logprobs, strict=True):
            take(leaf, token, logprob, leaf.sampling)  # type: ignore[attr-defined]
    return [leaf for leaf, _ in leaves], logits  # type: ignore[misc]


def packed(backend: Backend, parts: Sequence[tuple[PromptCache, list[list[int]]]]) -> PromptCache:
    """One cache with the rows of several, each as narrow as what it still shows: the shared slots, then those of the
    leaves ``alive[row]``."""
    new = PromptCache.of(backend)
    found = [(cache, *_seen(cache, alive)) for cache, alive in parts if cache.positions is not None]
    if not found:
        return new
    width, more = (max(int(live.sum(1).max()) for _, *lives in found for live in lives[k : k + 1]) for k in (0, 1))
    end = width + more
    sources, positions, leaves = [], [], []
    for cache, alive in parts:
        rows = len(alive)
        source = torch.zeros(rows, end + 1, dtype=torch.long, device=new.device)  # the last column is thrown away
        at, leaf = torch.full_like(source, -1), torch.zeros_like(source)
        leaf[:, :width] = SHARED
        if cache.positions is not None and cache.leaves is not None:
            shared, own = _seen(cache, alive)
            column = torch.where(shared, shared.cumsum(1) - 1, torch.where(own, width + own.cumsum(1) - 1, end))
            source.scatter_(1, column, torch.arange(cache.slots, device=new.device).expand_as(column))
            at.scatter_(1, column, cache.positions)
            leaf.scatter_(1, column, cache.leaves)
        sources.append(source[:, :end])
        positions.append(at[:, :end])
        leaves.append(leaf[:, :end])
    for number, layer in enumerate(new.keys_values.layers):
        olds = [cache.keys_values.layers[number] for cache, _ in parts]
        if model := next((old for old in olds if getattr(old, "is_initialized", False)), None):
            both = [
                torch.cat([_gathered(getattr(old, name), source, getattr(model, name))
                           for old, source in zip(olds, sources, strict=True)])
                for name in ("keys", "values")
            ]  # fmt: skip
            layer.update(*both)  # type: ignore[union-attr]  # ours are all of keys and values
    new.positions, new.leaves = torch.cat(positions), torch.cat(leaves)
    new.tokens = [[] for _ in new.positions]  # nobody asks it to go on with these prompts
    return new


def _seen(cache: PromptCache, alive: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Which slots [row, slot] are a prompt's, and which those of leaves that are alive."""
    assert cache.positions is not None and cache.leaves is not None
    wanted = torch.zeros(len(alive), 1 + max((k for ks in alive for k in ks), default=0), dtype=torch.bool)
    for row, numbers in zip(wanted, alive, strict=True):
        row[numbers] = True
    real, shared = cache.positions >= 0, cache.leaves == SHARED
    known = cache.leaves.clamp(0, wanted.shape[1] - 1)
    own = wanted.to(cache.leaves.device).gather(1, known) & (known == cache.leaves)
    return real & shared, real & own


def _gathered(states: Tensor | None, source: Tensor, like: Tensor) -> Tensor:
    """The slots ``source`` [row, slot] of keys or values; of a cache that has none yet, anything."""
    if states is None or not states.numel():
        return like.new_zeros(len(source), like.shape[1], source.shape[1], like.shape[3])
    return states.gather(2, source[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3]))


def _alive(trees: Sequence[Tree]) -> list[list[int]]:
    return [[k for k, leaf in enumerate(tree.leaves) if not leaf.finish] for tree in trees]


def _longest(trees: Sequence[Tree]) -> int:
    """Slots of the tree that has most to show."""
    own = (len(t.prompt) + sum(len(leaf.tokens) for leaf in t.leaves if not leaf.finish) for t in trees)
    return max(own, default=0)


def _next(trees: Sequence[Tree], alive: Sequence[list[int]]) -> list[list[Stretch]]:
    """The last token of each leaf that is alive, which the next one follows."""
    return [
        [
            Stretch(k, leaf.row, len(tree.prompt) - 1 + len(leaf.tokens), [(leaf.tokens or tree.prompt)[-1]])
            for k, leaf in ((k, tree.leaves[k]) for k in numbers)
        ]
        for tree, numbers in zip(trees, alive, strict=True)
    ]
