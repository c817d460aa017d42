"""Playing the agent and extracting entropy vectors from what it computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

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

ESTIMATES = ("east", "uncentred", "unweighted", "mean_difference")


def agent_for(
    model: LanguageModel, spec: EastSpec, rendering: str, completions: int | None = None, request: str = ""
) -> LanguageAgent:
    """The agent of a run in one rendering."""
    return LanguageAgent(
        model, spec.text(rendering), completions or spec.completions, spec.temperature,
        max_new_tokens=spec.max_new_tokens, prefill=spec.prefill, request=request,
    )  # fmt: skip


def play_extraction(model: LanguageModel, spec: EastSpec, rendering: str, progress: bool) -> pd.DataFrame:
    """The episodes from which vectors are extracted (their seeds are used nowhere else)."""
    seeds = [derive_seed(spec.seed, "east", "extraction", k) for k in range(spec.extraction_runs)]
    arms = GaussianArms(spec.extraction_means)
    return _steps(rollout(agent_for(model, spec, rendering), arms, seeds, progress=progress))


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
) -> pd.DataFrame:
    """Episodes of every method on every setting, with columns ``setting, rendering, method``; all in one batch.

    ``methods`` names the vector that a method adds ``multiplier`` times at the vector's site (None: no steering).
    The seeds are the same whatever the method, hence pairs.
    """
    agent = agent_for(model, spec, rendering, spec.behaviour_completions)
    each = [(means, k) for means in spec.settings for k in range(spec.episodes)]
    played = [(method, vector, means, k) for method, vector in methods.items() for means, k in each]
    seeds = [derive_seed(spec.seed, "east", "behaviour", str(means), k) for _, _, means, k in played]
    vectors = [vector for _, vector, _, _ in played]

    def steered(episodes: Sequence[int]) -> list[Intervention]:
        adds: list[Intervention] = []
        for site in dict.fromkeys(vector.site for vector in vectors if vector is not None):
            own = [v if v is not None and v.site == site else None for v in (vectors[e] for e in episodes)]
            rows = torch.stack([torch.zeros(model.d_model) if v is None else v.vector.float() for v in own])
            adds.append(Add(rows, torch.tensor([0.0 if v is None else multiplier for v in own]), site=site))
        return adds

    arms = [GaussianArms(means) for _, _, means, _ in played]
    table = _steps(rollout(agent, arms, seeds, interventions=steered, progress=progress))
    episodes = table["episode"].to_numpy()
    names = [f"({means[0]:g}, {means[1]:g})" for _, _, means, _ in played]
    return table.assign(
        episode=episodes % len(each),
        setting=[names[episode] for episode in episodes],
        rendering=rendering,
        method=[played[episode][0] for episode in episodes],
    )


def estimate_vectors(
    model: LanguageModel, spec: EastSpec, rendering: str, steps: pd.DataFrame, progress: bool = False
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Every estimate at every layer, from one pass an episode: ``{estimate: [layers, d]}``, and a table of norms.

    The table has ``estimate, layer, norm`` (of the vector), ``residual_norm`` (mean over prompts) and
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
            rows.append(row | {"residual_norm": z.float().norm(dim=-1).mean().item(), "half_cosine": agreement})
    return {name: torch.stack(each) for name, each in vectors.items()}, pd.DataFrame(rows)


def _estimates(z: Tensor, steps: pd.DataFrame) -> dict[str, Tensor]:
    entropy, runs = steps["entropy"].to_numpy(), steps["episode"].to_numpy()
    return {
        "east": entropy_weighted(z, entropy, runs),
        "uncentred": entropy_weighted(z, entropy, runs, centre=False),
        "unweighted": entropy_weighted(z, entropy, runs, weight=False),
        "mean_difference": mean_difference(z, entropy > min(np.median(entropy), entropy.mean())),
    }
