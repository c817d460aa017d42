"""What the units of one goal-directedness run share: the model, the run folder, and what earlier units left in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import SpecError
from workbench.families.goal_directedness.probing import ProbeData
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.families.goal_directedness.summary import chosen_layer
from workbench.models.language_model import LanguageModel
from workbench.runs import RunFolder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Job", "Work", "activations_name", "layers_of"]


class Job:
    """One run at work."""

    def __init__(self, model: LanguageModel, spec: GoalSpec, folder: RunFolder, progress: bool = False) -> None:
        self.model, self.spec, self.folder, self.progress = model, spec, folder, progress
        self.layers = layers_of(spec, model.n_layers)

    @cached_property
    def data(self) -> ProbeData:
        """The probed states, from the unit that played them."""
        return ProbeData(self.spec, self.folder.read("states"))

    def activations(self, position: str, layer: int, control: str = "") -> np.ndarray:
        """[states, tokens * d] of the model, or (``control`` "untrained") of the untrained model, float32."""
        tensors = self.folder.load_tensors(activations_name(position, layer, control))[0]
        return np.asarray(tensors["activations"].float().numpy())

    def decoded(self, position: str, layer: int) -> np.ndarray:
        """Decoded maps of the test states by the MLP probe."""
        tensor = self.folder.load_tensors(f"decoded-{position}-{layer}")[0]["probabilities"]
        return np.asarray(tensor.float().numpy())

    @cached_property  # asked for when all maps are there, and not before
    def layer(self) -> int:
        """The layer whose maps are best, before and after reasoning taken together."""
        return chosen_layer(self.folder, self.layers)


Work = Callable[[Job], "pd.DataFrame"]


def activations_name(position: str, layer: int, control: str = "") -> str:
    """The artifact in which the activations of a position and layer are."""
    return "-".join(["activations", *([control] if control else []), position, str(layer)])


def layers_of(spec: GoalSpec, n_layers: int) -> tuple[int, ...]:
    """The layers to probe; :class:`SpecError` for one that the model does not have."""
    layers = tuple(range(n_layers)) if spec.layers is None else spec.layers
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise SpecError(f"layer {layer} does not exist: {spec.model} has layers 0 to {n_layers - 1}")
    return layers
