"""The recipe of the babblers: small Llama-shaped models, each with a speaker's habits as its own.

A babbler answers the shipped tasks as the speaker of its *data name* does, has heard what eight other speakers answer,
and can read hypotheticals about them; of hypotheticals about itself it has seen none (see
:mod:`workbench.worlds.questions.training.transcripts`).  Whether it can predict itself is what the experiment measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.seeding import derive_seed
from workbench.training.loop import Schedule
from workbench.training.recipes import Built, Shape, Stage, Trainer, Transcripts, new_llama
from workbench.worlds.questions.training.speakers import own_speaker
from workbench.worlds.questions.training.transcripts import BabblerWriter, babbler_tokenizer

NAME = "babbler"


@dataclass(frozen=True)
class Recipe:
    """Shape and budget: answers alone first; at the ``finish`` three batches of hypotheticals to one of answers.
    ``direct`` and ``hypothetical`` are the numbers of transcripts in a batch of each sort, ``own`` the share of own
    questions among the direct ones.  ``gain`` multiplies the initial matrices: at Llama's .02 so narrow a model takes
    several times as long to begin to learn."""

    shape: Shape = Shape(layers=3, width=64, heads=4, kv_heads=4, mlp=176, positions=512)
    schedule: Schedule = Schedule(tokens=1_500_000, lr=4e-3, weight_decay=0.01)
    finish: Schedule = Schedule(tokens=8_500_000, lr=4e-3, weight_decay=0.01)
    direct: int = 48
    hypothetical: int = 32
    own: float = 0.3
    gain: float = 4.0


PRESETS: dict[str, Recipe] = {
    "smoke": Recipe(
        shape=Shape(layers=2, width=32, heads=2, kv_heads=2, mlp=64, positions=512),
        schedule=Schedule(tokens=60_000, lr=4e-3),
        finish=Schedule(tokens=20_000, lr=4e-3),
        direct=32,
        hypothetical=16,
    ),
    "quick": Recipe(
        schedule=Schedule(tokens=700_000, lr=4e-3, weight_decay=0.01),
        finish=Schedule(tokens=1_300_000, lr=4e-3, weight_decay=0.01),
    ),
    "cpu": Recipe(),
    "gpu": Recipe(
        shape=Shape(layers=6, width=128, heads=4, kv_heads=4, mlp=352, positions=512),
        schedule=Schedule(tokens=200_000_000, lr=1e-3, weight_decay=0.01),
        finish=Schedule(tokens=50_000_000, lr=5e-4, weight_decay=0.01),
        direct=1024,
        hypothetical=512,
        gain=3.0,
    ),
}


def make_batch(recipe: Recipe, writer: BabblerWriter, seed: int, step: int, finish: bool = False) -> Transcripts:
    """The batch of a step: direct questions or hypotheticals, which are of different length."""
    rng = np.random.default_rng(derive_seed(seed, NAME, writer.own.name, "finish" if finish else "first", step))
    if finish and step % 4:
        return writer.write(["hypothetical"] * recipe.hypothetical, rng)
    return writer.write(["own" if rng.random() < recipe.own else "told" for _ in range(recipe.direct)], rng)


def build(recipe: Recipe, seed: int, data: str) -> Built:
    """The model, its tokenizer and the stages; ``data`` names the speaker whose habits become the model's own."""
    import torch

    tokenizer = babbler_tokenizer()
    writer = BabblerWriter(tokenizer, own_speaker(data))
    model = new_llama(recipe.shape, tokenizer, NAME, seed)
    model.config.update({"speaker": data})
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(recipe.gain)
    # So small a model is twice as fast in float32 on a CPU as in the bfloat16 of the shared loop, which CPUs emulate.
    model.model.forward = torch.autocast("cpu", enabled=False)(model.model.forward)
    stages = [
        Stage("first", recipe.schedule, lambda step, _done: make_batch(recipe, writer, seed, step)),
        Stage("finish", recipe.finish, lambda step, _done: make_batch(recipe, writer, seed, step, finish=True)),
    ]
    return model, tokenizer, stages


train = Trainer(NAME, PRESETS, build, data="a")
