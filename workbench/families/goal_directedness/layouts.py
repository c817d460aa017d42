"""The layouts that a run plays, as a table: all follow from the spec, so a resumed run plays the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workbench.families.goal_directedness.spec import GoalSpec
from workbench.seeding import derive_seed
from workbench.worlds.grids.layouts import Layout
from workbench.worlds.grids.mazes import GOAL_STRUCTURES, make_layout

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Layouts", "maze_layouts", "structure_layouts"]


class Layouts:
    """Layouts with their labels: row i of ``table`` describes layout i (``size, density``...)."""

    def __init__(self, layouts: Sequence[Layout], labels: Sequence[dict[str, Any]]) -> None:
        import pandas as pd

        self.layouts = list(layouts)
        self.table = pd.DataFrame(labels)

    def label(self, steps: pd.DataFrame) -> pd.DataFrame:
        """``steps`` with the labels of their layouts."""
        return steps.join(self.table, on="layout")

    def transformed(self, apply: Callable[[Layout], Layout]) -> Layouts:
        """The images of the layouts, in the same order."""
        return Layouts([apply(layout) for layout in self.layouts], self.table.to_dict("records"))


@lru_cache(maxsize=8)  # drawn for every unit that plays or labels them, and held-out ones are one draw in five
def maze_layouts(spec: GoalSpec, purpose: str, count: int) -> Layouts:
    """``count`` mazes of every size and density; another ``purpose`` draws others.  Shared: not to be changed."""
    found = list(_mazes(spec, purpose, count))
    return Layouts([layout for layout, _ in found], [labels for _, labels in found])


def _mazes(spec: GoalSpec, purpose: str, count: int) -> Iterator[tuple[Layout, dict[str, Any]]]:
    for size in spec.sizes:
        for density in spec.densities:
            for k in range(count):
                seed = derive_seed(spec.seed, purpose, size, str(density), k)
                layout = make_layout(size, density, seed=seed, held_out=spec.held_out)
                yield layout, {"size": size, "density": density}


def structure_layouts(spec: GoalSpec) -> Layouts:
    """The same number of layouts of each goal structure, sizes in turn."""
    layouts, labels = [], []
    for structure in GOAL_STRUCTURES:
        for k in range(spec.structures):
            size = spec.structure_sizes[k % len(spec.structure_sizes)]
            seed = derive_seed(spec.seed, "structure", structure, k)
            layouts.append(make_layout(size, 0.0, structure, seed, held_out=spec.held_out))
            labels.append({"structure": structure, "size": size})
    return Layouts(layouts, labels)
