"""What a deception run does."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from workbench.families.specs import Layer, ModelSpec


class DeceptionSpec(ModelSpec):
    """One run: the choice of a lie in every frame, the probe of instructed lies by layer, the vector at a layer."""

    sized: ClassVar[tuple[str, ...]] = ("most", "random")

    model: str = Field("smollm2-135m", description="shipped or fetched model, Hugging Face folder or hub id")
    scenarios: str = Field("everyday", description="everyday, a YAML file of one's own, or DeceptionBench's file")
    facts: str = Field("facts", description="what is told under both instructions: facts, or a YAML file")
    answers: str | None = Field(
        None, description="JSON lines of labelled chats {messages, deceptive, group}: the probe is tested on them too"
    )
    most: int | None = Field(None, ge=4, description="at most so many scenarios; null: all")
    layers: tuple[Layer, ...] | None = Field(
        (0.4, 0.6, 0.8), description="where the probe reads; layers, or shares of the depth; null: all"
    )
    steer: Layer = Field(0.6, description="where the vector is added")
    target_kl: float = Field(0.1, gt=0, description="damage that vectors are compared at: KL on neutral text, nats")
    random: int = Field(10, ge=2, description="random directions of the same damage")

    def check(self) -> None:
        """Also raise for files that cannot be read."""
        from workbench.families.deception.facts import read_answers, read_facts
        from workbench.families.deception.scenarios import read_scenarios

        super().check()
        read_scenarios(self.scenarios)
        read_facts(self.facts)
        if self.answers:
            read_answers(self.answers)
        self.known_layers(self.layers)
        self.steer_layer()

    def steer_layer(self) -> int:
        """The number of the layer ``steer``."""
        return self.known_layers((self.steer,))[0]

    def read_layers(self) -> tuple[int, ...]:
        """The layers that the probe reads, in order."""
        return tuple(sorted(self.known_layers(self.layers)))


PRESETS: dict[str, DeceptionSpec] = {
    "cpu": DeceptionSpec(layers=(0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), random=20),
    "gpu": DeceptionSpec(layers=None, random=40, dtype="bfloat16"),
    "laptop": DeceptionSpec(minutes=15, most=24, random=8, dtype="bfloat16"),
    "smoke": DeceptionSpec(model="bandit-agent", most=6, layers=(0.5,), steer=0.5, random=2),
}
