"""What an EAST run does."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from workbench.families.specs import Layer, ModelSpec, Temperature, TopP
from workbench.worlds.bandits.text import RENDERINGS, BanditText

Mean = Annotated[float, Field(ge=-1e6, le=1e6)]
Setting = tuple[Mean, Mean]


class EastSpec(ModelSpec):
    """One EAST run; the defaults are the paper's sizes (its ``gpu`` preset)."""

    world: ClassVar[str] = "bandits"
    sized: ClassVar[tuple[str, ...]] = ("extraction_runs", "completions", "episodes", "prompts", "eval_completions")

    model: str = Field("bandit-agent", description="shipped model, Hugging Face folder or hub id")
    renderings: tuple[str, ...] = Field(("buttons", "slot_machines"), description="transfer is measured between them")
    wording: int = Field(0, description="which wording of the instructions")
    prefill: str = Field(
        "Thought:", min_length=1, description="how every answer begins; its last token is the last prompt token"
    )
    temperature: Temperature = 1.0
    max_new_tokens: int = Field(48, ge=4)
    horizon: int = Field(50, ge=2, description="steps of an episode")
    extraction_means: Setting = Field((100.0, 100.0), description="bandit on which vectors are extracted")
    extraction_runs: int = Field(65, ge=2)
    completions: int = Field(25, ge=2, description="completions a step during extraction")
    settings: tuple[Setting, ...] = Field(
        ((95, 105), (99, 101), (100, 100), (101, 99), (105, 95)), description="bandits on which behaviour is measured"
    )
    episodes: int = Field(65, ge=2, description="episodes a setting and condition")
    behaviour_completions: int = Field(8, ge=2, description="completions a step while behaviour is measured")
    prompts: int = Field(
        100, ge=4, description="prompts from random steps, once to choose layer and multiplier, once to test"
    )
    eval_completions: int = Field(15, ge=2, description="completions a prompt and condition")
    layers: tuple[Layer, ...] | None = Field(
        None, description="layers of the grid, by number or share of depth; default all"
    )
    layer_step: int = Field(1, ge=1, description="if layers is not given: 2 takes every second, down from the last")
    multipliers: tuple[float, ...] = Field(
        (-2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0), description="0 is always run"
    )
    min_valid: float = Field(
        0.9, ge=0, le=1, description="a condition may be chosen while it keeps this share of valid completions"
    )
    temperatures: tuple[Temperature, ...] = (1.1, 1.25, 1.5, 2.0)
    top_ps: tuple[TopP, ...] = (0.9, 0.95)
    control_seeds: int = Field(3, ge=1, description="shuffled and random vectors drawn")
    request: str = Field(
        "Explore: keep trying all of the {plural} and do not settle on one too early.",
        description="what the prompting baseline adds to the instructions",
    )

    @field_validator("renderings")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for rendering in value:
            BanditText(rendering)
        if not value:
            raise ValueError(f"name at least one of {', '.join(RENDERINGS)}")
        return value

    @field_validator("wording")
    @classmethod
    def _there(cls, value: int) -> int:
        BanditText(wording=value)
        return value

    @field_validator("multipliers")
    @classmethod
    def _with_zero(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({0.0, *value}))

    @field_validator("request")
    @classmethod
    def _form(cls, value: str) -> str:
        try:
            value.format(plural="buttons")
        except (LookupError, ValueError, AttributeError):
            raise ValueError("write {plural} for the arms, and no other braces") from None
        return value

    def text(self, rendering: str) -> BanditText:
        """The bandit's text in a rendering."""
        return BanditText(rendering, self.wording, horizon=self.horizon)


PRESETS: dict[str, EastSpec] = {
    "gpu": EastSpec(),
    "cpu": EastSpec(
        extraction_runs=24, completions=12, episodes=12, behaviour_completions=3, prompts=80, eval_completions=10,
        max_new_tokens=32, multipliers=(-2.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0), temperatures=(1.1, 1.25, 1.5, 2.0),
    ),
    "laptop": EastSpec(
        minutes=15, extraction_runs=24, completions=12, episodes=12, behaviour_completions=3, prompts=80,
        eval_completions=10, horizon=20, max_new_tokens=32, layers=(0.3, 0.5, 0.7, 0.9), renderings=("buttons",),
        settings=((95, 105), (100, 100)), control_seeds=2, multipliers=(-2.0, 1.0, 2.0, 4.0, 7.0),
        temperatures=(1.5,), top_ps=(0.9,),
    ),
    "demo": EastSpec(
        extraction_runs=14, completions=10, episodes=10, behaviour_completions=2, prompts=40, eval_completions=8,
        settings=((95, 105), (100, 100)), control_seeds=2, max_new_tokens=32, layer_step=2,
        multipliers=(-2.0, 1.0, 2.0, 3.0, 5.0), temperatures=(1.5,), top_ps=(0.9,),
    ),
    "quick": EastSpec(
        extraction_runs=8, completions=8, episodes=6, behaviour_completions=2, prompts=24, eval_completions=6,
        horizon=25, renderings=("buttons",), settings=((95, 105), (100, 100)), control_seeds=2, max_new_tokens=32,
        layer_step=2, multipliers=(-2.0, 1.0, 2.0, 3.0, 5.0), temperatures=(1.5,), top_ps=(0.9,),
    ),
    "smoke": EastSpec(
        extraction_runs=4, completions=6, episodes=2, behaviour_completions=2, prompts=8, eval_completions=4, horizon=6,
        max_new_tokens=32,
        settings=((95, 105), (100, 100)), control_seeds=1, layers=(1, 3),
        multipliers=(-2.0, 2.0), temperatures=(1.5,), top_ps=(0.9,),
    ),
}  # fmt: skip
