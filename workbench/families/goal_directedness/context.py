"""What the steps, tables and claims of one goal-directedness run share: what earlier steps left in its folder."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from workbench.families import Context
from workbench.families.goal_directedness.probing import ProbeData
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.worlds.grids.agents.play import episodes_of
from workbench.worlds.grids.agents.probed_states import POSITIONS, readable_states
from workbench.worlds.grids.agents.states import visited_states
from workbench.worlds.grids.maze_sets import Layouts, maze_layouts


class GoalRun(Context[GoalSpec]):
    """One run at work."""

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers that are probed."""
        return self.spec.known_layers(self.spec.layers)

    @property
    def mazes(self) -> Layouts:
        """The mazes in which behaviour is evaluated."""
        return maze_layouts(self.spec, "mazes", self.spec.layouts)

    @cached_property  # asked for by the claims, when all have played
    def behaviour(self) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
        """For each mode the states that the agent visited and its episodes, with the labels of their mazes."""
        played = {mode: self.gather(f"behaviour-{mode}") for mode in self.spec.modes}
        mazes = self.mazes
        return {
            mode: (mazes.label(visited_states(steps, mazes.layouts)), mazes.label(episodes_of(steps, mazes.layouts)))
            for mode, steps in played.items()
        }

    @property
    def probed(self) -> bool:
        """Whether the agent reasons, so that there is something to read before and after."""
        return "reasoning" in self.spec.modes

    @cached_property
    def data(self) -> ProbeData:
        """The probed states, from the steps that played them."""
        return ProbeData(self.spec, readable_states(self.spec.model, self.spec, self.gather("states")))

    def activations(self, position: str, layer: int, control: str = "") -> np.ndarray:
        """[states, tokens * d] of the model, or (``control`` "untrained") of the untrained model, float32."""
        parts = [
            self.folder.load_tensors(activations_name(position, size, control))[0][str(layer)]
            for size in self.spec.sizes  # the order in which the states were played
        ]
        return np.concatenate([part.float().numpy() for part in parts])

    def decoded(self, position: str, layer: int) -> np.ndarray:
        """Decoded maps of the test states by the MLP probe."""
        tensor = self.folder.load_tensors(f"decoded-{position}-{layer}")[0]["probabilities"]
        return np.asarray(tensor.float().numpy())

    @cached_property  # asked for when all maps are there, and not before
    def layer(self) -> int:
        """The layer whose MLP maps are best, the mean of before and after reasoning.

        Judged by the loss on the training layouts that the probes kept for early stopping: the test layouts have no
        part in the choice, so what is reported at this layer is not the best of many.
        """
        losses = {
            layer: sum(self.folder.load_tensors(f"decoded-{p}-{layer}")[1]["validation_loss"] for p in POSITIONS)
            for layer in self.layers
        }
        return min(losses, key=lambda layer: (losses[layer], layer))


def activations_name(position: str, size: int, control: str = "") -> str:
    """The artifact in which the activations at a position are, of grids of one size: a tensor a layer."""
    return "-".join(filter(None, ["activations", control, position, str(size)]))
