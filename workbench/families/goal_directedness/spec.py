"""What a goal-directedness run does."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from workbench.errors import check_known
from workbench.families.specs import Layer, ModelSpec
from workbench.worlds.grids.maze_sets import MazeSpec, distinct, odd_from

MODES = ("direct", "reasoning")


class GoalSpec(MazeSpec, ModelSpec):
    """One goal-directedness run; the defaults are the paper's sizes (its ``gpu`` preset)."""

    world: ClassVar[str] = "grids"
    repeatable: ClassVar[tuple[str, ...]] = ("hidden",)
    sized: ClassVar[tuple[str, ...]] = ("layouts", "rollouts", "structures", "probe_layouts", "causal_states")

    model: str = Field("grid-agent", description="shipped model, Hugging Face folder or hub id")
    modes: tuple[str, ...] = Field(MODES, description="how the agent answers: direct, reasoning or both")
    layouts: int = Field(10, ge=2, description="layouts a size and density")
    rollouts: int = Field(10, ge=1, description="rollouts a layout")
    transform_rollouts: int = Field(1, ge=1, description="rollouts a layout and transform")
    structures: int = Field(100, ge=2, description="layouts of each goal structure")
    structure_sizes: tuple[int, ...] = (7, 9, 11)
    layers: tuple[Layer, ...] | None = Field(
        None, description="layers that are probed, by number or share of depth (0.5: half way); default all"
    )
    map_size: int = Field(15, validate_default=True, description="every map is padded to this size")
    holdout: float = Field(0.2, gt=0, lt=1, description="share of the layouts that probes are tested on")
    hidden: tuple[int, ...] = Field((512, 256), description="hidden layers of the MLP probe")
    probe_epochs: int = Field(30, ge=1, description="most epochs of the MLP probe (it stops early)")
    plan_decoders: tuple[int, ...] = Field((1, 2, 4), description="decoder layers of the plan probe")
    plan_width: int = Field(1024, ge=8, multiple_of=8, description="width of the plan decoder (8 heads)")
    plan_epochs: int = Field(40, ge=1)
    doses: tuple[float, ...] = Field(
        (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0),
        description="of the causal vectors: their length as a share of the residual stream's",
    )
    multipliers: tuple[float, ...] | None = Field(
        None, description="raw, in place of doses: how many times the difference of the class means is added"
    )
    random_directions: int = Field(5, ge=1, description="random directions beside the probe's")
    causal_states: int = Field(400, ge=10)

    _listed = field_validator("modes", "structure_sizes", "layers", "plan_decoders", "doses", "multipliers")(distinct)
    _odd_structures = field_validator("structure_sizes")(odd_from(7))  # two rooms and a door need the space

    @field_validator("modes")
    @classmethod
    def _modes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for mode in value:
            check_known(mode, MODES, "mode")
        return value

    @field_validator("hidden", "plan_decoders")
    @classmethod
    def _counts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1:
            raise ValueError(f"{min(value)}: at least 1 is needed" if value else "name at least one")
        return value

    @field_validator("doses", "multipliers")
    @classmethod
    def _doses(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if 0 in (value or ()):
            raise ValueError("0 is the unsteered agent, which is measured in any case: leave it out")
        return value

    @field_validator("map_size")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        largest = max(info.data.get("sizes", ()), default=value)
        if value < largest:
            raise ValueError(f"grids of size {largest} do not fit into maps of size {value}: set map_size to {largest}")
        return value


PRESETS: dict[str, GoalSpec] = {
    "gpu": GoalSpec(),
    "cpu": GoalSpec(
        sizes=(7, 9), transform_rollouts=5, structures=60, structure_sizes=(7, 9), max_new_tokens=48, probe_layouts=40,
        map_size=9, hidden=(256, 128), plan_decoders=(1,), plan_width=128, plan_epochs=30, random_directions=3,
    ),
    "laptop": GoalSpec(
        minutes=15, sizes=(7,), densities=(0.4, 1.0), rollouts=3, structures=30, structure_sizes=(7,),
        max_new_tokens=48, probe_layouts=40, map_size=7, layers=(0.3, 0.5, 0.7), hidden=(256, 128),
        plan_decoders=(1,), plan_width=128, plan_epochs=30, random_directions=3,
    ),
    "smoke": GoalSpec(
        sizes=(7,), densities=(0.4, 1.0), layouts=2, rollouts=2, structures=3, structure_sizes=(7,), max_new_tokens=48,
        probe_layouts=8, layers=(0, 3), map_size=7, hidden=(32,), probe_epochs=2, plan_decoders=(1,), plan_width=32,
        plan_epochs=2, doses=(-0.5, 0.5), random_directions=1, causal_states=20,
    ),
}  # fmt: skip
