"""What an EAST run does."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from workbench.families.specs import Layer, ModelSpec, Temperature, TopP
from workbench.worlds.bandits.conversation import AgentText
from workbench.worlds.bandits.summary import LABELS, THOUGHTS, SummaryText
from workbench.worlds.bandits.text import RENDERINGS, BanditText

Mean = Annotated[float, Field(ge=-1e6, le=1e6)]
# Written out for the command line, which can tell pairs from triples and not lists of any length from one another.
Setting = (
    tuple[Mean, Mean] | tuple[Mean, Mean, Mean] | tuple[Mean, Mean, Mean, Mean] | tuple[Mean, Mean, Mean, Mean, Mean]
)


class EastSpec(ModelSpec):
    """One EAST run; the defaults are the paper's sizes (its ``gpu`` preset)."""

    world: ClassVar[str] = "bandits"
    sized: ClassVar[tuple[str, ...]] = ("extraction_runs", "completions", "episodes", "prompts", "eval_completions")

    model: str = Field("bandit-agent", description="shipped model, Hugging Face folder or hub id")
    renderings: tuple[str, ...] = Field(("buttons", "slot_machines"), description="transfer is measured between them")
    told: Literal["turns", "summary"] = Field(
        "turns", description="the history as a whole conversation, or as averages and counts in a fresh prompt a step"
    )
    wording: int = Field(0, description="which wording of the instructions")
    answer: str | None = Field(
        None, description="action (Button 1), letter (Button A) or json; default action, letter for models not of ours"
    )
    thoughts: bool = Field(True, description="whether an answer says a thought before its action")
    exact: bool = Field(
        False, description="read the arms' probabilities off the model (behind each thought) instead of parsing answers"
    )
    prefill: str | None = Field(
        None,
        min_length=1,
        description="how every answer begins, its last token the last of the prompt; default Thought: or the action's",
    )
    dry_check: bool = Field(True, description="ask a few prompts first, and stop where answers cannot be read")
    temperature: Temperature = 1.0
    max_new_tokens: int = Field(48, ge=4)
    horizon: int = Field(50, ge=2, description="steps of an episode")
    extraction_means: Setting = Field((100.0, 100.0), description="bandit on which vectors are extracted")
    extraction_runs: int = Field(65, ge=2)
    completions: int = Field(25, ge=2, description="completions a step during extraction")
    settings: tuple[Setting, ...] = Field(
        ((95, 105), (99, 101), (100, 100), (101, 99), (105, 95)),
        description="bandits on which behaviour is measured: the mean of each of their 2 to 5 arms",
    )
    episodes: int = Field(65, ge=2, description="episodes a setting and condition")
    behaviour_completions: int = Field(8, ge=2, description="completions a step while behaviour is measured")
    unit_episodes: int = Field(16, ge=1, description="episodes that one step of the run plays: what a kill loses")
    prompts: int = Field(
        100, ge=4, description="prompts from random steps, once to choose layer and dose, once to test"
    )
    eval_completions: int = Field(15, ge=2, description="completions a prompt and condition")
    layers: tuple[Layer, ...] | None = Field(
        None, description="layers of the grid, by number or share of depth; default all"
    )
    layer_step: int = Field(1, ge=1, description="if layers is not given: 2 takes every second, down from the last")
    doses: tuple[float, ...] = Field(
        (-0.5, -0.25, 0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.2),
        description="length of what is added as a share of the residual stream's; 0 is always run",
    )
    multipliers: tuple[float, ...] | None = Field(
        None, description="raw, in place of doses: how many times the vector is added; 0 is always run"
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

    @field_validator("answer")
    @classmethod
    def _there(cls, value: str | None) -> str | None:
        if value is not None:
            BanditText(answer=value)
        return value

    @field_validator("doses", "multipliers")
    @classmethod
    def _with_zero(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and max(value, default=0) <= 0:
            raise ValueError("give at least one above 0")
        return None if value is None else tuple(sorted({0.0, *value}))

    @field_validator("request")
    @classmethod
    def _form(cls, value: str) -> str:
        try:
            value.format(plural="buttons")
        except (LookupError, ValueError, AttributeError):
            raise ValueError("write {plural} for the arms, and no other braces") from None
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for setting in self.settings:
            if len(setting) != self.n_arms:
                raise ValueError(
                    f"settings have {len(setting)} arms and extraction_means {self.n_arms}: give all as many"
                )
        (SummaryText if self.told == "summary" else BanditText)(wording=self.wording)
        if self.told == "summary" and self.answer is not None:
            raise ValueError("answer has no use with summaries: their actions are letters")
        if self.exact and not self.thoughts and self.prefill is not None:
            raise ValueError("prefill has no use in exact mode without thoughts: the action itself begins every answer")
        return self

    @property
    def n_arms(self) -> int:
        """Arms of every bandit of the run."""
        return len(self.extraction_means)

    @property
    def drawn(self) -> bool:
        """Whether the model writes anything: not where arms are scored without thoughts."""
        return self.thoughts or not self.exact

    def text(self, rendering: str) -> AgentText:
        """The bandit's text in a rendering."""
        if self.told == "summary":
            labels, thinks = LABELS["letters"][: self.n_arms], THOUGHTS[0] if self.thoughts else "none"
            return SummaryText(labels, rendering, self.wording, self.horizon, thinks=thinks)
        answer = self.answer or ("action" if self.at_home else "letter")
        return BanditText(rendering, self.wording, self.n_arms, self.horizon, self.thoughts, answer)


PRESETS: dict[str, EastSpec] = {
    "gpu": EastSpec(),
    "cpu": EastSpec(
        extraction_runs=24, completions=12, episodes=12, behaviour_completions=3, prompts=80, eval_completions=10,
        max_new_tokens=32, doses=(-0.5, 0.1, 0.25, 0.5, 0.75, 1.0, 1.4), temperatures=(1.1, 1.25, 1.5, 2.0),
    ),
    "laptop": EastSpec(
        minutes=15, exact=True, thoughts=False, extraction_runs=24, completions=12, episodes=12,
        behaviour_completions=3, prompts=80, eval_completions=10, unit_episodes=8, horizon=20, max_new_tokens=32,
        layers=(0.3, 0.5, 0.7, 0.9), renderings=("buttons",), settings=((95, 105), (100, 100)), control_seeds=2,
        doses=(-0.4, 0.1, 0.2, 0.4, 0.6), temperatures=(1.5,), top_ps=(0.9,),
    ),
    "demo": EastSpec(
        extraction_runs=14, completions=10, episodes=10, behaviour_completions=2, prompts=40, eval_completions=8,
        settings=((95, 105), (100, 100)), control_seeds=2, max_new_tokens=32, layer_step=2,
        doses=(-0.5, 0.25, 0.5, 0.75, 1.25), temperatures=(1.5,), top_ps=(0.9,),
    ),
    "quick": EastSpec(
        extraction_runs=8, completions=8, episodes=6, behaviour_completions=2, prompts=24, eval_completions=6,
        horizon=25, renderings=("buttons",), settings=((95, 105), (100, 100)), control_seeds=2, max_new_tokens=32,
        layer_step=2, doses=(-0.5, 0.25, 0.5, 0.75, 1.25), temperatures=(1.5,), top_ps=(0.9,),
    ),
    "smoke": EastSpec(
        extraction_runs=4, completions=6, episodes=2, behaviour_completions=2, prompts=8, eval_completions=4, horizon=6,
        max_new_tokens=32,
        settings=((95, 105), (100, 100)), control_seeds=1, layers=(0.3, 0.6),
        doses=(-0.5, 0.5), temperatures=(1.5,), top_ps=(0.9,),
    ),
}  # fmt: skip
