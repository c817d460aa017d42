"""One pass over a transcript gives what a pass for every prompt gives."""

import random

import pandas as pd
import pytest
import torch

from workbench.activations import capture, replay
from workbench.activations.replaying import _passes
from workbench.errors import DataError


def episode(seed, steps, break_at=None):
    """Prompts of token ids that go on from one another; from ``break_at`` on, from another beginning."""
    rng = random.Random(seed)
    prompts, tokens = [], [1, 5 + seed]
    for step in range(steps):
        if step == break_at:
            tokens = [1, 90, *tokens[2:]]
        tokens = tokens + [rng.randrange(5, 100) for _ in range(rng.randint(1, 6))]
        prompts.append(tokens)
    return prompts


@pytest.fixture
def counted(model, monkeypatch):
    """The model, and the lengths of all sequences it ran."""
    forward, lengths = type(model).forward, []

    def counting(self, prompts, *args, **kwargs):
        lengths.extend(map(len, prompts))
        return forward(self, prompts, *args, **kwargs)

    monkeypatch.setattr(type(model), "forward", counting)
    return model, lengths


@pytest.mark.parametrize("shape", ["llama", "gpt2", "qwen2", "mistral"])
def test_replay_equals_per_prompt_passes_in_order(models, shape):
    episodes = [episode(0, 12), episode(1, 3), episode(2, 1), episode(3, 9, break_at=5)]
    found = replay(models[shape], episodes, [0, 1, 3])
    one_by_one = capture(
        models[shape], [prompt for prompts in episodes for prompt in prompts], [0, 1, 3], batch_tokens=1
    )
    for site in found.sites:
        assert (found[site] - one_by_one[site]).abs().max() < 1e-5
    assert found.labels["position"].tolist() == one_by_one.labels["position"].tolist()
    assert found.labels["step"].tolist() == [*range(12), *range(3), 0, *range(9)]
    assert found.groups.tolist() == found.labels["episode"].tolist() == [0] * 12 + [1] * 3 + [2] + [3] * 9
    assert found.fingerprint == models[shape].fingerprint


def test_episode_of_prefixes_costs_one_pass_and_each_break_one_more(counted):
    model, lengths = counted
    replay(model, [episode(0, 12), episode(3, 9, break_at=5)], 1)
    assert sorted(lengths) == sorted(
        [len(episode(0, 12)[-1]), len(episode(3, 9, break_at=5)[-1]), len(episode(3, 9, break_at=5)[4])]
    )


def test_prompt_that_shares_all_but_a_token_gets_its_own_pass():
    passes = _passes([[1, 2], [1, 9], [1, 2, 3], [1, 2, 3]], first_row=10)
    assert [(one.tokens, list(one.positions), list(one.rows)) for one in passes] == [
        ([1, 2, 3], [2, 2, 1], [12, 13, 10]),
        ([1, 9], [1], [11]),
    ]


def test_order_of_prompts_does_not_matter(model):
    prompts = episode(4, 6)
    forwards, backwards = replay(model, [prompts], 1), replay(model, [prompts[::-1]], 1)
    assert torch.allclose(forwards[1], backwards[1].flip(0), atol=1e-5)


def test_chats_of_growing_length_are_replayed(model, chat):
    prompts = [chat[:2], chat[:4], chat]
    found, single = replay(model, [prompts], 2), capture(model, prompts, 2)
    assert torch.allclose(found[2], single[2], atol=1e-5)


def test_labels_have_one_line_a_prompt(model):
    episodes = [episode(0, 2), episode(1, 1)]
    table = pd.DataFrame({"entropy": [0.1, 0.2, 0.3], "episode": [0, 0, 1], "step": [0, 1, 0]})
    found = replay(model, episodes, 1, labels=table, dtype="bfloat16")
    assert list(found.labels) == ["episode", "step", "position", "entropy"]
    assert found.labels["entropy"].tolist() == [0.1, 0.2, 0.3]
    assert found[1].dtype == torch.bfloat16
    with pytest.raises(DataError, match="a column 'episode', which replay writes itself"):
        replay(model, episodes, 1, labels={"episode": [1, 1, 2]})
    with pytest.raises(DataError, match="2 labels for 3 rows"):
        replay(model, episodes, 1, labels={"x": [1, 2]})


@pytest.mark.parametrize(
    ("episodes", "said"),
    [
        ([], "episodes must be a non-empty list"),
        ([["a"], []], "episode 1: prompts must be a non-empty list"),
        ([["a"], ["a", []]], "episode 1: prompt 1: a prompt is empty"),
        ([["a", "a " * 300]], "step 1 of episode 0 has .* more than the 256 positions"),
    ],
)
def test_unusable_episodes_are_named(model, episodes, said):
    with pytest.raises(DataError, match=said):
        replay(model, episodes, 1)
