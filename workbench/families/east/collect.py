"""Playing the agent, extracting entropy vectors from what it computed, and steering it under many conditions at once.

Conditions that sample alike run as one batch: each prompt is repeated once a condition, and every repetition carries
its own vector and multiplier, while the prompt itself is computed once.  All conditions use the same seeds, so a
difference between two of them is a paired difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steering.calibration import residual_norm
from steering.estimators import entropy_weighted, mean_difference
from steering.interventions import Add
from steering.vectors import SteeringVector
from workbench.activations import replay
from workbench.errors import DataError
from workbench.families.east.spec import EastSpec
from workbench.models.interventions import Intervention
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.agents.rollout import Rollout, prompts_of, rollout
from workbench.worlds.bandits.arms import GaussianArms
from workbench.worlds.bandits.text import RENDERINGS

ESTIMATES = ("east", "uncentred", "unweighted", "mean_difference")


def agent_for(
    model: LanguageModel, spec: EastSpec, rendering: str, completions: int | None = None, request: str = ""
) -> LanguageAgent:
    """The agent of a run in one rendering."""
    return LanguageAgent(
        model, spec.text(rendering), completions or spec.completions, spec.temperature,
        max_new_tokens=spec.max_new_tokens, prefill=spec.prefill, exact=spec.exact, request=request,
    )  # fmt: skip


def play_extraction(
    model: LanguageModel, spec: EastSpec, rendering: str, progress: bool, runs: Sequence[int] | None = None
) -> pd.DataFrame:
    """The episodes from which vectors are extracted (their seeds are used nowhere else): all, or those of ``runs``."""
    numbers = list(range(spec.extraction_runs) if runs is None else runs)
    seeds = [derive_seed(spec.seed, "east", "extraction", k) for k in numbers]
    steps = _steps(
        rollout(agent_for(model, spec, rendering), GaussianArms(spec.extraction_means), seeds, progress=progress)
    )
    return steps.assign(episode=np.array(numbers)[steps["episode"]])


def _steps(played: Rollout) -> pd.DataFrame:
    """The steps of a rollout; :class:`DataError` when there are none."""
    if played.steps.empty:
        said = played.failures["completion"].iloc[0][:80]
        raise DataError(f"no episode got beyond its first step: no completion could be read, for instance {said!r}")
    return played.steps


def play_settings(
    model: LanguageModel,
    spec: EastSpec,
    rendering: str,
    methods: Mapping[str, SteeringVector | None],
    multiplier: float = 0.0,
    progress: bool = False,
    episodes: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Episodes of every method on every setting, with columns ``setting, rendering, method``; all in one batch.

    ``methods`` names the vector that a method adds ``multiplier`` times at the vector's site (None: no steering).
    ``episodes``: of each method, those of these numbers alone.  The seeds are the same whatever the method, hence
    pairs.
    """
    agent = agent_for(model, spec, rendering, spec.behaviour_completions)
    each = list(enumerate((means, k) for means in spec.settings for k in range(spec.episodes)))
    each = each if episodes is None else [each[number] for number in episodes]
    played = [(method, vector, number, *own) for method, vector in methods.items() for number, own in each]
    seeds = [derive_seed(spec.seed, "east", "behaviour", str(means), k) for *_, means, k in played]
    vectors = [vector for _, vector, *_ in played]

    def steered(playing: Sequence[int]) -> list[Intervention]:
        adds: list[Intervention] = []
        for site in dict.fromkeys(vector.site for vector in vectors if vector is not None):
            own = [v if v is not None and v.site == site else None for v in (vectors[e] for e in playing)]
            rows = torch.stack([torch.zeros(model.d_model) if v is None else v.vector.float() for v in own])
            adds.append(Add(rows, torch.tensor([0.0 if v is None else multiplier for v in own]), site=site))
        return adds

    arms = [GaussianArms(means) for *_, means, _ in played]
    table = _steps(rollout(agent, arms, seeds, interventions=steered, progress=progress))
    of = [played[episode] for episode in table["episode"]]
    return table.assign(
        episode=[number for _, _, number, *_ in of],
        setting=[setting_name(means) for *_, means, _ in of],
        rendering=rendering,
        method=[method for method, *_ in of],
    )


def setting_name(means: Sequence[float]) -> str:
    """``(95, 105)``."""
    return f"({', '.join(f'{mean:g}' for mean in means)})"


def estimate_vectors(
    model: LanguageModel, spec: EastSpec, rendering: str, steps: pd.DataFrame, progress: bool = False
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Every estimate at every layer, from one pass an episode: ``{estimate: [layers, d]}``, and a table of norms.

    The table has ``estimate, layer, norm`` (of the vector), ``residual_norm`` (median over prompts) and
    ``half_cosine``, the cosine between the vectors of two halves of the runs (how well it is determined).
    """
    agent = agent_for(model, spec, rendering)
    prompts = prompts_of(agent, steps)
    runs = steps["episode"].to_numpy()
    episodes = [[prompts[i] for i in np.flatnonzero(runs == run)] for run in dict.fromkeys(runs)]
    found = replay(model, episodes, range(model.n_layers), progress=progress)
    vectors: dict[str, list[Tensor]] = {name: [] for name in ESTIMATES}
    rows = []
    for layer, z in enumerate(found.activations.values()):
        estimates = _estimates(z, steps)
        half = runs % 2 == 0
        halves = [_estimates(z[torch.from_numpy(part)], steps[part]) for part in (half, ~half)]
        for name, vector in estimates.items():
            vectors[name].append(vector)
            agreement = torch.cosine_similarity(halves[0][name], halves[1][name], dim=0).item()
            row = {"rendering": rendering, "estimate": name, "layer": layer, "norm": vector.norm().item()}
            rows.append(row | {"residual_norm": residual_norm(z), "half_cosine": agreement})
    return {name: torch.stack(each) for name, each in vectors.items()}, pd.DataFrame(rows)


def _estimates(z: Tensor, steps: pd.DataFrame) -> dict[str, Tensor]:
    entropy, runs = steps["entropy"].to_numpy(), steps["episode"].to_numpy()
    return {
        "east": entropy_weighted(z, entropy, runs),
        "uncentred": entropy_weighted(z, entropy, runs, centre=False),
        "unweighted": entropy_weighted(z, entropy, runs, weight=False),
        "mean_difference": mean_difference(z, entropy > min(np.median(entropy), entropy.mean())),
    }


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
    """One way to run the agent.  ``vector`` [d] is added at ``layer`` times ``multiplier``, which makes ``dose`` of the
    residual stream's norm; ``source`` is the rendering it was extracted from."""

    method: str
    layer: int = -1
    dose: float = 0.0
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
        row |= {"layer": condition.layer, "dose": condition.dose, "multiplier": condition.multiplier}
        row |= {"draw": condition.draw}
        row |= {"temperature": condition.temperature, "top_p": condition.top_p, "prompt": i % len(prompts)}
        row |= {"setting": prompt.setting, "episode": prompt.episode, "step": prompt.step}
        row |= {"entropy": decision.entropy, "entropy_corrected": decision.corrected, "valid": decision.valid}
        row |= {"outside_mass": decision.outside_mass}
        row |= {f"n{k}": count for k, count in enumerate(decision.counts.tolist())}
        yield row | ({"texts": json.dumps(decision.texts)} if texts else {})


def _plural(rendering: str) -> str:
    return RENDERINGS[rendering][1]
