"""Whether a model can decode many rows at once, found by trying it on small random trees.

Trees (see :mod:`workbench.models.cache`) ask for attention that obeys a mask and explicit positions.  Recurrent state,
ALiBi or windows counted by cache slot, and decoders that count positions themselves do not.  Some of that shows only
in batches wider than a number in the configuration (a window, a chunk), so such widths are tried when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from workbench.models.backend import Backend
from workbench.models.cache import PromptCache
from workbench.models.contract import random_inputs
from workbench.models.interventions import Scope, Where
from workbench.models.memory import is_out_of_memory
from workbench.models.rows import own_cache, run_row
from workbench.models.trees import Leaf, Stretch, Tree, run_shared, run_stretches, whole_leaves
from workbench.models.widths import special_widths
from workbench.sites import Site

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel

SHARED, ROW_BY_ROW, UNCACHED = "shared", "row by row", "row by row, without a cache"
# How far activations may be apart: rounding in other orders of summation, through many layers.
_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.1}
_SHORT, _NEW, _LEAVES = 4, 4, 6  # the narrowest width, new tokens of a leaf, leaves of a tree
_FOUND: WeakKeyDictionary[Any, dict[tuple[Any, ...], str]] = WeakKeyDictionary()


@dataclass(frozen=True)
class DecodingPath:
    """How completions are computed: ``name`` is ``shared`` (many rows at once), ``row by row`` (through the model's own
    cache) or ``row by row, without a cache``; ``reason`` says what was seen that rules out the faster ones."""

    name: str
    reason: str = ""


def decoding_path(model: LanguageModel, tokens: int = 0, slots: int = 0) -> DecodingPath:
    """The fastest way to decode that is right for a model, its back end included, found by a check.

    Args:
        model: a language model.
        tokens: of the longest prompt and what follows it.
        slots: tokens of a prompt and of all its completions, which lie side by side in a row of a batch.

    Returns:
        Where the check saw a difference from plain passes, ``reason`` says which.

    >>> from workbench.models.tiny import tiny_model
    >>> decoding_path(tiny_model("llama")).name
    'shared'
    """
    return path_of(model.backend, tokens, slots)


def path_of(backend: Backend, tokens: int, slots: int) -> DecodingPath:
    """As :func:`decoding_path`, for a back end."""
    widths = [width for width in special_widths(backend.hf_model) if _SHORT < width < max(tokens, slots)]
    reached = [_SHORT, *(width for width in widths if width < tokens)]
    # The widest tries reach beyond all narrower windows and chunks.
    tries = [
        (_trees, _SHORT),
        (_trees, reached[-1]),
        *((_far_trees, width) for width in widths[-1:] if width >= tokens),
    ]
    reason = next(filter(None, (_seen(backend, *each) for each in tries)), "")
    if not reason:
        return DecodingPath(SHARED)
    worse = next(filter(None, (_seen(backend, _own_cache, width) for width in reached)), "")
    if not worse:
        return DecodingPath(ROW_BY_ROW, f"rows that share a batch {reason}")
    return DecodingPath(UNCACHED, f"rows that share a batch {reason}, and its own cache {worse}")


# ---- tries

Pairs = Iterator[tuple[Tensor, Tensor]]


def _seen(backend: Backend, pairs: Callable[[Backend, int], Pairs], width: int) -> str:
    """What is wrong with activations that should be equal in pairs, "" if nothing is; tried once."""
    known = _FOUND.setdefault(backend.hf_model, {})
    key = (backend.name, pairs, width)
    if key not in known:
        with torch.inference_mode():
            known[key] = _difference(pairs(backend, width), _TOLERANCE.get(backend.hf_model.dtype, 0.1))
    return known[key]


def _difference(pairs: Pairs, tolerance: float) -> str:
    try:
        worst = max(_apart(found, expected) for found, expected in pairs)
    except Exception as error:  # the libraries below raise many kinds; each means that the model cannot do this
        if is_out_of_memory(error):
            raise
        line = next(iter(str(error).splitlines()), "")
        return f"raise {type(error).__name__} ({line[:120]})"
    return f"differ by {worst:.2g} of an activation's size" if worst > tolerance else ""


def _apart(found: Tensor, expected: Tensor) -> float:
    """How far activations [pos, d] are apart, relative to their size: at the median position, so that one token routed
    to another expert by rounding is no matter, and at the median unit, so that a few huge ones hide nothing."""
    off, size = ((x.float().abs().median(-1).values + 1e-30) for x in (found - expected, expected))
    if not bool(size.isfinite().all()):
        return 0.0  # weights that are not finite are found out where they are used
    return float((off / size).median().nan_to_num(nan=torch.inf))


def _trees(backend: Backend, width: int) -> Pairs:
    """Trees of which one has a prompt longer than ``width``."""
    return _pairs(backend, width + 2 * _NEW, 0)


def _far_trees(backend: Backend, width: int) -> Pairs:
    """Trees whose leaves lie more than ``width`` slots behind the beginnings of their short prompts."""
    return _pairs(backend, 3 * _NEW, width + 2 * _NEW)


def _pairs(backend: Backend, length: int, slots: int) -> Pairs:
    """Leaves of two prompts of different lengths, at once and then token by token on a kept cache; and plain passes."""
    trees, watch, cache = _random_trees(backend, length), _LastBlock(backend), PromptCache.of(backend)

    def run(stretches: list[list[Stretch]]) -> Tensor:
        run_stretches(backend, trees, stretches, cache, [watch], logits=False)
        return watch.stream.unflatten(1, (len(trees[0].leaves), -1))  # [tree leaf pos d]

    beginnings = [tree.prompt[:-2] or tree.prompt for tree in trees]
    run_shared(backend, [Tree(tokens, 0, []) for tokens in beginnings], cache)
    room = max(1, min(512, _positions(backend) or 512) - len(beginnings[0]) - 1)
    for seed in range(slots):  # prompts that go on in another way leave dead slots before the leaves
        if cache.slots >= slots:
            break
        filling = _random_tokens(backend, min(room, slots - cache.slots) + 1, seed)
        run_shared(backend, [Tree(tokens + filling, 0, []) for tokens in beginnings], cache)
    run_shared(backend, trees, cache)
    whole = whole_leaves(trees)
    found = [run(whole)]
    run_shared(backend, trees, cache)
    steps = [[[_token(leaf, step) for leaf in own] for own in whole] for step in range(len(whole[0][0].tokens))]
    found.append(torch.cat([run(step) for step in steps], dim=2))
    for row, tree in enumerate(trees):
        for k in (0, len(tree.leaves) - 1):
            run_row(backend, tree.prompt + tree.leaves[k].tokens[:-1], [watch], logits=False)
            yield from ((each[row, k], watch.stream[0, len(tree.prompt) - 1 :]) for each in found)


def _token(stretch: Stretch, step: int) -> Stretch:
    return stretch._replace(start=stretch.start + step, tokens=stretch.tokens[step : step + 1])


def _own_cache(backend: Backend, width: int) -> Pairs:
    """Single tokens after a prompt of about ``width``, through the model's own cache; and plain passes."""
    length = min(width + _NEW, _positions(backend) or width + _NEW)
    tokens, watch = _random_tokens(backend, length, 0), _LastBlock(backend)
    last = max(0, length - _NEW)
    expected: dict[int, Tensor] = {}
    for start in range(last + 1) if width == _SHORT else [last]:
        cache = own_cache(backend)
        if start:
            run_row(backend, tokens[:start], cache=cache, logits=False)
        for at in range(start, min(start + _NEW, length)):
            if at not in expected:
                run_row(backend, tokens[: at + 1], [watch], logits=False)
                expected[at] = watch.stream[0, -1:]
            run_row(backend, tokens[at : at + 1], [watch], start=at, cache=cache, logits=False)
            yield watch.stream[0], expected[at]


