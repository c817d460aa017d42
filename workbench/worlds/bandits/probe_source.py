"""The source ``bandit-steps``: a bandit agent plays episodes, and the last prompt token of every decision is read.

A prompt holds the whole episode so far, so one pass an episode reads all of its decisions.  Where the same prompt
occurs several times (every episode opens with the same instructions), only its first occurrence is a row: no prompt is
ever on both sides of a split.  Groups are episodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from workbench.activations import ActivationSet, replay
from workbench.errors import DataError, SpecError
from workbench.families.east.collect import agent_for, play_settings
from workbench.families.east.spec import EastSpec
from workbench.families.probe_sweep.sources import Source, play_once
from workbench.families.probe_sweep.spec import Task, check_keys
from workbench.sites import Site
from workbench.worlds.bandits.agents.rollout import prompts_of

if TYPE_CHECKING:
    import pandas as pd

    from workbench.models.language_model import LanguageModel

__all__ = ["BANDIT_STEPS"]

# Option -> field of EastSpec, where it is called otherwise.
_RENAMED = {"completions": "behaviour_completions"}
_OPTIONS = ("settings", "episodes", "horizon", "completions", "seed", "wording", "prefill", "temperature",
            "max_new_tokens")  # fmt: skip
_DEFAULTS: dict[str, Any] = {"episodes": 8, "completions": 8, "horizon": 25, "max_new_tokens": 32}
_TASKS: dict[str, Task] = {
    "entropy": "regression", "arm": "classification", "best_arm": "classification", "setting": "classification",
    "step": "regression", "reward": "regression", "regret": "regression", "episode": "regression",
}  # fmt: skip


def _check(options: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Task]:
    _read_options(options)
    for name, value in positions.items():
        if value != "last":
            raise SpecError(f"position {name!r}: bandit-steps reads the last prompt token only; write last")
    return dict(_TASKS)


def _read_options(options: Mapping[str, Any]) -> tuple[EastSpec, str]:
    """The run whose episodes these are, and the rendering; :class:`SpecError` for options of no use."""
    check_keys(options, ("kind", "rendering", *_OPTIONS), "source bandit-steps")
    given = _DEFAULTS | {name: value for name, value in options.items() if name in _OPTIONS}
    rendering = str(options.get("rendering", "buttons"))
    fields = {_RENAMED.get(name, name): value for name, value in given.items()}
    try:
        return EastSpec.model_validate(fields | {"renderings": (rendering,)}), rendering
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        back = {new: old for old, new in _RENAMED.items()} | {"renderings": "rendering"}
        raise SpecError(f"source bandit-steps: {back.get(field, field)}: {first['msg']}") from None


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
    spec, rendering = _read_options(options)
    steps = play_once(model, (spec, rendering), lambda: _play(model, spec, rendering, progress))
    prompts = prompts_of(agent_for(model, spec, rendering), steps)
    new = _first_seen(prompts)
    steps, prompts = steps[new].reset_index(drop=True), [p for p, is_new in zip(prompts, new, strict=True) if is_new]
    of_episode = steps["episode"].to_numpy()
    episodes = [[prompts[i] for i in np.flatnonzero(of_episode == e)] for e in dict.fromkeys(of_episode.tolist())]
    read = replay(reader, episodes, list(sites), dtype="float32", progress=progress)
    found = ActivationSet(read.activations, _labels(steps), of_episode, reader.fingerprint, reader.basis, reader.name)
    return {name: found for name in positions}


def _play(model: LanguageModel, spec: EastSpec, rendering: str, progress: bool) -> pd.DataFrame:
    steps = play_settings(model, spec, rendering, {"none": None}, progress=progress)
    if not len(steps):
        raise DataError(f"{model.name} gave no readable answer in any episode: nothing can be probed")
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
