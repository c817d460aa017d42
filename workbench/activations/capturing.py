"""``capture`` and ``capture_to_store``: activations of many inputs at some sites and positions, in memory or on disk.

The inputs are tokenised, the asked positions found, and the sequences run in batches of similar length; the rows come
back in the order of the inputs.  With a store the inputs are taken in blocks, one shard each, so memory stays bounded
and a killed capture goes on at the block it was in.  Which inputs share a batch depends on the request alone, never on
where a capture was resumed, hence the same bits.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench.activations.activation_set import ActivationSet, group_values, label_table
from workbench.activations.batches import Budget, Pass, as_dtype, check_length, readable_sites, run_passes
from workbench.activations.identity import identity
from workbench.activations.positions import Positions, check_positions, find_positions, is_mean
from workbench.activations.store import ActivationStore
from workbench.arguments import integer
from workbench.errors import DataError
from workbench.models.hooked_model import HookedModel
from workbench.models.inputs import items, plain_interventions
from workbench.models.interventions import Intervention
from workbench.models.language_model import Prompt
from workbench.models.loading import check_device
from workbench.models.memory import memory_errors
from workbench.progress import progress_bar
from workbench.sites import Site
from workbench.tables import frame_bytes

_ENCODED_AT_ONCE = 256
_SHARD_INPUTS, _SHARD_BYTES = 512, 64_000_000
_OWN_COLUMNS = ("input", "position")


def capture(
    model: HookedModel,
    inputs: Sequence[Prompt],
    sites: Site | str | int | Sequence[Site | str | int],
    positions: Positions = "last",
    *,
    labels: pd.DataFrame | Mapping[str, Any] | None = None,
    groups: str | Sequence[Any] | np.ndarray | None = None,
    batch_tokens: int | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str = "cpu",
    interventions: Sequence[Intervention] = (),
    progress: bool = False,
) -> ActivationSet:
    """Activations at ``sites`` of the asked tokens of each input, in one pass an input that ends at the deepest site.

    :func:`capture_to_store` does the same for more rows than memory holds.

    Args:
        model: the model to read.
        inputs: texts, chats or lists of token ids.
        sites: one or several, such as ``"3.resid_post"`` or a layer.
        positions: ``last``, ``first``, ``all``, ``mean`` (over the tokens of an input), indices (negative: from the
            end), a slice or ``Window``, ``Span``, ``Role`` or ``GenerationPrompt``.
        labels: a table (or dict of columns) with one line an input, repeated where an input gives several rows.
        groups: one an input, or the name of a label column; by default each input is its own.
        batch_tokens: tokens run at once, padding included; chosen from the device, halved whenever memory runs out.
        dtype: of the result; by default the model's.
        device: of the result.
        interventions: what is done to the activations while they are read.
        progress: whether to draw a bar.

    Returns:
        A set whose labels begin with ``input`` and ``position`` (absolute, -1 for a mean), rows in the order of the
        inputs.

    Raises:
        DataError: for an input that lacks an asked position or gives a NaN.

    >>> from workbench.models.tiny import tiny_model
    >>> found = capture(tiny_model(), ["a b", "c d e"], [1, 2], positions=[-2, -1], labels={"word": ["x", "y"]})
    >>> found
    ActivationSet(4 rows of 2 groups, blocks.1.hook_resid_post: 32, blocks.2.hook_resid_post: 32)
    >>> found.labels.to_dict("list")
    {'input': [0, 0, 1, 1], 'position': [1, 2, 2, 3], 'word': ['x', 'x', 'y', 'y']}
    """
    reader = _Reader.of(model, inputs, sites, positions, labels, groups, dtype, device, interventions)
    with progress_bar(len(reader.inputs), progress, "capturing") as advance:
        return reader.read(list(reader.locate()), Budget.of(model, batch_tokens), advance)


def capture_to_store(
    model: HookedModel,
    inputs: Sequence[Prompt],
    sites: Site | str | int | Sequence[Site | str | int],
    positions: Positions = "last",
    *,
    store: ActivationStore | str | os.PathLike[str],
    labels: pd.DataFrame | Mapping[str, Any] | None = None,
    groups: str | Sequence[Any] | np.ndarray | None = None,
    batch_tokens: int | None = None,
    shard_inputs: int | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str = "cpu",
    interventions: Sequence[Intervention] = (),
    progress: bool = False,
) -> ActivationStore:
    """What :func:`capture` reads, streamed to a folder: memory stays bounded, and a killed capture can go on.

    The same call goes on where a killed one stopped, with the batch size of the first, and ends with the same bits
    (unless memory ran out in one of them and made its batches smaller).  It reads what is stored, and makes shards anew
    that were lost or damaged.

    Args:
        store: the folder, or a store.
        shard_inputs: inputs a shard; by default 512, fewer when they give more than 64 MB.
        model, inputs, sites, positions, labels, groups, batch_tokens, dtype, device, interventions, progress: those of
            :func:`capture`.

    Returns:
        The store, closed.

    Raises:
        DataError: as :func:`capture`.
        ArtifactError: for a store that belongs to another request.
        RunError: for one that another process writes to.

    >>> import tempfile
    >>> from workbench.models.tiny import tiny_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(capture_to_store(tiny_model(), ["a b", "c d e"], [1], "all", store=folder))
    7
    """
    reader = _Reader.of(model, inputs, sites, positions, labels, groups, dtype, device, interventions)
    given = {"batch_tokens": batch_tokens, "shard_inputs": shard_inputs}
    found = store if isinstance(store, ActivationStore) else ActivationStore(store)
    with progress_bar(len(reader.inputs), progress, "capturing") as advance, found:
        fixed = {name: n for name, n in given.items() if n is not None}
        _stream(reader, found, Budget.of(model, batch_tokens), fixed, advance)
    return found


@dataclass(frozen=True)
class _Located:
    """An input with the positions that are to be read of it."""

    number: int
    tokens: list[int]
    positions: Sequence[int]


@dataclass(frozen=True)
class _Reader:
    """A request, and how any stretch of its inputs is read."""

    model: HookedModel
    inputs: Sequence[Prompt]
    sites: tuple[Site, ...]
    positions: Positions
    labels: pd.DataFrame
    groups: np.ndarray
    dtype: torch.dtype | None
    device: torch.device
    interventions: list[Intervention]

    @classmethod
    def of(
        cls, model: HookedModel, inputs: Any, sites: Any, positions: Any, labels: Any, groups: Any, dtype: Any,
        device: Any, interventions: Any,
    ) -> _Reader:  # fmt: skip
        """The request, checked before anything is run."""
        inputs = items(inputs, "input")
        table, group_of = _labels(inputs, labels, groups)
        return cls(
            model, inputs, readable_sites(model, sites), check_positions(positions), table, group_of,
            as_dtype(dtype), check_device(device), plain_interventions(interventions),
        )  # fmt: skip

    @property
    def mean(self) -> bool:
        return is_mean(self.positions)

    def rows(self, located: _Located) -> int:
        """How many rows an input gives."""
        return 1 if self.mean else len(located.positions)

    def locate(self, first: int = 0, stop: int | None = None) -> Iterator[_Located]:
        """The inputs [first, stop), tokenised as they are needed."""
        stop = len(self.inputs) if stop is None else stop
        for start in range(first, stop, _ENCODED_AT_ONCE):
            part = self.inputs[start : min(start + _ENCODED_AT_ONCE, stop)]
            encoded = self.model.encode_all(part, "input", start)
            for number, (prompt, tokens) in enumerate(zip(part, encoded, strict=True), start):
                check_length(self.model, tokens, f"input {number}")
                try:
                    found = find_positions(self.positions, self.model, prompt, tokens)
                except DataError as error:
                    raise DataError(f"input {number}: {error}") from error
                yield _Located(number, tokens, found)

    def read(self, block: Sequence[_Located], budget: Budget, advance: Any) -> ActivationSet:
        """The rows of some inputs, in their order."""
        counts = [self.rows(each) for each in block]
        ends = np.cumsum(counts)
        passes = [
            Pass(each.tokens, each.positions, range(end - count, end), each.number)
            for each, count, end in zip(block, counts, ends.tolist(), strict=True)
        ]
        number = np.repeat([each.number for each in block], counts)
        position = [-1] * len(block) if self.mean else list(chain.from_iterable(each.positions for each in block))
        table = self.labels.iloc[number].reset_index(drop=True)
        table.insert(0, "input", number)
        table.insert(1, "position", np.asarray(position, dtype=np.int64))
        m = self.model
        with memory_errors(
            f"{len(number):,} rows at {len(self.sites)} sites do not fit on {self.device}: ask for fewer sites or "
            "positions, or let capture_to_store keep them on disk in shards of fewer inputs (shard_inputs)"
        ):
            found = run_passes(
                m, passes, self.sites, budget, mean=self.mean, dtype=self.dtype, device=self.device,
                interventions=self.interventions, advance=advance,
            )  # fmt: skip
            return ActivationSet(found, table, self.groups[number], m.fingerprint, m.basis, m.name, m.precision)

    def request(self) -> dict[str, Any]:
        """What makes two captures the same, as JSON."""
        digest = hashlib.sha256()
        for prompt in self.inputs:
            digest.update(json.dumps(prompt, default=_plain).encode() + b"\n")
        table = self.labels.assign(__group__=self.groups)
        return {
            "fingerprint": self.model.fingerprint,
            "basis": self.model.basis,
            "precision": self.model.precision,
            "sites": list(map(str, self.sites)),
            "positions": self.positions if isinstance(self.positions, str) else repr(self.positions),
            "dtype": None if self.dtype is None else str(self.dtype).removeprefix("torch."),
            "interventions": [identity(each) for each in self.interventions],
            "inputs": len(self.inputs),
            "inputs_hash": digest.hexdigest(),
            "labels_hash": hashlib.sha256(frame_bytes(table, "labels")).hexdigest(),
        }


def _stream(reader: _Reader, store: ActivationStore, budget: Budget, given: dict[str, int], advance: Any) -> None:
    """Read block after block; ``given`` are the sizes that the user fixed, others are those of the first session."""
    sizes = {"batch_tokens": budget.tokens, "shard_inputs": _SHARD_INPUTS} | given
    held, done = store.claim(reader.request() | sizes, free=tuple(sizes))
    sizes = held | given
    budget.tokens, shard_inputs = sizes["batch_tokens"], integer(sizes["shard_inputs"], "shard_inputs", least=1)
    lost = {number: store.manifest.shards[number] for number in store.broken()}
    if advance:
        advance(done - sum(shard.stop - shard.first for shard in lost.values()))
    for number, shard in lost.items():
        found = reader.read(list(reader.locate(shard.first, shard.stop)), budget, advance)
        store.write_inputs(found, shard.first, shard.stop, number)
    for block in _blocks(reader, done, shard_inputs):
        store.write_inputs(reader.read(block, budget, advance), block[0].number, block[-1].number + 1)


def _blocks(reader: _Reader, first: int, shard_inputs: int) -> Iterator[list[_Located]]:
    """The inputs from ``first`` on, cut into those of one shard."""
    block: list[_Located] = []
    n_bytes, row_bytes = 0, len(reader.sites) * reader.model.d_model * (reader.dtype or reader.model.dtype).itemsize
    for located in reader.locate(first):
        block.append(located)
        n_bytes += row_bytes * reader.rows(located)
        if len(block) == shard_inputs or n_bytes >= _SHARD_BYTES or located.number + 1 == len(reader.inputs):
            yield block
            block, n_bytes = [], 0


def _plain(value: Any) -> Any:
    """Arrays, tensors and numbers of numpy as JSON."""
    return value.tolist() if hasattr(value, "tolist") else int(value)


def _labels(inputs: Sequence[Prompt], labels: Any, groups: Any) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels and groups with one entry an input, checked before anything is run."""
    table = label_table({} if labels is None else labels, len(inputs))
    for name in _OWN_COLUMNS:
        if name in table:
            raise DataError(f"labels have a column {name!r}, which capture writes itself: rename it")
    return table, group_values(groups, table, len(inputs))
