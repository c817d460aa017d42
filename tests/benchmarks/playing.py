"""The bandit agent: rollouts, sweeps over multipliers, replay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from measure import Row, at_least, compare

from steering.interventions import Add
from workbench.activations import replay
from workbench.models import load_model
from workbench.models.language_model import LanguageModel
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.agents.rollout import Rollout, rollout
from workbench.worlds.bandits.arms import GaussianArms
from workbench.worlds.bandits.text import BanditText

__all__ = ["replays", "rollouts", "sweeps"]

ARMS = GaussianArms((95, 105))
MULTIPLIERS = (-4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 8.0)


def rollouts(model_name: str, quick: bool) -> list[Row]:
    """EAST rollouts against one Hugging Face ``generate`` call an episode and step, on the prompts of the rollout."""
    model = load_model(model_name)
    n_episodes, horizon, completions = (4, 3, 25) if quick else (16, 20, 25)
    agent = _agent(model, horizon, completions)
    played = _play(agent, n_episodes)
    first = played.steps["episode"].to_numpy() == 0
    some = [prompt for prompt, wanted in zip(played.prompts, first, strict=True) if wanted]
    share = len(some) / len(played.prompts)
    _completions(agent, some[0])  # warm

    def plain() -> list[list[str]]:
        return [_completions(agent, prompt) for prompt in some]

    (timed,) = compare(lambda: _play(agent, n_episodes), [plain], 1 if quick else 3, warm=True)
    timed.other[:] = [seconds / share for seconds in timed.other]
    note = (
        f"{_shape(model)}; {n_episodes} episodes, {horizon} steps, {completions} completions a step; the loop was "
        f"timed on one episode of {n_episodes} and scaled, and is given the prompts of the rollout"
    )
    return [at_least("EAST rollouts, over a loop of generate calls an episode and step", timed, 5, note)]


def sweeps(model_name: str, quick: bool) -> list[Row]:
    """Seven multipliers as one batch against seven sweeps one after another, same prompts and seeds."""
    model = load_model(model_name)
    n_prompts, completions = (6, 4) if quick else (32, 8)
    prompts = _prompts(model, n_prompts, 5 if quick else 50)
    vector = torch.randn(model.d_model, generator=torch.Generator().manual_seed(0))
    vector, layer, seeds = vector / vector.norm(), model.n_layers // 2, list(range(n_prompts))
    agent = _agent(model, 50, completions)

    def decide(multipliers: Sequence[float]) -> list[list[str]]:
        doses = torch.tensor(multipliers).repeat_interleave(n_prompts)
        steer = Add(vector.expand(len(doses), -1), doses, site=layer)
        found = agent.decide(prompts * len(multipliers), seeds * len(multipliers), [steer])
        return [decision.texts for decision in found if decision is not None]

    def together() -> list[list[str]]:
        return decide(MULTIPLIERS)

    def one_by_one() -> list[list[str]]:
        return [texts for multiplier in MULTIPLIERS for texts in decide([multiplier])]

    same = np.mean([a == b for a, b in zip(together(), one_by_one(), strict=True)])
    if same < 0.9:
        raise AssertionError(f"only {same:.0%} of the prompts get the same completions in both sweeps")
    (timed,) = compare(together, [one_by_one], 1 if quick else 3, warm=True)
    note = (
        f"{_shape(model)}; {n_prompts} prompts of {min(map(len, prompts))} to {max(map(len, prompts))} tokens, "
        f"{completions} completions, {len(MULTIPLIERS)} multipliers; {same:.0%} of the answers are the same in both"
    )
    return [at_least("a sweep over 7 multipliers in one batch, over 7 sweeps", timed, 2, note)]


def replays(model_name: str, quick: bool) -> list[Row]:
    """Replay of whole episodes against a pass over every prompt."""
    model = load_model(model_name)
    n_episodes, horizon = (1, 12) if quick else (2, 50)
    played = _play(_agent(model, horizon, 2), n_episodes)
    runs = played.steps["episode"].to_numpy()
    episodes = [[played.prompts[i] for i in np.flatnonzero(runs == run)] for run in np.unique(runs)]
    layers = range(model.n_layers)

    def ours() -> torch.Tensor:
        return torch.stack(list(replay(model, episodes, layers).activations.values()))

    def plain() -> torch.Tensor:
        return torch.stack([_last(model, prompt) for episode in episodes for prompt in episode], dim=1)

    torch.testing.assert_close(ours(), plain(), rtol=1e-4, atol=1e-4)
    (timed,) = compare(ours, [plain], 2 if quick else 5, warm=True)
    longest = max(map(len, played.prompts))
    note = f"{_shape(model)}; {len(episodes)} episodes of at most {longest} tokens, all layers"
    return [at_least(f"replay of {horizon}-step episodes, over a pass for each prompt", timed, 10, note)]


def _agent(model: LanguageModel, horizon: int, completions: int) -> LanguageAgent:
    return LanguageAgent(model, BanditText(horizon=horizon), completions)


def _play(agent: LanguageAgent, n_episodes: int) -> Rollout:
    return rollout(agent, ARMS, list(range(n_episodes)))


def _prompts(model: LanguageModel, n: int, horizon: int) -> list[list[int]]:
    """Prompts from random steps of episodes."""
    played = _play(_agent(model, horizon, 2), 4).prompts
    return [played[i] for i in np.random.default_rng(0).permutation(len(played))[:n]]


def _completions(agent: LanguageAgent, prompt: list[int]) -> list[str]:
    """A step of the plain loop: draw with Hugging Face, decode, parse."""
    ids = torch.tensor([prompt])
    with torch.no_grad():
        out = agent.model.backend.hf_model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=agent.temperature, top_k=0,
            num_return_sequences=agent.completions, max_new_tokens=agent.max_new_tokens,
            pad_token_id=agent.model.tokenizer.pad_token_id, eos_token_id=agent.model.tokenizer.eos_token_id,
        )  # fmt: skip
    texts = agent.model.tokenizer.batch_decode(out[:, len(prompt) :], skip_special_tokens=True)
    for text in texts:
        agent.text.parse(agent.begins + text)
    return texts


def _last(model: LanguageModel, prompt: list[int]) -> torch.Tensor:
    """Activations [layer, d] at the last token of a prompt, from a pass of Hugging Face's model over it."""
    kept: list[torch.Tensor] = []
    hooks = [
        block.module.register_forward_hook(
            lambda _m, _a, out: kept.append((out[0] if isinstance(out, tuple) else out)[0, -1])
        )
        for block in model.backend.blocks
    ]
    try:
        with torch.no_grad():
            model.backend.hf_model.base_model(torch.tensor([prompt]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(kept)


def _shape(model: LanguageModel) -> str:
    return f"{model.name}, {model.n_layers} layers x {model.d_model}"
