"""The source ``grid-states``: a grid agent plays mazes, and what it computed at each state is read.

Positions: ``pre``, the last prompt tokens; ``post``, the last tokens of the reasoning, just before the answer;
``decision``, the token before the move of an agent that answers at once.  All come from one pass a state.  Groups are
layouts, merged where they share a rendered state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import ValidationError

from workbench.activations import ActivationSet, replay
from workbench.activations.sources import Source, Task, play_once
from workbench.errors import DataError, SpecError, check_keys, did_you_mean
from workbench.models.fingerprint import stamp_of
from workbench.models.language_model import LanguageModel
from workbench.sites import Site, SiteMap
from workbench.worlds.grids.agents.play import play_grids
from workbench.worlds.grids.agents.probed_states import PROPERTIES, ProbedStates, agent_of, plans_of, play_states
from workbench.worlds.grids.maze_sets import MazeSpec, probe_layouts
from workbench.worlds.grids.probes.map_target import write_map
from workbench.worlds.grids.probes.plan_target import write_plans
from workbench.worlds.moves import Move

POSITIONS = ("pre", "post", "decision")
# Option -> field of MazeSpec, where it is called otherwise.
_RENAMED = {"layouts": "probe_layouts", "rollouts": "probe_rollouts"}
_OPTIONS = ("sizes", "densities", "layouts", "rollouts", "seed", "held_out", "tokens", "wording", "answer", "exact",
            "forced", "temperature", "top_p", "attempts", "max_new_tokens")  # fmt: skip
_DEFAULTS: dict[str, Any] = {"sizes": (7, 9), "layouts": 10, "max_new_tokens": 48}
_LONGEST_PLAN = 100  # a label holds the whole plan; what is decoded of it is its probe's horizon
_MEASURED: dict[str, Task] = {"distance": "regression", "layout": "regression", "rollout": "regression",
                              "step": "regression"}  # fmt: skip
_STRUCTURED: dict[str, Task] = {"map": "map", "plan": "plan"}
_KINDS = ("size", "density", "optimal", *PROPERTIES)


class _Where(NamedTuple):
    """What a position of a sweep file says: which tokens, and of grids of which sizes (None: all)."""

    name: str
    sizes: tuple[int, ...] | None = None


def _check(options: Mapping[str, Any], positions: Mapping[str, Any]) -> dict[str, Task]:
    spec, reasoning = _read_options(options)
    for name, value in positions.items():
        _read_position(value, name, spec, reasoning)
    return {**dict.fromkeys(_KINDS, "classification"), **_MEASURED, **_STRUCTURED}


def _read_options(options: Mapping[str, Any]) -> tuple[MazeSpec, bool]:
    """The run whose states these are, and whether its agent reasons; :class:`SpecError` for options of no use."""
    check_keys(options, ("kind", "reasoning", *_OPTIONS), "source grid-states")
    given = _DEFAULTS | {name: value for name, value in options.items() if name in _OPTIONS}
    back = {new: old for old, new in _RENAMED.items()}
    try:
        fields = {_RENAMED.get(name, name): value for name, value in given.items()}
        spec = MazeSpec.model_validate(fields | {"plan_steps": _LONGEST_PLAN})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise SpecError(f"source grid-states: {back.get(field, field)}: {first['msg']}") from None
    reasoning = options.get("reasoning", True)
    if not isinstance(reasoning, bool):
        raise SpecError(f"source grid-states: reasoning is {reasoning!r}; write true or false")
    return spec, reasoning


def _read_position(value: Any, name: str, spec: MazeSpec, reasoning: bool) -> _Where:
    fields = dict(value) if isinstance(value, Mapping) else {"tokens": value}
    check_keys(fields, ("tokens", "sizes"), f"position {name!r}")
    which, sizes = str(fields.get("tokens")), fields.get("sizes")
    if which not in POSITIONS:
        raise SpecError(f"position {name!r}: unknown tokens {which!r}{did_you_mean(which, POSITIONS)}")
    if which == "post" and not reasoning:
        raise SpecError(f"position {name!r}: nothing is reasoned with reasoning: false; read decision")
    if which == "decision" and reasoning:
        raise SpecError(f"position {name!r}: decision is of agents that answer at once (reasoning: false); read post")
    if sizes is None:
        return _Where(which)
    wanted = tuple(sizes) if isinstance(sizes, list | tuple) else (sizes,)
    for size in wanted:
        if size not in spec.sizes:
            raise SpecError(f"position {name!r}: no grids of size {size} are played; sizes are {list(spec.sizes)}")
    return _Where(which, wanted)


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
    spec, reasoning = _read_options(options)
    wanted = {name: _read_position(value, name, spec, reasoning) for name, value in positions.items()}
    steps = play_once(model, (spec, reasoning), lambda: _play(model, spec, reasoning, progress))
    data = ProbedStates(spec, steps)
    labels = _labels(data)
    ends = _ends(model, data, [w.name for w in wanted.values()], reasoning)
    read = _read(reader, ends, sites, progress)
    found = {}
    for name, where in wanted.items():
        seen = SiteMap(read[where.name])
        every = ActivationSet(seen, labels, data.groups, **stamp_of(reader), model=reader.name)
        rows = np.isin(labels["size"], where.sizes) if where.sizes else np.ones(len(labels), bool)
        if not rows.any():
            raise DataError(f"position {name!r}: no state of sizes {list(where.sizes or ())} was readable")
        found[name] = every if rows.all() else every.select(rows)
    return found


def _play(model: LanguageModel, spec: MazeSpec, reasoning: bool, progress: bool) -> pd.DataFrame:
    """Steps with a readable move."""
    if reasoning:
        steps = play_states(model, spec, progress)
    else:
        layouts = probe_layouts(spec)
        agent = agent_of(model, spec, "direct")
        played = play_grids(agent, layouts.layouts, spec.probe_rollouts, spec.seed, progress=progress)
        steps = layouts.label(played[played["valid"]]).reset_index(drop=True)
        steps = steps.assign(plan=list(plans_of(spec, steps)))
    if not len(steps):
        raise DataError(f"{model.name} gave no readable answer in any of the grids: nothing can be probed")
    return steps


def _labels(data: ProbedStates) -> pd.DataFrame:
    steps = data.steps
    table = steps[["layout", "rollout", "step", "size", "density", "distance", "optimal"]].copy()
    for name, values in PROPERTIES.items():
        classes = np.asarray(values(data))
        table[name] = np.where(classes < 0, np.nan, classes) if (classes < 0).any() else classes
    table["move"] = [Move(int(move)).name for move in steps["move"]]
    table["map"] = [write_map(state) for state in data.pictures]
    table["plan"] = write_plans(np.stack(steps["plan"].tolist()))
    return table


def _ends(
    model: LanguageModel, data: ProbedStates, names: Sequence[str], reasoning: bool
) -> dict[str, list[list[list[int]]]]:
    """For each position and state, the beginnings of its text that end in a token to read, in order."""
    agent = agent_of(model, data.spec, "reasoning" if reasoning else "direct")
    prompts = [agent.prompt(*place) for place in data.places]
    k, found = data.spec.tokens, {}
    for name in dict.fromkeys(names):
        said: Iterator[Sequence[int]] = iter([[]] * len(prompts))
        if name == "post":
            said = iter(data.steps["reasoning"])
        elif name == "decision":
            said = iter([agent.opening] * len(prompts))
        texts = [[*prompt, *map(int, tokens)] for prompt, tokens in zip(prompts, said, strict=True)]
        found[name] = [_beginnings(text, 1 if name == "decision" else k) for text in texts]
    return found


def _beginnings(tokens: list[int], k: int) -> list[list[int]]:
    if len(tokens) < k:
        raise DataError(f"tokens: {k} are asked of a text of {len(tokens)}")
    return [tokens[: len(tokens) - back] for back in reversed(range(k))]


def _read(
    reader: LanguageModel, ends: Mapping[str, list[list[list[int]]]], sites: Sequence[Site], progress: bool
) -> dict[str, dict[Site, Any]]:
    """``result[position][site]`` [states, tokens * d] in float32, from one pass a state."""
    states = [[text for beginnings in each for text in beginnings] for each in zip(*ends.values(), strict=True)]
    rows = replay(reader, states, list(sites), dtype="float32", progress=progress)
    found: dict[str, dict[Site, Any]] = {}
    start = 0
    for name, beginnings in ends.items():
        k = len(beginnings[0])
        found[name] = {
            site: z.reshape(len(states), -1, z.shape[-1])[:, start : start + k].reshape(len(states), -1)
            for site, z in rows.activations.items()
        }
        start += k
    return found


GRID_STATES = Source(_capture, _check)
