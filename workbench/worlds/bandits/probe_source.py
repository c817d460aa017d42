"""The source ``bandit-steps``: a bandit agent plays episodes, and the last prompt token of every decision is read.

A prompt holds the whole episode so far, so one pass an episode reads all of its decisions.  Where the same prompt
occurs several times (every episode opens with the same instructions), only its first occurrence is a row: no prompt is
ever on both sides of a split.  Groups are episodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from workbench.activations import ActivationSet, replay
from workbench.activations.sources import Source, Task, play_once
from workbench.errors import DataError, SpecError, check_keys
from workbench.models.fingerprint import stamp_of
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.sites import Site
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.agents.rollout import prompts_of, rollout
from workbench.worlds.bandits.arms import GaussianArms
from workbench.worlds.bandits.text import BanditText

Setting = tuple[float, float]
_TASKS: dict[str, Task] = {
    "entropy": "regression", "arm": "classification", "best_arm": "classification", "setting": "classification",
    "step": "regression", "reward": "regression", "regret": "regression", "episode": "regression",
}  # fmt: skip


class _Played(BaseModel):
    """The options: the episodes that are played, and how the agent is asked."""

    model_config = ConfigDict(frozen=True)

    rendering: str = "buttons"
    wording: int = 0
    answer: str = "action"
    thoughts: bool = True
    exact: bool = False
    prefill: str | None = None
    settings: tuple[Setting, ...] = ((95, 105), (99, 101), (100, 100), (101, 99), (105, 95))
    episodes: int = Field(8, ge=2)
    horizon: int = Field(25, ge=2)
    completions: int = Field(8, ge=2)
    seed: int = 0
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: int = Field(32, ge=4)

    @field_validator("rendering", "answer")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        BanditText(value) if info.field_name == "rendering" else BanditText(answer=value)
        return value

    def agent(self, model: LanguageModel) -> LanguageAgent:
        """The agent that plays."""
        text = BanditText(
            self.rendering, self.wording, horizon=self.horizon, thoughts=self.thoughts, answer=self.answer
        )
        return LanguageAgent(
            model, text, self.completions, self.temperature, max_new_tokens=self.max_new_tokens, prefill=self.prefill,
            exact=self.exact,
        )  # fmt: skip


def _check(options: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Task]:
    _read_options(options)
    for name, value in positions.items():
        if value != "last":
            raise SpecError(f"position {name!r}: bandit-steps reads the last prompt token only; write last")
    return dict(_TASKS)


def _read_options(options: Mapping[str, Any]) -> _Played:
    """What is played; :class:`SpecError` for options of no use."""
    check_keys(options, ("kind", *_Played.model_fields), "source bandit-steps")
    try:
        return _Played.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        raise SpecError(f"source bandit-steps: {first['loc'][0]}: {first['msg']}") from None


def _capture(
    options: Mapping[str, Any],
    *,
    model: LanguageModel,
    reader: LanguageModel,
    sites: Sequence[Site],
    positions: Mapping[str, Any],
    device: str | None = None,
    progress: bool = False,
) -> dict[str, ActivationSet]:
    what = _read_options(options)
    steps = play_once(model, (what,), lambda: _play(model, what, progress))
    prompts = prompts_of(what.agent(model), steps)
    new = _first_seen(prompts)
    steps, prompts = steps[new].reset_index(drop=True), [p for p, is_new in zip(prompts, new, strict=True) if is_new]
    of_episode = steps["episode"].to_numpy()
    episodes = [[prompts[i] for i in np.flatnonzero(of_episode == e)] for e in dict.fromkeys(of_episode.tolist())]
    read = replay(reader, episodes, list(sites), dtype="float32", progress=progress)
    found = ActivationSet(read.activations, _labels(steps), of_episode, **stamp_of(reader), model=reader.name)
    return {name: found for name in positions}


def _play(model: LanguageModel, what: _Played, progress: bool) -> pd.DataFrame:
    """The steps of all episodes, those that EAST plays without steering, with a column ``setting``."""
    each = [(means, k) for means in what.settings for k in range(what.episodes)]
    seeds = [derive_seed(what.seed, "east", "behaviour", str(means), k) for means, k in each]
    steps = rollout(what.agent(model), [GaussianArms(means) for means, _ in each], seeds, progress=progress).steps
    if steps.empty:
        raise DataError(f"{model.name} gave no readable answer in any episode: nothing can be probed")
    names = [f"({means[0]:g}, {means[1]:g})" for means, _ in each]
    steps = steps.assign(setting=[names[episode] for episode in steps["episode"]])
    return steps.sort_values(["episode", "step"], ignore_index=True)


def _labels(steps: pd.DataFrame) -> pd.DataFrame:
    """``best_arm`` is missing where all arms are equally good."""
    means = steps[[name for name in steps if str(name).startswith("mean")]]
    return steps[list(_TASKS)].assign(best_arm=steps["best_arm"].where(means.nunique(axis=1) > 1))


def _first_seen(prompts: Sequence[Sequence[int]]) -> np.ndarray:
    """[rows] whether the prompt is not that of an earlier row."""
    first: dict[tuple[int, ...], int] = {}
    return np.array([first.setdefault(tuple(prompt), row) == row for row, prompt in enumerate(prompts)])


BANDIT_STEPS = Source(_capture, _check)
