"""``SequenceModel``: observations in, a language model's calls out, and one clear line for what it cannot do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from workbench.activations import capture
from workbench.activations.positions import Span
from workbench.errors import ArtifactError, DataError, ModelError, SpecError
from workbench.models.hooked_model import HookedModel
from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.models.loading import with_backend
from workbench.models.sequence_model import SequenceModel, _outside
from workbench.models.tiny import tiny_model, tiny_sequence_model
from workbench.sites import Site
from workbench.worlds.pinpad.ant_world import AntWorld
from workbench.worlds.pinpad.pinpad import PINPADS, Pinpad

SIZES = (3, 5)


@pytest.fixture(scope="module")
def model() -> SequenceModel:
    return tiny_sequence_model(field_sizes=SIZES)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_lists_arrays_and_tensors_are_the_same_observations(model: SequenceModel, kind: Any) -> None:
    rows = [[0, 4], [2, 0]]
    assert model.encode(kind(rows)).tolist() == rows


@pytest.mark.parametrize("wrong", [[[0, 5]], [[-1, 0]], [[3, 0]], [[0.0, 1.0]]])
def test_observations_out_of_range_are_refused(model: SequenceModel, wrong: list[list[float]]) -> None:
    with pytest.raises(DataError, match="out of range"):
        model.encode(wrong)


@pytest.mark.parametrize("wrong", [[0, 1], [[0, 1, 2]], np.zeros((0, 2), int), [[[0, 1]]]])
def test_observations_of_another_shape_are_refused(model: SequenceModel, wrong: Any) -> None:
    with pytest.raises(DataError, match=r"shape \[pos, 2\]"):
        model.encode(wrong)


def test_no_episodes_are_refused(model: SequenceModel) -> None:
    with pytest.raises(DataError, match="write \\[episode\\]"):
        model.encode_all([])


def test_ranges_are_checked_where_the_observations_are() -> None:
    rows = torch.tensor([[0, 4], [2, 0]], device="meta")  # any second device; this one is on every machine
    with pytest.raises(RuntimeError, match="device"):
        _outside(rows, torch.tensor(SIZES))
    assert _outside(rows, torch.tensor(SIZES, device=rows.device)).device.type == "meta"


def test_encoding_leaves_the_device_alone(model: SequenceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that ``encode`` makes may stay on the CPU when the observations are elsewhere."""
    seen: list[torch.device] = []

    def outside(rows: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        seen.extend([rows.device, sizes.device])
        return torch.tensor(False)

    monkeypatch.setattr("workbench.models.sequence_model._outside", outside)
    assert model.encode(torch.zeros(3, 2, dtype=torch.long, device="meta")).device.type == "meta"
    assert [device.type for device in seen] == ["meta", "meta"]


def test_episodes_of_unlike_lengths_run_as_each_alone(model: SequenceModel) -> None:
    ragged = [[[0, 1]] * 5, [[2, 0], [1, 1]], [[1, 4]]]
    found = model.forward(ragged, sites=[1], logits=True)
    assert found.lengths == [5, 2, 1]
    for row, episode in enumerate(ragged):
        alone = model.forward([episode], sites=[1], logits=True)
        torch.testing.assert_close(found.logits[row, : len(episode)], alone.logits[0], atol=1e-5, rtol=1e-5)
    captured = capture(model, ragged, "1.resid_post", positions="all").activations[Site(1)]
    parts = [found.activations[Site(1)][row, :n] for row, n in enumerate(found.lengths)]
    torch.testing.assert_close(captured, torch.cat(parts))


def test_a_longer_episode_than_it_knows_is_refused(model: SequenceModel) -> None:
    with pytest.raises(ModelError, match="16 positions"):
        model.forward([[[0, 0]] * 17])


def test_a_step_equals_the_last_position_of_the_prefix(model: SequenceModel) -> None:
    seen = torch.tensor([[[0, 1], [2, 3], [1, 1]], [[2, 2], [0, 0], [1, 4]]])
    cache = model.cache()
    with torch.no_grad():
        for t in range(3):
            logits = model.step(seen[:, t], cache)
            whole = model.forward(seen[:, : t + 1], logits=True).logits
            torch.testing.assert_close(logits, whole[:, -1], atol=1e-5, rtol=1e-5)
        assert model.step(seen[:, 0], model.cache(), stop_after=1) is None


def test_actions_are_drawn_from_the_softmax_of_the_logits(model: SequenceModel) -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0]])
    torch.testing.assert_close(model.action_distribution(logits).probs, logits.softmax(-1))


def test_interventions_are_those_of_every_other_model(model: SequenceModel, add: Any) -> None:
    episode, vector = [[[0, 1]] * 4], torch.linspace(-1, 1, 16)
    plain = model.forward(episode, sites=[0], logits=True)
    steered = model.forward(episode, sites=[0], logits=True, interventions=[add(Site(0), vector)])
    moved = steered.activations[Site(0)] - plain.activations[Site(0)]
    assert moved[0, :3].abs().max() == 0  # the default scope: the last position of a prompt, and what follows
    torch.testing.assert_close(moved[0, 3], vector)
    same = add(Site(0), 0 * vector, Scope.everywhere())
    assert torch.equal(model.forward(episode, interventions=[same], logits=True).logits, plain.logits)
    stranger = add(Site(0), vector)
    object.__setattr__(stranger, "fingerprint", "another")
    with pytest.raises(ArtifactError, match="fingerprint another"):
        model.forward(episode, interventions=[stranger])


@pytest.mark.parametrize("call", ["generate", "score", "decode", "encode_continuation", "prompt_cache", "tokenizer"])
def test_it_has_no_text(model: SequenceModel, call: str) -> None:
    assert isinstance(model, HookedModel) and not isinstance(model, LanguageModel) and not hasattr(model, call)


def test_where_text_is_needed_it_is_refused_in_one_line(model: SequenceModel) -> None:
    line = "tiny-sequence reads observations, not text"
    for wrong in (LanguageModel.of, lambda m: with_backend(m, "hf")):
        with pytest.raises(ModelError, match=line):
            wrong(model)
    with pytest.raises(ModelError, match=line):
        capture(model, [[[0, 1]]], 0, positions=Span("a"))
    with pytest.raises(ModelError, match="reads text, not observations"):
        SequenceModel.of(tiny_model())


def test_the_world_is_that_of_its_training_or_an_error(model: SequenceModel) -> None:
    assert Pinpad.of(tiny_sequence_model(world=PINPADS["paper"]).world) == PINPADS["paper"]
    with pytest.raises(ModelError, match="does not say which world"):
        model.world  # noqa: B018
    with pytest.raises(SpecError, match="that of a grid"):
        AntWorld.of(tiny_sequence_model(world=PINPADS["small"]).world)


def test_a_cache_has_room_for_the_longest_episode_unless_told_otherwise(model: SequenceModel) -> None:
    assert model.cache().length == 16 and model.cache(3).length == 3
