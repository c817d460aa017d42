"""States that are probed: played with reasoning, then read before and after it.

Before ("pre") are the last tokens of the prompt; after ("post") the last tokens of the reasoning, just before the
answer.  Where the answer begins is found token by token, since tokenizers may join its brace with what stands before.
The tokens are those of the completion's text, encoded again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.activations import capture
from workbench.errors import DataError
from workbench.families.goal_directedness.layouts import Layouts, maze_layouts
from workbench.families.goal_directedness.spec import GoalSpec
from workbench.models.language_model import LanguageModel
from workbench.sites import Site
from workbench.worlds.grids.agents.agent import GridAgent
from workbench.worlds.grids.agents.play import play_grids, transcripts_of
from workbench.worlds.grids.layouts import State
from workbench.worlds.grids.probes.cognitive_map import encode_maps
from workbench.worlds.grids.probes.plan import next_moves
from workbench.worlds.grids.text import GridText

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

__all__ = [
    "POSITIONS",
    "agent_of",
    "maps_of",
    "pictures_of",
    "plans_of",
    "play_states",
    "probe_layouts",
    "read_states",
    "reasoning_tokens",
]

POSITIONS = ("pre", "post")
_AT_ONCE = 2**31  # bytes of activations read in one go


def agent_of(model: LanguageModel, spec: GoalSpec, mode: str) -> GridAgent:
    """The agent that answers in this mode; directly, its move probabilities are exact."""
    text = GridText(reasoning=mode == "reasoning", wording=spec.wording)
    return GridAgent(
        model, text, spec.temperature, spec.top_p, spec.max_new_tokens, spec.attempts, exact=mode == "direct"
    )


def probe_layouts(spec: GoalSpec) -> Layouts:
    """Layouts whose states are probed, drawn apart from those of the behavioural evaluation."""
    return maze_layouts(spec, "probe", spec.probe_layouts)


def play_states(model: LanguageModel, spec: GoalSpec, progress: bool = False) -> pd.DataFrame:
    """Steps of reasoning episodes whose reasoning has enough tokens to read, with the labels of their layouts.

    A column ``reasoning`` holds the tokens of the reasoning and ``plan`` the moves from the step on (lists); the others
    are those of ``play_grids``.  Raises :class:`DataError` when no step can be read.
    """
    layouts = probe_layouts(spec)
    agent = agent_of(model, spec, "reasoning")
    steps = play_grids(agent, layouts.layouts, spec.probe_rollouts, spec.seed, progress=progress)
    reasoning = [reasoning_tokens(model, tokens) for _, tokens in transcripts_of(agent, steps, layouts.layouts)]
    steps = layouts.label(steps.assign(reasoning=reasoning))
    steps = steps[steps["valid"]].reset_index(drop=True)
    # Before steps with a short reasoning go: their moves belong to the plans of the steps before them.
    steps = steps.assign(plan=list(plans_of(spec, steps)))
    readable = steps["reasoning"].str.len() >= spec.tokens
    if not readable.any():
        raise DataError(
            f"{model.name}: no answer had {spec.tokens} tokens of reasoning and then a move as JSON, so there is"
            " nothing to probe: raise max_new_tokens, lower tokens, or set modes to direct"
        )
    return steps[readable].reset_index(drop=True)


def reasoning_tokens(model: LanguageModel, completion: Sequence[int]) -> list[int]:
    """The tokens before the one in which the answer begins, the last JSON that names a move; none without an answer.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> model.decode(reasoning_tokens(model, model.encode_continuation('a b {"c": 1} d{"action": 2}')))
    'a b {"c": 1} d'
    """
    tokens, text = list(completion), GridText()
    said = model.decode(tokens)
    starts = [found.start() for found in re.finditer(r"\{[^{}]*\}", said) if text.parse(found[0]) is not None]
    if not starts:
        return []
    # The token that holds the brace is the last of the shortest beginning whose text reaches beyond it.
    length = next(k for k in range(1, len(tokens) + 1) if len(model.decode(tokens[:k])) > starts[-1])
    return tokens[: length - 1]


def read_states(
    model: LanguageModel,
    spec: GoalSpec,
    steps: pd.DataFrame,
    sites: Sequence[Site],
    progress: bool = False,
) -> Iterator[tuple[str, Site, Tensor]]:
    """Activations of every step: (position, site, [steps, tokens * d_model] in the model's precision), one by one.

    As many sites are read in one pass as fit into memory.
    """
    agent = agent_of(model, spec, "reasoning")
    layouts = probe_layouts(spec).layouts
    places = zip(steps["layout"], steps["row"], steps["column"], steps["has_key"], strict=True)
    prompts = [agent.prompt(layouts[i], State((int(r), int(c)), bool(k))) for i, r, c, k in places]
    inputs = {
        "pre": prompts,
        "post": [[*p, *map(int, said)] for p, said in zip(prompts, steps["reasoning"], strict=True)],
    }
    last = list(range(-spec.tokens, 0))
    share = max(1, _AT_ONCE // (len(steps) * spec.tokens * model.d_model * model.dtype.itemsize))
    for position, tokens in inputs.items():
        for start in range(0, len(sites), share):
            read = capture(model, tokens, list(sites[start : start + share]), last, progress=progress)
            for site, z in read.activations.items():
                yield position, site, z.reshape(len(steps), -1)


def pictures_of(spec: GoalSpec, steps: pd.DataFrame) -> list[str]:
    """The rendered state of every step."""
    text, layouts = GridText(), probe_layouts(spec).layouts
    places = zip(steps["layout"], steps["row"], steps["column"], strict=True)
    return [text.picture(layouts[i], State((int(r), int(c)))) for i, r, c in places]


def maps_of(spec: GoalSpec, pictures: Sequence[str]) -> np.ndarray:
    """[states, map_size, map_size] numbers of ``CELLS``, padded at the bottom and right."""
    return encode_maps([_cells(picture) for picture in pictures], spec.map_size)


def _cells(picture: str) -> list[list[str]]:
    """The cells of a picture, without its indices."""
    return [line.split()[1:] for line in picture.split("\n")[1:]]


def plans_of(spec: GoalSpec, steps: pd.DataFrame) -> np.ndarray:
    """[steps, plan_steps] the moves executed from each step on, PAD after the end of the episode.

    ``steps``: all that have a readable move, an episode's in their order; the others moved nothing.
    """
    plans = np.zeros((len(steps), spec.plan_steps), dtype=np.int64)
    for rows in steps.groupby(["layout", "rollout"]).indices.values():
        plans[rows] = next_moves(steps["move"].to_numpy()[rows], spec.plan_steps)
    return plans
