"""What a concept-injection run does."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AliasChoices, Field, ValidationInfo, field_validator

from workbench.errors import check_known, did_you_mean
from workbench.families.specs import Layer, ModelSpec

PROTOCOLS = ("detection", "naming", "thought", "prefill", "control", "kv_cache")
SCOPES = ("trial", "text", "reply", "everything")
CONTROLS = ("random", "shuffled", "perturbed", "neutral", "unrelated", "choice")


class InjectionSpec(ModelSpec):
    """One concept-injection run; the defaults are the paper's sizes (its ``gpu`` preset)."""

    world: ClassVar[str] = "questions"
    sized: ClassVar[tuple[str, ...]] = ("concepts", "baselines", "reference")

    model: str = Field("babbler-a", description="shipped model, Hugging Face folder or hub id; must be a chat model")
    words: str | None = Field(None, description="YAML file with concepts and baselines; default: the shipped words")
    concepts: int = Field(50, ge=4, description="concepts injected, the first of the list")
    baselines: int = Field(100, ge=2, description="words whose mean is taken from every concept's activation")
    layers: tuple[Layer, ...] | None = Field(
        None, description="layers of the grid, by number or share of depth; default: evenly spaced ones"
    )
    layer_points: int = Field(9, ge=1, description="how many evenly spaced layers, if layers is not given")
    doses: tuple[float, ...] = Field(
        (0.15, 0.3, 0.6, 1.2),
        description="lengths of what is added, as shares of the residual stream's at the layer; 0 is always run",
    )
    multipliers: tuple[float, ...] | None = Field(
        None,
        description="raw, in place of doses: multiples of the vector",
        validation_alias=AliasChoices("multipliers", "strengths"),  # the name in runs before 0.1
    )
    scope: str = Field("trial", description="where detection and naming are injected: trial, text, reply, everything")
    trials: int = Field(1, ge=1, description="completions a concept and cell")
    protocols: tuple[str, ...] = Field(PROTOCOLS, description="kinds of trial")
    controls: tuple[str, ...] = Field(CONTROLS, description="beside no injection, which is always run")
    exact: bool = Field(
        False,
        description="read yes, no and letters off the probabilities: nothing is sampled, arms without are left out",
    )
    reference: int = Field(
        40, ge=8, description="replies without injection an arm, whose likelihood says what counts as coherent"
    )
    temperature: float | None = Field(
        None, ge=0, description="of replies; default: as the model's authors have it sampled, else 1"
    )
    max_new_tokens: int = Field(100, ge=1)
    judge: str | None = Field(None, description="a model that grades replies in place of the rules (a name or folder)")

    @property
    def scale(self) -> str:
        """The column of how strongly is injected: ``dose`` or ``multiplier``."""
        return "dose" if self.multipliers is None else "multiplier"

    @property
    def strengths(self) -> tuple[float, ...]:
        """The doses, or the multipliers where these were given."""
        return self.doses if self.multipliers is None else self.multipliers

    def grid(self) -> tuple[int, ...]:
        """The layers of the grid; :class:`SpecError` for one that the model does not have."""
        layers = layers_between(self.n_layers(), self.layer_points) if self.layers is None else self.layers
        return self.known_layers(layers)

    @field_validator("protocols", "controls")
    @classmethod
    def _known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        valid = PROTOCOLS if info.field_name == "protocols" else CONTROLS
        for name in value:
            if name not in valid:
                raise ValueError(f"unknown {str(info.field_name)[:-1]} {name!r}{did_you_mean(name, valid)}")
        return value

    @field_validator("protocols", "layers", "doses", "multipliers")
    @classmethod
    def _some(cls, value: tuple[object, ...] | None) -> tuple[object, ...] | None:
        if value is not None and not value:
            raise ValueError("name at least one")
        return value

    @field_validator("scope")
    @classmethod
    def _scope(cls, value: str) -> str:
        check_known(value, SCOPES, "scope")
        return value

    @field_validator("doses", "multipliers")
    @classmethod
    def _injects(cls, value: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        if value is not None and 0 in value:
            one = str(info.field_name).removesuffix("s")
            raise ValueError(f"a {one} of 0 is no injection, which is run in any case: leave it out")
        return value


PRESETS: dict[str, InjectionSpec] = {
    "gpu": InjectionSpec(),
    "cpu": InjectionSpec(layer_points=6, max_new_tokens=32),
    "laptop": InjectionSpec(
        minutes=15, layers=(0.3, 0.5, 0.7), doses=(0.3, 0.9), max_new_tokens=24,
        protocols=("detection", "naming", "control", "kv_cache"),
        controls=("random", "perturbed", "unrelated", "choice"),
    ),
    "smoke": InjectionSpec(concepts=4, baselines=8, layer_points=2, doses=(0.3, 1.0), reference=8, max_new_tokens=8),
}  # fmt: skip


def layers_between(n_layers: int, points: int) -> tuple[int, ...]:
    """``points`` evenly spaced layers from the first to the last but one (all of those, when there are fewer).

    The last layer is left out: what is added there reaches no other token.

    >>> layers_between(62, 5), layers_between(6, 9)
    ((0, 15, 30, 45, 60), (0, 1, 2, 3, 4))
    """
    last = max(0, n_layers - 2)
    if points == 1:
        return (round(2 * last / 3),)
    return tuple(dict.fromkeys(round(i * last / (points - 1)) for i in range(points)))
