"""States that are probed: played with reasoning, then read before and after it.

Before ("pre") are the last tokens of the prompt; after ("post") the last tokens of the reasoning, just before the
answer.  Where the answer begins is found token by token, since tokenizers may join its brace with what stands before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from probes.cognitive_map import encode_maps
from probes.plan import next_moves
from workbench.activations import capture
from workbench.agents.grid_agent import GridAgent
from workbench.agents.grid_play import play_grids, transcripts_of
from workbench.environments.grid_text import GridText
from workbench.environments.layouts import State
from workbench.experiments.goal_directedness.layouts import Layouts, maze_layouts
from workbench.experiments.goal_directedness.spec import GoalSpec
from workbench.models.language_model import LanguageModel
from workbench.sites import Site

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

__all__ = [
    "POSITIONS",
    "agent_of",
    "maps_of",
    "plans_of",
    "play_states",
    "probe_layouts",
    "read_states",
    "reasoning_tokens",
]

POSITIONS = ("pre", "post")


def agent_of(model: LanguageModel, spec: GoalSpec, mode: str) -> GridAgent:
    """The agent that answers in this mode; directly, its move probabilities are exact."""
    text = GridText(reasoning=mode == "reasoning", wording=spec.wording)
    return GridAgent(
        model, text, spec.temperature, spec.top_p, spec.max_new_tokens, spec.attempts, exact=mode == "direct"
    )


def probe_layouts(spec: GoalSpec) -> Layouts:
    """Layouts whose states are probed; none of them serves the behavioural evaluation."""
    return maze_layouts(spec, "probe", spec.probe_layouts)


def play_states(model: LanguageModel, spec: GoalSpec, progress: bool = False) -> pd.DataFrame:
    """Steps of reasoning episodes whose reasoning has enough tokens to read, with the labels of their layouts.

    A column ``reasoning`` holds the tokens of the reasoning (a list); the others are those of ``play_grids``.
    """
    layouts = probe_layouts(spec)
    agent = agent_of(model, spec, "reasoning")
    steps = play_grids(agent, layouts.layouts, spec.probe_rollouts, spec.seed, progress=progress)
    reasoning = [reasoning_tokens(model, tokens) for _, tokens in transcripts_of(agent, steps, layouts.layouts)]
    steps = layouts.label(steps.assign(reasoning=reasoning))
    readable = steps["valid"] & (steps["reasoning"].str.len() >= spec.tokens)
    return steps[readable].reset_index(drop=True)


def reasoning_tokens(model: LanguageModel, completion: Sequence[int]) -> list[int]:
    """The tokens before the one in which the last JSON answer begins; none when there is no answer."""
    tokens = list(completion)
    start = model.decode(tokens).rfind("{")
    if start < 0:
        return []
    # The token that holds the brace is the last of the shortest beginning whose text reaches beyond it.
    length = next(k for k in range(1, len(tokens) + 1) if len(model.decode(tokens[:k])) > start)
    return tokens[: length - 1]


def read_states(
    model: LanguageModel,
    spec: GoalSpec,
    steps: pd.DataFrame,
    sites: Sequence[Site],
    progress: bool = False,
) -> dict[str, dict[Site, Tensor]]:
    """Activations of every step at each position: ``result[position][site]`` is [steps, tokens * d_model], float32."""
    agent = agent_of(model, spec, "reasoning")
    layouts = probe_layouts(spec).layouts
    places = zip(steps["layout"], steps["row"], steps["column"], steps["has_key"], strict=True)
    prompts = [agent.prompt(layouts[i], State((int(r), int(c)), bool(k))) for i, r, c, k in places]
    inputs = {
        "pre": prompts,
        "post": [[*p, *map(int, said)] for p, said in zip(prompts, steps["reasoning"], strict=True)],
    }
    last = list(range(-spec.tokens, 0))
    found: dict[str, dict[Site, Tensor]] = {}
    for position, tokens in inputs.items():
        read = capture(model, tokens, list(sites), last, dtype="float32", progress=progress)
        found[position] = {site: z.reshape(len(steps), -1) for site, z in read.activations.items()}  # type: ignore[union-attr]
    return found


def maps_of(spec: GoalSpec, steps: pd.DataFrame) -> np.ndarray:
    """[steps, map_size, map_size] cell classes (:data:`probes.cognitive_map.CELLS`), padded at the bottom and right."""
    text, layouts = GridText(), probe_layouts(spec).layouts
    places = zip(steps["layout"], steps["row"], steps["column"], strict=True)
    pictures = [text.picture(layouts[i], State((int(r), int(c)))) for i, r, c in places]
    return encode_maps([_cells(picture) for picture in pictures], spec.map_size)


def _cells(picture: str) -> list[list[str]]:
    """The cells of a picture, without its indices."""
    return [line.split()[1:] for line in picture.split("\n")[1:]]


def plans_of(spec: GoalSpec, steps: pd.DataFrame) -> np.ndarray:
    """[steps, plan_steps] the moves executed from each step on, PAD after the end of the episode.

    Steps without a readable move are not in the table: they moved nothing.
    """
    plans = np.zeros((len(steps), spec.plan_steps), dtype=np.int64)
    for rows in steps.groupby(["layout", "rollout"]).indices.values():
        plans[rows] = next_moves(steps["move"].to_numpy()[rows], spec.plan_steps)
    return plans
