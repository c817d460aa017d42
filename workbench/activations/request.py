"""The request of a capture: inputs, sites and positions, checked; and the rows that any stretch of its inputs gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench.activations.activation_set import ActivationSet, group_values, label_table
from workbench.activations.batches import Budget, Pass, as_dtype, check_length, readable_sites, run_passes
from workbench.activations.identity import identity
from workbench.activations.positions import Positions, are_pooled, check_positions, find_positions, is_mean
from workbench.activations.selection import SinkCounts
from workbench.activations.sinks import LEFT_OUT, WAYS
from workbench.errors import DataError, check_known, warn
from workbench.labels import SINK
from workbench.models.hooked_model import HookedModel
from workbench.models.inputs import items, plain_interventions
from workbench.models.interventions import Intervention
from workbench.models.language_model import Prompt
from workbench.models.loading import check_device
from workbench.models.memory import memory_errors
from workbench.sites import Site
from workbench.tables import frame_bytes

_ENCODED_AT_ONCE = 256
_OWN_COLUMNS = ("input", "position", SINK, LEFT_OUT)


@dataclass(frozen=True)
class Located:
    """An input with the positions that are to be read of it."""

    number: int
    tokens: list[int]
    positions: Sequence[int]


@dataclass(frozen=True)
class Request:
    """What a capture was asked for, and how any stretch of its inputs is read."""

    model: HookedModel
    inputs: Sequence[Prompt]
    sites: tuple[Site, ...]
    positions: Positions
    labels: pd.DataFrame
    groups: np.ndarray
    dtype: torch.dtype | None
    device: torch.device
    interventions: list[Intervention]
    sinks: SinkCounts | None  # where they are to be left out

    @classmethod
    def of(
        cls, model: HookedModel, inputs: Any, sites: Any, positions: Any, labels: Any, groups: Any, dtype: Any,
        device: Any, interventions: Any, sinks: Any,
    ) -> Request:  # fmt: skip
        """The request, checked before anything is run."""
        check_known(sinks, WAYS, "sinks")
        inputs, positions = items(inputs, "input"), check_positions(positions)
        table, group_of = _labels(inputs, labels, groups)
        left_out = sinks == WAYS[0] and are_pooled(positions) and model.sinks.exist
        return cls(
            model, inputs, readable_sites(model, sites), positions, table, group_of,
            as_dtype(dtype), check_device(device), plain_interventions(interventions),
            SinkCounts(model.sinks.norms) if left_out else None,
        )  # fmt: skip

    @property
    def mean(self) -> bool:
        return is_mean(self.positions)

    def rows(self, located: Located) -> int:
        """How many rows an input gives."""
        return 1 if self.mean else len(located.positions)

    def locate(self, first: int = 0, stop: int | None = None) -> Iterator[Located]:
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
                yield Located(number, tokens, found)

    def read(self, block: Sequence[Located], budget: Budget, advance: Any) -> ActivationSet:
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
                m, passes, self.sites, budget, mean=self.mean, sinks=self.sinks, dtype=self.dtype, device=self.device,
                interventions=self.interventions, advance=advance,
            )  # fmt: skip
            if self.sinks:
                table.insert(2, *self.sinks.column(self.mean))
            return ActivationSet(found, table, self.groups[number], m.fingerprint, m.basis, m.name, m.precision)

    def say_left_out(self) -> None:
        """Warn of means that are not over all positions."""
        if self.sinks and self.sinks.left_out:
            warn(
                f"{self.model.name}: {self.sinks.left_out} positions that are attention sinks are left out of"
                f" {self.sinks.means} means (sinks='keep' takes them in)"
            )

    def as_json(self) -> dict[str, Any]:
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
        } | ({"sinks": WAYS[0]} if self.sinks else {})  # stores of models without sinks stay what they were


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
