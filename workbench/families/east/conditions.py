"""Steering the agent on fixed prompts under many conditions at once.

Conditions that sample alike run as one batch: each prompt is repeated once a condition, and every repetition carries
its own vector and multiplier, while the prompt itself is computed once.  All conditions use the same seeds, so a
difference between two of them is a paired difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steering.interventions import Add
from workbench.families.east.collect import agent_for
from workbench.families.east.spec import EastSpec
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.worlds.bandits.agents.rollout import prompts_of
from workbench.worlds.bandits.text import RENDERINGS


@dataclass(frozen=True)
class EvalPrompt:
    """A prompt from a random step: its tokens (plain, and with the request to explore) and where it comes from."""

    tokens: list[int]
    requested: list[int]
    setting: str
    episode: int
    step: int


@dataclass(frozen=True)
class Condition:
    """One way to run the agent.  ``vector`` [d] is added at ``layer`` times ``multiplier``; ``source`` is the rendering
    it was extracted from."""

    method: str
    layer: int = -1
    multiplier: float = 0.0
    vector: Tensor | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    request: bool = False
    source: str = ""
    draw: int = 0

    @property
    def sampling(self) -> tuple[float, float, bool, int]:
        """Conditions with equal values share a batch."""
        return self.temperature, self.top_p, self.request, self.layer


def choose_prompts(
    model: LanguageModel, spec: EastSpec, rendering: str, steps: pd.DataFrame, kind: str
) -> list[EvalPrompt]:
    """``spec.prompts`` prompts from random steps of behaviour episodes.

    ``kind`` is ``select`` (for choosing layer and multiplier) or ``test``; the two draw from disjoint episodes.
    """
    rng = np.random.default_rng(derive_seed(spec.seed, "east", "prompts", rendering))
    episodes = rng.permutation(steps["episode"].unique())
    half = episodes[: len(episodes) // 2] if kind == "select" else episodes[len(episodes) // 2 :]
    part = steps[steps["episode"].isin(half)]
    picked = np.sort(rng.permutation(len(part))[: spec.prompts])
    wanted = part.iloc[picked]
    whole = part[
        part["episode"].isin(wanted["episode"])
    ]  # in order, since a prompt is written from all steps before it
    plain, requested = (
        prompts_of(agent_for(model, spec, rendering, request=request), whole)
        for request in ("", spec.request.format(plural=_plural(rendering)))
    )
    at = {index: i for i, index in enumerate(whole.index)}
    return [
        EvalPrompt(plain[at[i]], requested[at[i]], row["setting"], int(row["episode"]), int(row["step"]))
        for i, row in wanted.iterrows()
    ]


def run_conditions(
    model: LanguageModel,
    spec: EastSpec,
    rendering: str,
    prompts: Sequence[EvalPrompt],
    conditions: Sequence[Condition],
    texts: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """One row a prompt and condition: entropy of the parsed actions (nats), share of valid completions, and where it
    comes from; with ``texts``, also the completions as a JSON list."""
    rows: list[dict[str, Any]] = []
    for _, group in groupby(sorted(conditions, key=lambda c: c.sampling), key=lambda c: c.sampling):
        rows += _run_batch(model, spec, rendering, prompts, list(group), texts, progress)
    return pd.DataFrame(rows)


def _run_batch(
    model: LanguageModel, spec: EastSpec, rendering: str, prompts: Sequence[EvalPrompt],
    conditions: list[Condition], texts: bool, progress: bool,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    from dataclasses import replace

    first = conditions[0]
    agent = agent_for(model, spec, rendering, spec.eval_completions)
    agent = replace(agent, temperature=spec.temperature * first.temperature, top_p=first.top_p, retries=0)
    base = [p.requested if first.request else p.tokens for p in prompts]
    interventions = []
    if any(c.vector is not None for c in conditions):
        zero = torch.zeros(model.d_model)
        vectors = torch.stack([zero if c.vector is None else c.vector for c in conditions])
        multipliers = torch.tensor([c.multiplier for c in conditions])
        rows, multipliers = (each.repeat_interleave(len(prompts), 0) for each in (vectors, multipliers))
        interventions = [Add(rows, multipliers, site=first.layer)]
    seeds = [derive_seed(spec.seed, "east", "evaluate", rendering, i) for i in range(len(prompts))] * len(conditions)
    decisions = agent.decide(base * len(conditions), seeds, interventions, progress=progress)
    for i, decision in enumerate(decisions):
        condition, prompt = conditions[i // len(prompts)], prompts[i % len(prompts)]
        assert decision is not None
        row: dict[str, Any] = {"rendering": rendering, "source": condition.source, "method": condition.method}
        row |= {"layer": condition.layer, "multiplier": condition.multiplier, "draw": condition.draw}
        row |= {"temperature": condition.temperature, "top_p": condition.top_p, "prompt": i % len(prompts)}
        row |= {"setting": prompt.setting, "episode": prompt.episode, "step": prompt.step}
        row |= {"entropy": decision.entropy, "entropy_corrected": decision.corrected, "valid": decision.valid}
        row |= {f"n{k}": int(count) for k, count in enumerate(decision.counts)}
        yield row | ({"texts": json.dumps(decision.texts)} if texts else {})


def _plural(rendering: str) -> str:
    return RENDERINGS[rendering][1]
