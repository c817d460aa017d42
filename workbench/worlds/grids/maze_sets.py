"""Sets of mazes that an agent plays, as a table: all follow from the spec, so a resumed run plays the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from workbench.errors import check_known
from workbench.seeding import derive_seed
from workbench.worlds.grids.answers import FORMS
from workbench.worlds.grids.layouts import Layout
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.text import WORDINGS

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def distinct(value: tuple[T, ...] | None) -> tuple[T, ...] | None:
    """A validator of listed values: at least one, none twice."""
    if value is not None and not value:
        raise ValueError("name at least one")
    if value is not None and len(set(value)) < len(value):
        raise ValueError("one is named twice")
    return value


def odd_from(least: int) -> Callable[[tuple[int, ...], ValidationInfo], tuple[int, ...]]:
    """A validator of grid sizes: odd, and at least ``least``."""

    def check(value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        for size in value:
            if size < least or size % 2 == 0:
                raise ValueError(f"size {size}: {info.field_name} are odd and at least {least}")
        return value

    return check


class MazeSpec(BaseModel):
    """Mazes of several sizes and wall densities, and how an agent answers in them while its states are probed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    wording: str | None = Field(
        None,
        description="short (what grid-agent was trained on) or full (explains the game); default: as the model needs",
    )
    answer: str = Field("json", description="how a move is answered: json or letter")
    exact: bool = Field(True, description="a direct answer's probabilities are read off the model, else it is sampled")
    forced: bool = Field(
        False, description="behind a reasoning an answer is made to follow, and its probabilities read"
    )
    temperature: float = Field(0.7, gt=0)
    top_p: float = Field(0.95, gt=0, le=1)
    attempts: int = Field(3, ge=1, description="draws until an answer can be read")
    max_new_tokens: int = Field(512, ge=8)
    held_out: bool | None = Field(True, description="layouts kept from the shipped agent's training; None: any layout")
    sizes: tuple[int, ...] = (7, 9, 11, 13, 15)
    densities: tuple[float, ...] = Field((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), description="wall densities")
    probe_layouts: int = Field(50, ge=5, description="layouts a size and density whose states are probed")
    probe_rollouts: int = Field(1, ge=1)
    tokens: int = Field(3, ge=1, description="activations that a probe reads: the last ones before the position")
    plan_steps: int = Field(10, ge=1, description="moves that the plan decoder forecasts")

    _distinct = field_validator("sizes", "densities")(distinct)
    _odd = field_validator("sizes")(odd_from(5))

    @field_validator("wording")
    @classmethod
    def _wording(cls, value: str | None) -> str | None:
        if value is not None:
            check_known(value, WORDINGS, "wording")
        return value

    @field_validator("answer")
    @classmethod
    def _answer(cls, value: str) -> str:
        check_known(value, FORMS, "answer")
        return value

    @field_validator("densities")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= density <= 1 for density in value):
            raise ValueError("densities lie in 0 to 1")
        return value


class Layouts:
    """Layouts with their labels: row i of ``table`` describes layout i (``size, density``...)."""

    def __init__(self, layouts: Sequence[Layout], labels: Sequence[dict[str, Any]]) -> None:
        import pandas as pd

        self.layouts = list(layouts)
        self.table = pd.DataFrame(labels)

    def label(self, steps: pd.DataFrame) -> pd.DataFrame:
        """``steps`` with the labels of their layouts."""
        return steps.join(self.table, on="layout")

    def rows(self, **labels: Any) -> Any:
        """[layouts] indices of those with these labels, in order."""
        import numpy as np

        kept = np.ones(len(self.layouts), dtype=bool)
        for name, value in labels.items():
            kept &= (self.table[name] == value).to_numpy()
        return np.flatnonzero(kept)

    def transformed(self, apply: Callable[[Layout], Layout]) -> Layouts:
        """The images of the layouts, in the same order."""
        return Layouts([apply(layout) for layout in self.layouts], self.table.to_dict("records"))


def maze_layouts(spec: MazeSpec, purpose: str, count: int) -> Layouts:
    """``count`` mazes of every size and density; another ``purpose`` draws others.  Shared: not to be changed."""
    return _mazes(spec.seed, spec.sizes, spec.densities, spec.held_out, purpose, count)


@lru_cache(maxsize=8)  # asked for by every step that plays or labels them, and held-out ones are one draw in five
def _mazes(
    seed: int, sizes: tuple[int, ...], densities: tuple[float, ...], held_out: bool | None, purpose: str, count: int
) -> Layouts:
    layouts, labels = [], []
    for size, density, k in product(sizes, densities, range(count)):
        own = derive_seed(seed, purpose, size, str(density), k)
        layouts.append(make_layout(size, density, seed=own, held_out=held_out))
        labels.append({"size": size, "density": density})
    return Layouts(layouts, labels)


def probe_layouts(spec: MazeSpec) -> Layouts:
    """Layouts whose states are probed, drawn apart from those of a behavioural evaluation."""
    return maze_layouts(spec, "probe", spec.probe_layouts)
