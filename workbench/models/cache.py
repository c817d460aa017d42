"""The prompt cache: keys and values of a batch of *token trees*.

A tree is one prompt (its *shared* tokens) with any number of *leaves* growing from its last token: the completions
drawn from it, or the continuations scored on it.  The leaves of a prompt lie side by side along the ``pos`` axis of one
batch row, and a mask lets each see the prompt and itself only.  So the prompt's keys and values exist once however many
completions it has, and decoding reads them once for all leaves.  Positions are absolute and kept per slot, so padding,
rows of different lengths and tokens that were dropped are just slots that nobody sees.

Between turns of a conversation the leaves are dropped and only the new suffix of each prompt is computed.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from workbench.errors import DataError
from workbench.models.backend import Backend

SHARED = -1  # the leaf number of a prompt's own slots
# Up to here (bytes of one layer's keys) a copy stays in the processor's cache and is read faster than spare room is.
_SMALL = 2_000_000


def common_prefix(a: list[int], b: list[int]) -> int:
    """Number of leading tokens that ``a`` and ``b`` share.

    >>> common_prefix([1, 2, 3], [1, 2, 4, 5])
    2
    """
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def pad_right(rows: list[list[int]], fill: int, device: Any = None) -> Tensor:
    """[rows, longest] integer tensor, filled on the right."""
    width = max(map(len, rows), default=0)
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], dtype=torch.long, device=device)


class _GrowingLayer(DynamicLayer):
    """A cache layer that writes into spare room instead of copying everything at each step."""

    room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if self.room is None and new * key_states[..., :1, :].nbytes < _SMALL:
            return super().update(key_states, value_states)
        if self.room is None or self.room[0].shape[-2] < new or self.room[0].shape[0] != key_states.shape[0]:
            capacity = new + max(16, new // 4)
            rooms = [torch.empty((*s.shape[:-2], capacity, s.shape[-1]), dtype=s.dtype, device=s.device)
                     for s in (key_states, value_states)]  # fmt: skip
            for room, past in zip(rooms, (self.keys, self.values), strict=True):
                if old and past is not None:
                    room[..., :old, :] = past
            self.room = (rooms[0], rooms[1])
        for room, states in zip(self.room, (key_states, value_states), strict=True):
            room[..., old:new, :] = states
        self.keys, self.values = (room[..., :new, :] for room in self.room)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)
        self.room = None

    def gather_after(self, start: int, order: Tensor) -> None:
        """Keep the slots before ``start`` and, of those after it, ``order`` [batch, kept]."""
        old, new = self.get_seq_length(), start + order.shape[1]
        assert self.keys is not None and self.values is not None
        both = self.room or (self.keys, self.values)
        for whole in both:
            index = order[:, None, :, None].expand(-1, whole.shape[1], -1, whole.shape[3])
            whole[..., start:new, :] = whole[..., start:old, :].gather(2, index)
        self.keys, self.values = (whole[..., :new, :] for whole in both)


class PromptCache:
    """Keys and values of the prompts of a batch, kept from call to call.

    Make one with ``model.prompt_cache()`` and pass it to ``generate`` or ``score`` with prompts in the same order;
    each call computes only what is new since the last.  ``select`` drops or reorders rows.
    """

    def __init__(self, n_layers: int, windows: dict[str, int | None], device: Any) -> None:
        self.n_layers, self.windows, self.device = n_layers, windows, device
        self.clear()

    @classmethod
    def of(cls, backend: Backend) -> PromptCache:
        """An empty cache for a model."""
        config = backend.hf_model.config.get_text_config()
        return cls(config.num_hidden_layers, attention_windows(config), backend.device)

    def clear(self) -> None:
        """Forget everything."""
        self.keys_values = Cache(layers=[_GrowingLayer() for _ in range(self.n_layers)])
        self.tokens: list[list[int]] = []  # shared tokens of each row that are in the cache
        self.positions: Tensor | None = None  # [batch, slot], -1 where dead
        self.leaves: Tensor | None = None  # [batch, slot], -1 where shared

    @property
    def slots(self) -> int:
        """Width of the cache in tokens, dead ones included."""
        return 0 if self.positions is None else self.positions.shape[1]

    def sync(self, prompts: list[list[int]]) -> list[list[int]]:
        """Drop leaves and whatever differs from ``prompts``; return the part of each prompt that is still to be run."""
        if self.positions is None:
            self.tokens = [[] for _ in prompts]
            return prompts
        if len(prompts) != len(self.tokens):
            raise DataError(
                f"{len(prompts)} prompts for a cache of {len(self.tokens)}: drop rows with cache.select(rows)"
            )
        self._drop_leaves()
        kept = [common_prefix(old, new) for old, new in zip(self.tokens, prompts, strict=True)]
        limits = pad_right([[k] for k in kept], 0, self.device)
        assert self.positions is not None
        self.positions = self.positions.masked_fill(self.positions >= limits, -1)
        self.tokens = [tokens[:k] for tokens, k in zip(self.tokens, kept, strict=True)]
        return [prompt[k:] for prompt, k in zip(prompts, kept, strict=True)]

    def mask(self, positions: Tensor, leaves: Tensor) -> Tensor | dict[str, Tensor] | None:
        """What new tokens at ``positions`` [batch, pos] of ``leaves`` [batch, pos] see: [batch, 1, pos, slot + pos].

        None when no mask does the same: an empty cache and no leaves, or single tokens that see everything.
        """
        if self.positions is None and bool((leaves == SHARED).all()):
            return None  # right padding: no token comes after its own row's end, and dead slots are marked later
        old = () if self.positions is None else (self.positions,)
        key_positions = torch.cat([*old, positions], dim=1)[:, None, None, :]
        key_leaves = torch.cat([*(() if self.leaves is None else (self.leaves,)), leaves], dim=1)[:, None, None, :]
        at, leaf = positions[:, None, :, None], leaves[:, None, :, None]
        seen = (key_positions >= 0) & (key_positions <= at) & ((key_leaves == SHARED) | (key_leaves == leaf))
        if positions.shape[1] == 1 and not any(self.windows.values()) and bool(seen.all()):
            return None
        masks = {
            kind: seen.clone() if window is None else seen & (at - key_positions < window)
            for kind, window in self.windows.items()
        }
        slot = torch.arange(positions.shape[1], device=seen.device)
        for mask in masks.values():
            mask[:, :, slot, self.slots + slot] = True  # padding sees itself, or its softmax would be 0 / 0
        return next(iter(masks.values())) if len(masks) == 1 else masks

    def append(self, positions: Tensor, leaves: Tensor) -> None:
        """Record the slots that a pass has just added."""
        if self.positions is None or self.leaves is None:
            self.positions, self.leaves = positions, leaves
        else:
            self.positions = torch.cat([self.positions, positions], dim=1)
            self.leaves = torch.cat([self.leaves, leaves], dim=1)

    def select(self, rows: list[int]) -> None:
        """Keep these rows, in this order (for episodes that have ended)."""
        if self.positions is None or self.leaves is None:
            return
        index = torch.tensor(rows, device=self.device)
        self.keys_values.batch_select_indices(index)
        self.positions, self.leaves = self.positions[index], self.leaves[index]
        self.tokens = [self.tokens[row] for row in rows]

    def keep_leaves(self, alive: list[list[int]]) -> None:
        """Drop the slots of all leaves but those in ``alive`` [batch][leaf number]: later passes skip them."""
        assert self.positions is not None and self.leaves is not None
        start = self._shared_slots()
        positions, leaves = self.positions[:, start:], self.leaves[:, start:]
        wanted = torch.zeros(len(alive), 1 + max((k for ks in alive for k in ks), default=0), dtype=torch.bool)
        for row, numbers in zip(wanted, alive, strict=True):
            row[numbers] = True
        known = leaves.clamp(max=wanted.shape[1] - 1)
        keep = wanted.to(leaves.device).gather(1, known) & (known == leaves) & (positions >= 0)
        order = (~keep).int().argsort(dim=1, stable=True)[:, : int(keep.sum(1).max())]  # [batch kept]
        for layer in self.keys_values.layers:
            layer.gather_after(start, order)  # type: ignore[union-attr]  # ours: see _GrowingLayer
        positions = positions.masked_fill(~keep, -1).gather(1, order)
        self.positions = torch.cat([self.positions[:, :start], positions], dim=1)
        self.leaves = torch.cat([self.leaves[:, :start], leaves.gather(1, order)], dim=1)

    def _shared_slots(self) -> int:
        assert self.leaves is not None
        return int((self.leaves == SHARED).all(dim=0).sum())  # leaves always come after all shared slots

    def _drop_leaves(self) -> None:
        assert self.leaves is not None and self.positions is not None
        shared = self._shared_slots()
        extra = self.slots - shared
        if extra:
            self.keys_values.crop(-extra)
            self.positions, self.leaves = self.positions[:, :shared], self.leaves[:, :shared]


def attention_windows(config: Any) -> dict[str, int | None]:
    """How far back each kind of layer sees (None: everything)."""
    layers = list(config.per_layer_config)
    kinds = getattr(config, "layer_types", None) or ["all"] * len(layers)
    return {
        kind: _window(layer) if kind in ("all", "sliding_attention") else None
        for kind, layer in sorted(zip(kinds, layers, strict=False), key=lambda pair: pair[0])
    }


def _window(layer: Any) -> int | None:
    return getattr(layer, "sliding_window", None) if getattr(layer, "use_sliding_window", True) else None
