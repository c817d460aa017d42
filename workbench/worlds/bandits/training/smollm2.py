"""The recipe of ``bandit-smollm2``: SmolLM2-135M-Instruct learns to play bandits, by an adapter on its upper blocks.

As "When Greedy Wins" (arXiv 2509.24923) does, it is finetuned on teachers that read summary statistics (see
``summaries``): UCB, Thompson sampling, and Thompson's action without a thought, three agents in one adapter, told apart
by how the answer begins.  Several states of one bandit, with all their answers, lie in one sequence, so the instruction
is read once; the blocks below the adapters need no backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.files import read_object, write_bytes
from workbench.seeding import derive_seed
from workbench.training.recipes import preset_of
from workbench.worlds.bandits.training.summaries import groups

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel
    from workbench.training.lora import LoRA

NAME, BASE = "bandit-smollm2", "smollm2-135m"


@dataclass(frozen=True)
class Recipe:
    """Data and adapter: ``n`` groups of ``states`` states each, one group a step."""

    n: int = 2400
    states: int = 3
    horizon: int = 50
    rank: int = 16
    lr: float = 2e-3
    depth: float = 0.4

    @property
    def lora(self) -> LoRA:
        """As :func:`workbench.training.lora.finetune` takes it."""
        from workbench.training.lora import LoRA

        return LoRA(self.rank, 2 * self.rank, self.lr, batch=1, depth=self.depth)


PRESETS = {"smoke": Recipe(n=8, states=1), "cpu": Recipe(), "gpu": Recipe(n=40_000, depth=0.0)}
GROUP_TOKENS = 490  # of a group of the preset cpu, on average


def train(
    out: Path,
    preset: str = "cpu",
    seed: int = 0,
    device: str | None = None,
    tokens: int | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    base: LanguageModel | None = None,
) -> dict[str, Any]:
    """Train, save the adapter in ``out`` and return what the model card needs.  Resumes by itself.

    ``tokens`` replaces the preset's budget (about that many); ``base``: the model to finetune (default: SmolLM2 in
    bfloat16, which must be fetched); ``report`` gets the step, loss and share done after every step.
    """
    from workbench.models import LanguageModel, load_model
    from workbench.training.lora import finetune

    recipe = preset_of(PRESETS, preset)
    n = recipe.n if tokens is None else max(1, tokens // GROUP_TOKENS)
    base = base or LanguageModel.of(load_model(BASE, device=device, dtype="bfloat16"))
    data = groups(n, recipe.states, recipe.horizon, np.random.default_rng(derive_seed(seed, NAME)))
    finetune(base, data, out, recipe.lora, seed=seed, name=NAME, report=report)
    parameters = _in_bfloat16(out / "adapter_model.safetensors")
    told = read_object(out / "finetuning.json")
    facts = {"preset": preset, "seed": seed, "base": told["base_name"], "adapter parameters": parameters}
    return facts | {key: told[key] for key in ("tokens", "seconds", "threads", "device")}


def _in_bfloat16(path: Path) -> int:
    """Keep the adapter's file in bfloat16, half its size; the number of its parameters."""
    import torch
    from safetensors.torch import load_file, save

    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}
    write_bytes(path, save(tensors, metadata={"format": "pt"}))
    return sum(tensor.numel() for tensor in tensors.values())
