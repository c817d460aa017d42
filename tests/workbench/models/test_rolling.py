"""Batches that completions join and leave while they run: each completion is what ``generate`` gives it alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from steering import Add, side_by_side
from workbench.models.decoding import Sampling
from workbench.models.language_model import LanguageModel
from workbench.models.rolling import NOT_FINITE, OneByOne, OwnLeaf, Rolling, room_of
from workbench.models.sampling import PLAIN
from workbench.models.sharing import ROW_BY_ROW, UNCACHED, DecodingPath
from workbench.models.tiny import tiny_model
from workbench.models.trees import seeded_leaves


@dataclass
class Asked:
    """A prompt with its own number of completions, length, temperature, seed and steering."""

    prompt: list[int]
    n: int
    new: int
    temperature: float
    seed: int
    interventions: list[Any]
    leaves: list[OwnLeaf] = field(default_factory=list)

    def plant(self, model: LanguageModel) -> None:
        how = Sampling(self.new, **(PLAIN | {"temperature": self.temperature}), eos=model.end_tokens())
        ((*own,),) = seeded_leaves([self.n], self.seed)
        self.leaves = [OwnLeaf(0, each.seed, sampling=how) for each in own]

    def alone(self, model: LanguageModel) -> list[list[int]]:
        (found,) = model.generate(
            [self.prompt], self.n, max_new_tokens=self.new, temperature=self.temperature, seeds=self.seed,
            interventions=self.interventions,
        )  # fmt: skip
        return [each.tokens for each in found]

    @property
    def open(self) -> bool:
        return not all(leaf.finish for leaf in self.leaves)


def requests(model: LanguageModel, draws: random.Random, count: int) -> list[Asked]:
    made = []
    for seed in range(count):
        words = " ".join(draws.choice("abcdefgh") for _ in range(draws.randint(0, 20)))
        scope = draws.choice(["prompt[-1:]+generation", "prompt+generation", "generation[2:5]"])
        direction = torch.randn(32, generator=torch.Generator().manual_seed(seed))
        steering = [Add(direction, dose=0.5, site=draws.randint(0, 3), scope=scope)] if draws.random() < 0.7 else []
        n, new, temperature = draws.choice([1, 1, 2, 20]), draws.randint(1, 30), draws.choice([0.7, 1.0, 1.5])
        made.append(Asked(model.encode(words), n, new, temperature, seed, steering))
    return made


def run(model: LanguageModel, batch: Rolling | OneByOne, waiting: list[Asked], draws: random.Random) -> None:
    """Some join at random between two steps; rows are numbered anew each time."""
    waiting, running = list(waiting), []
    while waiting or running:
        new = [waiting.pop() for _ in range(min(draws.choice([0, 0, 0, 1, 3]), len(waiting)))]
        running = [each for each in running if each.open] + new
        for each in new:
            each.plant(model)
        for row, each in enumerate(running):
            for leaf in each.leaves:
                leaf.row = row
        batch.interventions = side_by_side([each.interventions for each in running], model)
        if new:
            batch.add([each.prompt for each in new], [each.leaves for each in new])
        batch.step()


@pytest.mark.parametrize("shape", ["llama", "gpt2", "mistral"])
@pytest.mark.parametrize("seed", range(2))
def test_completions_that_join_and_leave_are_those_of_generate(shape: str, seed: int) -> None:
    model, draws = tiny_model(shape), random.Random(seed)
    asked = requests(model, draws, 10)
    run(model, Rolling(model.backend), asked, draws)
    assert [[leaf.tokens for leaf in each.leaves] for each in asked] == [each.alone(model) for each in asked]


@pytest.mark.parametrize("path", [ROW_BY_ROW, UNCACHED])
def test_one_by_one_they_are_the_same(path: str) -> None:
    model, draws = tiny_model(), random.Random(0)
    asked = requests(model, draws, 4)
    run(model, OneByOne(model.backend, DecodingPath(path)), asked, draws)
    assert [[leaf.tokens for leaf in each.leaves] for each in asked] == [each.alone(model) for each in asked]


def test_the_batch_forgets_what_nobody_sees() -> None:
    """A long-lived completion beside many short ones: the cache stays as wide as the longest needs, not the sum."""
    model = tiny_model()
    batch = Rolling(model.backend)
    long = Asked(model.encode("a b"), 1, 150, 0.0, 0, [])
    long.plant(model)
    long.leaves[0].sampling = Sampling(150, temperature=0.0)
    batch.add([long.prompt], [long.leaves])
    widest = 0
    for _ in range(150):
        short = OwnLeaf(0, sampling=Sampling(2, temperature=0.0))
        batch.add([model.encode("c d e f")], [[short]])
        batch.step()
        widest = max(widest, batch.slots)
    assert len(long.leaves[0].tokens) == 150
    assert widest <= 3 * (150 + 8)


def test_a_completion_that_is_ended_from_outside_leaves() -> None:
    model = tiny_model()
    batch = Rolling(model.backend)
    first, second = (OwnLeaf(0, seed, sampling=Sampling(20)) for seed in (1, 2))
    batch.add([model.encode("a")], [[first, second]])
    batch.step()
    first.finish = "cancelled"
    leaves, logits = batch.step()
    assert leaves == [second] and logits is not None and len(logits) == 1 and len(first.tokens) == 1


def test_logits_that_are_not_finite_end_their_completion_only() -> None:
    model = tiny_model()
    batch = Rolling(model.backend)
    broken, sound = OwnLeaf(0, sampling=Sampling(5)), OwnLeaf(1, sampling=Sampling(5, temperature=0.0))
    batch.interventions = side_by_side([[Add(torch.full((32,), 10.0), 3e38, site=3)], []], model)
    batch.add([model.encode("a b")], [[broken]])
    batch.add([model.encode("c")], [[sound]])
    while batch.step()[0]:
        pass
    ((expected,),) = model.generate(["c"], max_new_tokens=5, temperature=0)
    assert broken.finish == NOT_FINITE and not broken.tokens and sound.tokens == expected.tokens


def test_room_grows_with_prompts_completions_and_length() -> None:
    backend = tiny_model().backend
    room, path = room_of(backend, [[1] * 10], 1, 20)
    assert room == 30 and path.name == "shared"
    assert room_of(backend, [[1] * 10] * 3, 1, 20)[0] == 90
    assert room_of(backend, [[1] * 10], 32, 20)[0] == 2 * (10 + 16 * 20)
