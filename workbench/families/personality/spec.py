"""What a personality run does."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from workbench.errors import SpecError, check_known
from workbench.families.specs import Layer, ModelSpec


class PersonalitySpec(ModelSpec):
    """One run: the inventory on the model as it is, under portraits, and steered along each trait's vector."""

    sized: ClassVar[tuple[str, ...]] = ("items", "random")

    model: str = Field("smollm2-135m", description="shipped or fetched model, Hugging Face folder or hub id")
    inventory: str = Field(
        "short", description="short, or a file: YAML of one's own, MPI's CSV, TRAIT's JSON or JSON lines"
    )
    traits: str = Field("five", description="what vectors and portraits are made of: five, or a YAML file")
    of: tuple[str, ...] | None = Field(None, description="traits that are pushed; null: all that both files know")
    readout: Literal["texts", "letters"] = Field("texts", description="what is scored: an option's text or its letter")
    items: int | None = Field(None, ge=2, description="at most so many of each trait; null: all")
    layers: tuple[Layer, ...] = Field((0.6,), min_length=1, description="where vectors are added; shares of the depth")
    read: Layer = Field(0.8, description="where activations are read, not before the layers that are steered")
    target_kl: float = Field(0.1, gt=0, description="damage that vectors are compared at: KL on neutral text, nats")
    random: int = Field(8, ge=2, description="random directions of the same damage, each both ways")

    def check(self) -> None:
        """Also raise for an inventory or traits that cannot be read or do not go together, and for a read-out before
        the layers that are steered."""
        from workbench.families.personality.inventory import read_inventory, traits_of
        from workbench.families.personality.traits import read_traits

        super().check()
        known, made = traits_of(read_inventory(self.inventory)), read_traits(self.traits).traits
        if not set(known) & set(made):
            raise SpecError(f"traits: vectors are of {', '.join(made)}, and the inventory has {', '.join(known)}")
        for trait in self.of or ():
            check_known(trait, [each for each in made if each in known], "trait of vectors")
        if self.read_layer() < max(self.known_layers(self.layers)):
            raise SpecError(f"read: layer {self.read_layer()} lies before a layer that is steered")

    def read_layer(self) -> int:
        """The number of the layer ``read``."""
        return self.known_layers((self.read,))[0]


PRESETS: dict[str, PersonalitySpec] = {
    "cpu": PersonalitySpec(layers=(0.5, 0.6, 0.7), random=20),
    "gpu": PersonalitySpec(layers=(0.3, 0.4, 0.5, 0.6, 0.7), random=40, dtype="bfloat16"),
    "laptop": PersonalitySpec(minutes=15, items=6, random=6, dtype="bfloat16"),
    "smoke": PersonalitySpec(
        model="bandit-agent", items=2, of=("extraversion", "neuroticism"), layers=(0.5,), random=2
    ),
}
