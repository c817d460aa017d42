"""What a steering run does."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from workbench.families.specs import Layer, ModelSpec

Dose = Annotated[float, Field(ge=-10, le=10)]


class SteerSpec(ModelSpec):
    """One steering run: a concept's vector at every layer and dose, and beside its controls where it acts best."""

    sized: ClassVar[tuple[str, ...]] = ("random", "shuffled")

    model: str = Field("smollm2-135m", description="shipped or fetched model, Hugging Face folder or hub id")
    concept: str = Field("valence", description="a concept that comes with the workbench, or a YAML file of one's own")
    layers: tuple[Layer, ...] | None = Field(
        (0.3, 0.5, 0.7, 0.8, 0.9), description="layers, or shares of the model's depth; null: all"
    )
    doses: tuple[Dose, ...] = Field(
        (-0.6, -0.3, -0.1, 0.1, 0.3, 0.6), min_length=1,
        description="lengths of what is added, as shares of the residual stream's norm",
    )  # fmt: skip
    random: int = Field(20, ge=2, description="random directions at the chosen layer and dose")
    shuffled: int = Field(5, ge=1, description="likewise, the vector with its entries in another order")
    max_damage: float = Field(
        0.5, gt=0, description="nats a token of neutral text: a layer and dose that cost more are not chosen"
    )

    @field_validator("doses")
    @classmethod
    def _in_order(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not any(dose > 0 for dose in value) or 0 in value:
            raise ValueError("name at least one dose above 0, and not 0, which is always run")
        return tuple(sorted(value))

    def check(self) -> None:
        """Also raise for a concept that cannot be read."""
        from workbench.families.steer.concept import read_concept

        super().check()
        read_concept(self.concept)
        self.known_layers(self.layers)


PRESETS: dict[str, SteerSpec] = {
    "cpu": SteerSpec(
        layers=(0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), doses=(-0.6, -0.3, -0.1, 0.1, 0.3, 0.6), random=40
    ),
    "gpu": SteerSpec(layers=None, doses=(-1, -0.6, -0.3, -0.1, -0.05, 0.05, 0.1, 0.3, 0.6, 1), random=100, shuffled=20),
    "laptop": SteerSpec(minutes=15, random=40),
    "demo": SteerSpec(),
    "smoke": SteerSpec(model="bandit-agent", layers=(0.3, 0.7), doses=(-0.3, 0.3), random=2, shuffled=1),
}
