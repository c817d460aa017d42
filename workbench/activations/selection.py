"""What is kept of a batch's activations while its pass goes on: the asked positions of each row, or their mean.

Where attention sinks are looked for, the norms of every block's output are read on the way, and dropped at once.  So a
mean at a site leaves out what is a sink up to that layer, whichever further sites are read, and nothing is run twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.activations.sinks import LEFT_OUT
from workbench.labels import SINK
from workbench.models.sinks import SinkWatch, norms_of
from workbench.sites import Site

if TYPE_CHECKING:
    from workbench.activations.batches import Pass


@dataclass
class SinkCounts:
    """Attention sinks of the rows that are read.

    ``usual`` [layer]: the model's norms.  ``rows`` [rows] is filled in by :func:`run_passes`: how many sinks a mean
    left out; 0 or 1 for a row at one position.  ``left_out``, ``means``: positions so far, and means that lack any.
    """

    usual: Float[Tensor, " layer"]
    rows: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    left_out: int = 0
    means: int = 0

    def column(self, mean: bool) -> tuple[str, np.ndarray]:
        """The label of the rows and its values."""
        counted = self.rows.numpy()
        if not mean:
            return SINK, counted > 0
        self.left_out += int(counted.sum())
        self.means += int((counted > 0).sum())
        return LEFT_OUT, counted


class Selection:
    """The selection of one batch; ``usual`` asks to look for sinks."""

    def __init__(
        self, batch: Sequence[Pass], mean: bool, dtype: torch.dtype | None, usual: Float[Tensor, " layer"] | None
    ) -> None:
        self.batch, self.dtype, self.usual = batch, dtype, usual
        self.keep = self._mean if mean else self._gather
        lengths = [len(one.tokens) for one in batch]
        self.watch = None if usual is None else SinkWatch((len(batch), max(lengths)), lengths)
        self.left_out = [0] * len(batch)
        self.rows = torch.tensor([i for i, one in enumerate(batch) for _ in one.positions])
        self.positions = torch.tensor([position for one in batch for position in one.positions])
        self.mean = mean

    def by_site(self, sites: Sequence[Site]) -> dict[Site, Callable[[Tensor], Tensor]]:
        """What is done with the activation at each site, in the order of a pass."""
        if self.watch is None:
            return dict.fromkeys(sites, self.keep)
        blocks = [Site(layer) for layer in range(max(site.layer for site in sites) + 1)]
        chosen = {site: self.keep for site in sites} | {
            site: partial(self._watched, site.layer, site in sites) for site in blocks
        }
        return dict(sorted(chosen.items(), key=lambda item: (item[0].layer, item[0].component == "resid_post")))

    @property
    def sinks(self) -> Tensor:
        """For each row that is kept, how many positions are sinks that a mean left out, or whether it is at one."""
        assert self.watch is not None
        return torch.tensor(self.left_out) if self.mean else self.watch.found[self.rows, self.positions].long()

    def _watched(self, layer: int, asked: bool, activation: Tensor) -> Tensor:
        """Norms seen, and what is kept of the activation behind a block if it is asked for."""
        assert self.watch is not None and self.usual is not None
        self.watch.see(norms_of(activation), float(self.usual[layer]))
        return self.keep(activation) if asked else activation.new_zeros(0)

    def _gather(self, activation: Tensor) -> Tensor:
        """The asked positions: [batch pos ...] -> [picked d]."""
        return activation[self.rows.to(activation.device), self.positions.to(activation.device)].flatten(1)

    def _mean(self, activation: Tensor) -> Tensor:
        """Means over the asked positions that are no sinks, summed in float32: [batch pos ...] -> [batch d].

        Where all of them are sinks, none is left out."""
        sinks = [] if self.watch is None else self.watch.found.tolist()
        means = []
        for number, (row, one) in enumerate(zip(activation, self.batch, strict=True)):
            places = list(one.positions)
            if sinks:
                kept = [place for place in places if not sinks[number][place]] or places
                self.left_out[number] = max(self.left_out[number], len(places) - len(kept))
                places = kept
            means.append(row[places].flatten(1).float().mean(0))
        return torch.stack(means).to(self.dtype or activation.dtype)
