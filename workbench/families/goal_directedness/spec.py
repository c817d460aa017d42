"""What a goal-directedness run does."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from workbench.errors import did_you_mean
from workbench.worlds.grids.text import WORDINGS

__all__ = ["MODES", "PRESETS", "GoalSpec"]

MODES = ("direct", "reasoning")


class GoalSpec(BaseModel):
    """One goal-directedness run; the defaults are the paper's sizes (its ``gpu`` preset)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field("grid-agent", description="shipped model, Hugging Face folder or hub id")
    backend: str = Field("hf", description="hf, transformer_lens or nnsight")
    device: str | None = Field(None, description="default: CUDA when there is one")
    device_map: str | None = Field(None, description="auto spreads a large model over several GPUs")
    dtype: str = Field("auto", description="auto is the checkpoint's")
    seed: int = 0
    wording: str = Field("short", description="short (what the shipped agent knows) or full (explains the game)")
    modes: tuple[str, ...] = Field(MODES, description="how the agent answers: direct, reasoning or both")
    temperature: float = Field(0.7, gt=0)
    top_p: float = Field(0.95, gt=0, le=1)
    attempts: int = Field(3, ge=1, description="draws until an answer can be read")
    max_new_tokens: int = Field(512, ge=8)
    held_out: bool | None = Field(True, description="layouts kept from the shipped agent's training; None: any layout")

    sizes: tuple[int, ...] = (7, 9, 11, 13, 15)
    densities: tuple[float, ...] = Field((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), description="wall densities")
    layouts: int = Field(10, ge=2, description="layouts a size and density")
    rollouts: int = Field(10, ge=1, description="rollouts a layout")
    transform_rollouts: int = Field(1, ge=1, description="rollouts a layout and transform")
    structures: int = Field(100, ge=2, description="layouts of each goal structure")
    structure_sizes: tuple[int, ...] = (7, 9, 11)

    probe_layouts: int = Field(50, ge=5, description="layouts a size and density whose states are probed")
    probe_rollouts: int = Field(1, ge=1)
    layers: tuple[int, ...] | None = Field(None, description="layers that are probed; default all")
    tokens: int = Field(3, ge=1, description="activations that a probe reads: the last ones before the position")
    map_size: int = Field(15, validate_default=True, description="every map is padded to this size")
    holdout: float = Field(0.2, gt=0, lt=1, description="share of the layouts that probes are tested on")
    hidden: tuple[int, ...] = Field((512, 256), description="hidden layers of the MLP probe")
    probe_epochs: int = Field(30, ge=1, description="most epochs of the MLP probe (it stops early)")
    plan_steps: int = Field(10, ge=1, description="moves that the plan decoder forecasts")
    plan_decoders: tuple[int, ...] = Field((1, 2, 4), description="decoder layers of the plan probe")
    plan_width: int = Field(1024, ge=8, multiple_of=8, description="width of the plan decoder (8 heads)")
    plan_epochs: int = Field(40, ge=1)
    multipliers: tuple[float, ...] = Field((-4.0, -2.0, -1.0, 1.0, 2.0, 4.0), description="of the causal vectors")
    random_directions: int = Field(5, ge=1, description="random directions beside the probe's")
    causal_states: int = Field(400, ge=10)

    @field_validator("modes")
    @classmethod
    def _modes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for mode in value:
            if mode not in MODES:
                raise ValueError(f"unknown mode {mode!r}{did_you_mean(mode, MODES)}")
        return value

    @field_validator("wording")
    @classmethod
    def _wording(cls, value: str) -> str:
        if value not in WORDINGS:
            raise ValueError(f"unknown wording {value!r}{did_you_mean(value, WORDINGS)}")
        return value

    @field_validator(
        "modes", "sizes", "structure_sizes", "densities", "layers", "hidden", "plan_decoders", "multipliers"
    )
    @classmethod
    def _listed(cls, value: tuple[object, ...] | None, info: ValidationInfo) -> tuple[object, ...] | None:
        if value is None:
            return value
        if not value:
            raise ValueError("name at least one")
        if info.field_name != "hidden" and len(set(value)) < len(value):
            raise ValueError("one is named twice")
        return value

    @field_validator("sizes", "structure_sizes")
    @classmethod
    def _odd(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        least = 5 if info.field_name == "sizes" else 7  # two rooms and a door need the space
        for size in value:
            if size < least or size % 2 == 0:
                raise ValueError(f"size {size}: {info.field_name} are odd and at least {least}")
        return value

    @field_validator("densities")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= density <= 1 for density in value):
            raise ValueError("densities lie in 0 to 1")
        return value

    @field_validator("layers", "hidden", "plan_decoders")
    @classmethod
    def _counts(cls, value: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        least = 0 if info.field_name == "layers" else 1
        for number in value or ():
            if number < least:
                raise ValueError(f"{number}: at least {least} is needed")
        return value

    @field_validator("multipliers")
    @classmethod
    def _doses(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if 0 in value:
            raise ValueError("a multiplier of 0 is the unsteered agent, which is measured in any case: leave it out")
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
    "smoke": GoalSpec(
        sizes=(7,), densities=(0.4, 1.0), layouts=2, rollouts=2, structures=3, structure_sizes=(7,), max_new_tokens=48,
        probe_layouts=8, layers=(0, 3), map_size=7, hidden=(32,), probe_epochs=2, plan_decoders=(1,), plan_width=32,
        plan_epochs=2, multipliers=(-2.0, 2.0), random_directions=1, causal_states=20,
    ),
}  # fmt: skip