class _LastBlock:
    """Sees the stream [batch, pos, d] behind the last block, and changes nothing."""

    scope = Scope()
    stream: Tensor

    def __init__(self, backend: Backend) -> None:
        self.site = Site(backend.hf_model.config.get_text_config().num_hidden_layers - 1)

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        self.stream = activation.clone()
        return activation


def _random_trees(backend: Backend, length: int) -> list[Tree]:
    """A prompt of ``length`` (or as the model has positions) and a short one, each with leaves."""
    limit = _positions(backend) or length + _NEW
    new = max(1, min(_NEW, limit // 2))
    long = max(1, min(length, limit - new))
    prompts = [_random_tokens(backend, n, seed) for seed, n in enumerate((long, max(1, min(_NEW + 1, long - 1))))]
    return [
        Tree(prompt, row, [Leaf(row, tokens=_random_tokens(backend, new, 2 + k)) for k in range(_LEAVES)])
        for row, prompt in enumerate(prompts)
    ]


def _random_tokens(backend: Backend, length: int, seed: int) -> list[int]:
    return random_inputs(backend.hf_model, 1, length, seed)[0].tolist()


def _positions(backend: Backend) -> int | None:
    """How many positions the model has, where that is limited."""
    return getattr(backend.hf_model.config.get_text_config(), "max_position_embeddings", None)
