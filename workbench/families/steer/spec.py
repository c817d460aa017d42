"""What a steering run does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from workbench.errors import check_known
from workbench.families.specs import Layer, ModelSpec

Dose = Annotated[float, Field(ge=-10, le=10)]
LEARNED = "preference"
MAKERS = ("mean_difference", "pca_difference", "linear_probe", LEARNED)


class SteerSpec(ModelSpec):
    """One steering run: vectors at every layer, the doses of the layers worth trying, and controls at equal damage."""

    sized: ClassVar[tuple[str, ...]] = ("random", "shuffled", "replies")

    model: str = Field("smollm2-135m", description="shipped or fetched model, Hugging Face folder or hub id")
    concept: str = Field("valence", description="a concept that comes with the workbench, or a YAML file of one's own")
    pairs: str | None = Field(
        None, description="instead: a file of pairs of one's own (JSON lines, JSON or CSV; positive, negative, prompt)"
    )
    vector: str | None = Field(
        None, description="a vector file in place of a vector made of the pairs, which then only measure it"
    )
    transfer: str | None = Field(None, description="with pairs: another file of pairs, on which it is tested too")
    maker: str = Field(
        "mean_difference",
        description=f"how a vector is made: {', '.join(MAKERS)} (by gradient, at each layer of the grid)",
    )
    layers: tuple[Layer, ...] | None = Field(
        None, description="layers that may be tried, or shares of the model's depth; null: all"
    )
    candidates: int = Field(
        5, ge=1, description="layers of the grid, spread over those where the vector tells held-out pairs apart"
    )
    doses: tuple[Dose, ...] = Field(
        (-0.6, -0.3, -0.1, 0.1, 0.3, 0.6), min_length=1,
        description="lengths of what is added, as shares of the residual stream's norm",
    )  # fmt: skip
    target_kl: float | None = Field(
        None,
        gt=0,
        description="in place of the doses: those at which neutral text moves by this KL divergence (nats a token)",
    )
    prompt: str | None = Field(
        None,
        description="what you would write in front in place of a vector (default: the concept's, or three examples)",
    )
    prompt_down: str | None = Field(None, description="likewise for the other direction")
    rule: str | None = Field(
        None, description="measure the share of replies that pass a check, such as max_words:20, json, contains:WORD"
    )
    probe: str | None = Field(None, description="measure the score of a saved probe on the replies")
    n: int = Field(4, ge=1, description="replies a prompt that a rule or probe judges")
    random: int = Field(20, ge=2, description="random directions, at the damage of the chosen layer and dose")
    shuffled: int = Field(5, ge=1, description="likewise, the vector with its entries in another order")
    max_damage: float = Field(
        0.5, gt=0, description="nats a token of neutral text: a layer and dose that cost more are not chosen"
    )
    max_incoherence: float = Field(
        1.5, gt=0, description="nats a token by which the unsteered model may find replies less likely than its own"
    )
    replies: int = Field(3, ge=1, description="prompts to choose on, and as many to test on, whose replies are kept")
    max_new_tokens: int = Field(24, ge=4, description="tokens of a reply")
    panel: tuple[str, ...] | None = Field(
        None, description="other concepts that should stay as they are; null: all that come with the workbench"
    )

    @field_validator("doses")
    @classmethod
    def _in_order(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not any(dose > 0 for dose in value) or 0 in value:
            raise ValueError("name at least one dose above 0, and not 0, which is always run")
        return tuple(sorted(value))

    @model_validator(mode="after")
    def _one_of(self) -> SteerSpec:
        if self.rule and self.probe:
            raise ValueError("a rule or a probe measures the replies, not both")
        if self.transfer and not self.pairs:
            raise ValueError("transfer is a second file of pairs: give pairs, too")
        return self

    @property
    def title(self) -> str:
        """What is steered, in a word."""
        return Path(self.pairs).stem if self.pairs else self.concept

    def check(self) -> None:
        """Also raise for a maker, concept, file, rule or panel that cannot be used."""
        from workbench.families.steer.material import given_vectors, material

        super().check()
        check_known(self.maker, MAKERS, "maker")
        material(self)
        self.known_layers(self.layers)
        if self.vector:
            given_vectors(self)


PRESETS: dict[str, SteerSpec] = {
    "cpu": SteerSpec(candidates=8, random=40, replies=4),
    "gpu": SteerSpec(
        candidates=100, doses=(-1, -0.6, -0.3, -0.1, -0.05, 0.05, 0.1, 0.3, 0.6, 1), random=100, shuffled=20, replies=4
    ),
    "laptop": SteerSpec(minutes=15, random=40),
    "demo": SteerSpec(replies=2),
    "smoke": SteerSpec(
        model="bandit-agent", candidates=2, doses=(-0.3, 0.3), random=2, shuffled=1, replies=1, max_new_tokens=4
    ),
}
