"""The network of the cognitive map, which never builds its own input.

A row of the probe is a cell: concat(activation, row, column).  With 225 cells to a state the concatenation would be 225
copies of every activation.  But a linear layer on a concatenation is a sum of two, W (h, rc) = W_h h + W_rc rc, so
W_h h is computed once a state and W_rc rc once a cell, and they meet only for the cells that are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from probes.mlp import perceptron

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class MapNetwork(nn.Module):
    """A perceptron on concat(activation, coordinates) whose first layer is kept in its two parts.

    ``hidden`` are the layer widths; none make it linear.
    """

    def __init__(
        self, n_features: int, n_coordinates: int, hidden: Sequence[int], n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        first, *rest = [*hidden, n_classes]
        self.state_layer = nn.Linear(n_features, first)
        # Its own layer, hence its own initialisation: two coordinates are not drowned by hundreds of features.
        self.coordinate_layer = nn.Linear(n_coordinates, first, bias=False)
        self.rest = (
            nn.Sequential(nn.ReLU(), nn.Dropout(dropout), *perceptron(first, rest[:-1], rest[-1], dropout))
            if rest
            else nn.Identity()
        )

    def forward(
        self,
        features: Float[Tensor, "states d"],
        coordinates: Float[Tensor, "cells c"],
        states: Int[Tensor, " rows"],
        cells: Int[Tensor, " rows"],
    ) -> Float[Tensor, "rows classes"]:
        """Logits of row i: cell ``cells[i]`` of the state ``states[i]``."""
        of_state = self.state_layer(features)  # [states, first]
        of_cell = self.coordinate_layer(coordinates)  # [cells, first]
        return self.rest(of_state.index_select(0, states) + of_cell.index_select(0, cells))

    def every_cell(
        self, features: Float[Tensor, "states d"], coordinates: Float[Tensor, "cells c"]
    ) -> Float[Tensor, "states cells classes"]:
        """Logits of every cell of every state."""
        return self.rest(self.state_layer(features)[:, None] + self.coordinate_layer(coordinates))


def cell_coordinates(size: int, one_hot: bool) -> Float[Tensor, "cells c"]:
    """What the probe is told of each cell, row by row: (row, column) with mean 0 and variance 1, or one-hot.

    One-hot means one-hot row beside one-hot column, 2 * size numbers.

    >>> cell_coordinates(2, one_hot=False).tolist()
    [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> cell_coordinates(15, one_hot=True).shape
    torch.Size([225, 30])
    """
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    if one_hot:
        eye = torch.eye(size)
        return torch.cat([eye[row.flatten()], eye[column.flatten()]], dim=1)
    steps = torch.arange(size, dtype=torch.float32)
    steps = (steps - steps.mean()) / max(float(steps.std(correction=0)), 1e-6)
    return torch.stack([steps[row.flatten()], steps[column.flatten()]], dim=1)
