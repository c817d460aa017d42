"""``capture`` and ``capture_to_store``: activations of many inputs at some sites and positions, in memory or on disk.

The inputs are tokenised, the asked positions found, and the sequences run in batches of similar length; the rows come
back in the order of the inputs.  With a store the inputs are taken in blocks, one shard each, so memory stays bounded
and a killed capture goes on at the block it was in.  Which inputs share a batch depends on the request alone, never on
where a capture was resumed, hence the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench.activations.activation_set import ActivationSet
from workbench.activations.batches import Budget
from workbench.activations.positions import Positions
from workbench.activations.request import Located, Request
from workbench.activations.store import ActivationStore
from workbench.arguments import integer
from workbench.models.hooked_model import HookedModel
from workbench.models.interventions import Intervention
from workbench.models.language_model import Prompt
from workbench.progress import progress_bar
from workbench.sites import Site

_SHARD_INPUTS, _SHARD_BYTES = 512, 64_000_000


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
    sinks: str = "leave out",
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
        sinks: ``leave out`` attention sinks (see :mod:`workbench.models.sinks`), where the model makes any, of a mean
            (with a warning), and mark rows at them of ``all``, windows, spans and roles, for ``xy`` and probes to leave
            out; or ``keep`` them.  What is asked for one by one (``last``, ``first``, indices) is read as it is.
        progress: whether to draw a bar.

    Returns:
        A set whose labels begin with ``input`` and ``position`` (absolute, -1 for a mean), rows in the order of the
        inputs.  Where sinks are left out, ``attention_sink`` (true or false) or, for means, ``sinks_left_out`` (how
        many) follows.

    Raises:
        DataError: for an input that lacks an asked position or gives a NaN.

    >>> from workbench.models.tiny import tiny_model
    >>> found = capture(tiny_model(), ["a b", "c d e"], [1, 2], positions=[-2, -1], labels={"word": ["x", "y"]})
    >>> found
    ActivationSet(4 rows of 2 groups, blocks.1.hook_resid_post: 32, blocks.2.hook_resid_post: 32)
    >>> found.labels.to_dict("list")
    {'input': [0, 0, 1, 1], 'position': [1, 2, 2, 3], 'word': ['x', 'x', 'y', 'y']}
    """
    request = Request.of(model, inputs, sites, positions, labels, groups, dtype, device, interventions, sinks)
    with progress_bar(len(request.inputs), progress, "capturing") as advance:
        found = request.read(list(request.locate()), Budget.of(model, batch_tokens), advance)
    request.say_left_out()
    return found


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
    sinks: str = "leave out",
    progress: bool = False,
) -> ActivationStore:
    """What :func:`capture` reads, streamed to a folder: memory stays bounded, and a killed capture can go on.

    The same call goes on where a killed one stopped, with the batch size of the first, and ends with the same bits
    (unless memory ran out in one of them and made its batches smaller).  It reads what is stored, and makes shards anew
    that were lost or damaged.

    Args:
        store: the folder, or a store.
        shard_inputs: inputs a shard; by default 512, fewer when they give more than 64 MB.
        model, inputs, sites, positions, labels, groups, batch_tokens, dtype, device, interventions, sinks, progress:
            those of :func:`capture`.

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
    request = Request.of(model, inputs, sites, positions, labels, groups, dtype, device, interventions, sinks)
    given = {"batch_tokens": batch_tokens, "shard_inputs": shard_inputs}
    found = store if isinstance(store, ActivationStore) else ActivationStore(store)
    with progress_bar(len(request.inputs), progress, "capturing") as advance, found:
        fixed = {name: n for name, n in given.items() if n is not None}
        _stream(request, found, Budget.of(model, batch_tokens), fixed, advance)
    return found


def _stream(request: Request, store: ActivationStore, budget: Budget, given: dict[str, int], advance: Any) -> None:
    """Read block after block; ``given`` are the sizes that the user fixed, others are those of the first session."""
    sizes = {"batch_tokens": budget.tokens, "shard_inputs": _SHARD_INPUTS} | given
    held, done = store.claim(request.as_json() | sizes, free=tuple(sizes))
    sizes = held | given
    budget.tokens, shard_inputs = sizes["batch_tokens"], integer(sizes["shard_inputs"], "shard_inputs", least=1)
    lost = {number: store.manifest.shards[number] for number in store.broken()}
    if advance:
        advance(done - sum(shard.stop - shard.first for shard in lost.values()))
    for number, shard in lost.items():
        found = request.read(list(request.locate(shard.first, shard.stop)), budget, advance)
        store.write_inputs(found, shard.first, shard.stop, number)
    for block in _blocks(request, done, shard_inputs):
        store.write_inputs(request.read(block, budget, advance), block[0].number, block[-1].number + 1)
    request.say_left_out()


def _blocks(request: Request, first: int, shard_inputs: int) -> Iterator[list[Located]]:
    """The inputs from ``first`` on, cut into those of one shard."""
    block: list[Located] = []
    n_bytes, row_bytes = 0, len(request.sites) * request.model.d_model * (request.dtype or request.model.dtype).itemsize
    for located in request.locate(first):
        block.append(located)
        n_bytes += row_bytes * request.rows(located)
        if len(block) == shard_inputs or n_bytes >= _SHARD_BYTES or located.number + 1 == len(request.inputs):
            yield block
            block, n_bytes = [], 0
