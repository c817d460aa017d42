"""The cognitive map: what an activation knows of each cell of the grid its agent stands in.

One probe for all cells: it is given the activations of a state and the coordinates of a cell and names what is there
(arXiv 2602.08964, 'Cognitive map').  The linear one can only add the two, so its decoded maps are all alike up to a
shift; what the MLP decodes beyond that is in the activations, but not along a direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.nn import functional as F

from probes.mlp import perceptron
from probes.torch_probe import TorchProbe, row_groups, scaling
from probes.torch_training import check_training, hold_out, resolve_device, seeded, shuffled
from workbench.arguments import to_numpy
from workbench.errors import DataError, SpecError, did_you_mean
from workbench.worlds.grids.probes.cells import CELLS, PADDING, CellMaps, cell_class, decode_map, encode_maps, locate
from workbench.worlds.grids.probes.map_scores import map_scores

__all__ = ["CELLS", "CellMaps", "CognitiveMapProbe", "cell_class", "decode_map", "encode_maps", "locate", "map_scores"]

_KINDS, _COORDINATES = ("linear", "mlp"), ("raw", "one-hot")
_CHUNK = 64  # states whose cells are all predicted at a time: 64 x 225 cells x 512 units are 30 MB


@dataclass(eq=False, repr=False)  # scikit-learn's own
class CognitiveMapProbe(TorchProbe):
    """Decodes grids [states, size, size] from activations H [states, features] (concatenate several tokens' yourself).

    ``kind``: "mlp" (the paper's two hidden layers of 512 and 256) or "linear" (softmax regression).  ``coordinates``:
    "raw" (row, column), as in the paper, or "one-hot".  ``padding=False`` leaves the cells beyond a small grid's border
    out of the training.  An epoch takes every state once and draws ``cells_per_state`` of its cells, every class of a
    minibatch as often (``balanced=False``: cells as they come); a cell drawn twice is computed once and counted twice.
    Early stopping holds whole groups out.  Classes are the numbers of ``CELLS``; those never seen get probability 0.

    >>> rng = np.random.default_rng(0)
    >>> maps = rng.integers(0, 2, size=(200, 3, 3))                     # floor and walls, all nine cells at random
    >>> H = maps.reshape(200, 9) + 0.1 * rng.normal(size=(200, 9))      # one feature a cell
    >>> probe = CognitiveMapProbe(size=3, coordinates="one-hot", hidden=(64, 32), lr=5e-3).fit(H, maps)
    >>> bool((probe.predict(H) == maps).mean() > 0.9)
    True
    """

    kind: str = "mlp"
    size: int = 15
    coordinates: str = "raw"
    padding: bool = True
    hidden: Sequence[int] = (512, 256)
    dropout: float = 0.1
    lr: float = 1e-3
    weight_decay: float = 1e-2
    epochs: int = 40
    batch_size: int = 64
    cells_per_state: int = 24
    patience: int = 6
    validation: float = 0.1
    balanced: bool = True
    random_state: int = 0
    device: str | None = None
    progress: bool = False

    def fit(self, H: Any, maps: Any, groups: Any = None) -> Self:
        """H: [states, features]; maps: [states, size, size] numbers of ``CELLS``; groups: [states], say the layout."""
        self._check()
        H = validate_data(self, to_numpy(H), dtype=np.float32)
        targets = self._check_maps(maps, len(H))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        held = hold_out(row_groups(groups, len(H)), self.validation, seed)
        self.mean_, self.scale_ = scaling(H)
        counted = targets.ravel() if self.padding else targets[targets != PADDING]
        self.classes_ = np.unique(counted)
        device = resolve_device(self.device)
        with seeded(seed):
            self.network_ = self._network(H.shape[1], self._n_outputs()).to(device)
            fitting = _Fitting(self, self._standardised(H).to(device), torch.from_numpy(targets).to(device), held)
            self._learn(fitting.epoch, fitting.validate if held.any() else None)
        return self

    def predict(self, H: Any) -> CellMaps:
        """The decoded maps [states, size, size]: the likeliest class of every cell."""
        return self.predict_proba(H).argmax(-1)

    def predict_proba(self, H: Any) -> Float[np.ndarray, "states size size classes"]:
        """Probability of each class of ``CELLS`` at every cell, float32 (``len(CELLS)`` numbers a cell)."""
        check_is_fitted(self)
        H = validate_data(self, to_numpy(H), dtype=np.float32, reset=False)
        device = resolve_device(self.device)
        network, coordinates = cast("MapNetwork", self.network_.to(device)), self._coordinates().to(device)
        proba = np.zeros((len(H), self.size**2, len(CELLS)), dtype=np.float32)
        with torch.no_grad():
            for start, part in enumerate(self._standardised(H).split(_CHUNK)):
                found = network.every_cell(part.to(device), coordinates).softmax(-1)
                proba[start * _CHUNK :][: len(part), :, self.classes_] = found.cpu().numpy()
        return proba.reshape(len(H), self.size, self.size, len(CELLS))

    def _network(self, n_features: int, n_outputs: int) -> MapNetwork:
        hidden = self.hidden if self.kind == "mlp" else ()
        return MapNetwork(n_features, self._coordinates().shape[1], hidden, n_outputs, self.dropout)

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _coordinates(self) -> Float[Tensor, "cells c"]:
        return cell_coordinates(self.size, self.coordinates == "one-hot")

    def _check(self) -> None:
        check_training(self)
        for name, valid in (("kind", _KINDS), ("coordinates", _COORDINATES)):
            value = getattr(self, name)
            if value not in valid:
                raise SpecError(f"CognitiveMapProbe: unknown {name} {value!r}{did_you_mean(value, valid)}")
        if self.cells_per_state < 1 or self.size < 1:
            raise SpecError(
                f"CognitiveMapProbe: size={self.size} and cells_per_state={self.cells_per_state} must be at least 1"
            )
        if self.kind == "mlp" and not self.hidden:
            raise SpecError("CognitiveMapProbe: kind='mlp' needs hidden layers; kind='linear' has none")

    def _check_maps(self, maps: Any, n_states: int) -> Int[np.ndarray, "states cells"]:
        found = np.asarray(to_numpy(maps))
        shape = (n_states, self.size, self.size)
        if found.shape != shape or found.dtype.kind not in "iu":
            raise DataError(f"maps are {found.dtype} of shape {found.shape}; {shape} integers are needed (encode_maps)")
        if found.min() < 0 or found.max() >= len(CELLS):
            raise DataError(f"maps hold numbers from {found.min()} to {found.max()}; cells are 0 to {len(CELLS) - 1}")
        if not self.padding and (found == PADDING).all():
            raise DataError("padding=False, and every cell of the maps is padding: nothing is left to learn")
        return found.reshape(n_states, -1).astype(np.int64)

    def _arrays(self) -> dict[str, np.ndarray]:
        return super()._arrays() | {"classes": self.classes_}

    def _load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.classes_ = arrays["classes"]
        super()._load_arrays(arrays)


class _Fitting:
    """The minibatches of one fit and its held-out cells."""

    def __init__(
        self, probe: CognitiveMapProbe, features: Tensor, targets: Int[Tensor, "states cells"], held: np.ndarray
    ) -> None:
        self.probe, self.features = probe, features
        device = features.device
        self.coordinates = probe._coordinates().to(device)
        number = torch.full((len(CELLS),), -1, device=device)  # class of CELLS -> output of the network, -1: left out
        number[torch.from_numpy(probe.classes_).to(device)] = torch.arange(len(probe.classes_), device=device)
        self.targets = number[targets]
        self.rows = torch.from_numpy(np.flatnonzero(~held)).to(device)
        self.held = torch.from_numpy(np.flatnonzero(held)).to(device)
        # Drawn once, so that the held-out losses of two epochs compare.
        self.held_cells = [self.draw(states) for states in self.held.split(256) if len(states)]

    def epoch(self) -> Iterator[Tensor]:
        for states in shuffled(self.rows, self.probe.batch_size):
            yield self.loss(states, *self.draw(states))

    def validate(self) -> float:
        parts = zip(self.held.split(256), self.held_cells, strict=True)
        losses = [float(self.loss(states, *drawn)) * len(states) for states, drawn in parts]
        return sum(losses) / len(self.held)

    def draw(self, states: Int[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """Distinct cells of these states (numbers into [batch * cells]) and how often each was drawn."""
        classes = self.targets[states].flatten()  # [batch * cells]
        open_to_draw = (classes >= 0).double()
        if self.probe.balanced:
            counts = torch.bincount(classes.clamp(min=0), weights=open_to_draw, minlength=len(self.probe.classes_))
            open_to_draw = open_to_draw / counts[classes.clamp(min=0)].clamp(min=1)
        ends = open_to_draw.cumsum(0)
        points = (
            torch.rand(len(states) * self.probe.cells_per_state, dtype=torch.float64, device=ends.device) * ends[-1]
        )
        drawn = torch.searchsorted(ends, points, right=True).clamp(max=len(ends) - 1)
        cells, times = drawn.unique(return_counts=True)
        return cells, times * (classes[cells] >= 0)

    def loss(self, states: Tensor, drawn: Int[Tensor, " rows"], times: Int[Tensor, " rows"]) -> Tensor:
        n_cells = len(self.coordinates)
        logits = self.probe.network_(self.features[states], self.coordinates, drawn // n_cells, drawn % n_cells)
        classes = self.targets[states].flatten()[drawn].clamp(min=0)
        losses = F.cross_entropy(logits, classes, reduction="none")
        return (losses * times).sum() / times.sum().clamp(min=1)


class MapNetwork(nn.Module):
    """A perceptron on concat(activation, coordinates) whose first layer is kept in its two parts.

    It never builds its own input.  A row of the probe is a cell: concat(activation, row, column).  With 225 cells to a
    state the concatenation would be 225 copies of every activation.  But a linear layer on a concatenation is a sum of
    two, W (h, rc) = W_h h + W_rc rc, so W_h h is computed once a state and W_rc rc once a cell, and they meet only for
    the cells that are looked at.

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
