"""Alignment of switches, codes and composition, on a metacontroller that is built rather than found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.families.internal_rl import alignment
from workbench.families.internal_rl.alignment import (
    HeldCode,
    alignment_rows,
    f1_lead_of,
    f1_of,
    first_codes,
    switch_counts,
)
from workbench.families.internal_rl.control.metacontroller import Metacontroller
from workbench.families.internal_rl.discovery import Found, load_found, new_steering, save_found
from workbench.families.internal_rl.expert import changes_of, measured_episodes, subgoals_of
from workbench.models.interventions import Where
from workbench.sites import Site


def flags(*rows: str) -> torch.Tensor:
    return torch.tensor([[c == "1" for c in row] for row in rows])


def test_scores_count_hits_misses_and_false_alarms_after_the_first_step() -> None:
    switches, changes = flags("1010010", "1000010"), flags("0010100", "0000010")
    mask = flags("1111111", "1111110")
    total = switch_counts(switches, changes, mask).sum(0)
    assert total.tolist() == [2, 3, 2, 3] and f1_of(total) == pytest.approx(2 / 3)
    assert alignment._precision(total) == alignment._recall(total) == pytest.approx(2 / 3)
    wide = switch_counts(switches, changes, mask, window=1).sum(0)
    assert alignment._precision(wide) == alignment._recall(wide) == f1_of(wide) == 1.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0, 1, 2]))
def test_counts_are_those_of_a_plain_loop(seed: int, window: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    switches, changes = (torch.rand(4, 9, generator=generator) < 0.3 for _ in range(2))
    mask = torch.arange(9) < torch.randint(1, 10, (4, 1), generator=generator)
    for found, length, s, c in zip(
        switch_counts(switches, changes, mask, window), mask.sum(1).tolist(), switches.tolist(), changes.tolist(),
        strict=True,
    ):  # fmt: skip
        opened, changed = ([t for t in range(1, length) if each[t]] for each in (s, c))
        right = [t for t in opened if any(abs(t - u) <= window for u in changed)]
        seen = [t for t in changed if any(abs(t - u) <= window for u in opened)]
        assert found.tolist() == [len(right), len(opened), len(seen), len(changed)]


def test_what_lies_in_the_padding_or_at_the_start_counts_for_nothing() -> None:
    total = switch_counts(flags("1001"), flags("1001"), flags("1110")).sum(0)
    assert total.tolist() == [0, 0, 0, 0] and f1_of(total) == 0.0


def test_the_masks_that_are_given_stay_as_they_were() -> None:
    mask = flags("111")
    switch_counts(flags("111"), flags("111"), mask)
    assert mask.all()


def test_a_lead_is_the_score_less_the_mean_of_the_gates() -> None:
    own, gates = np.array([2, 2, 2, 2]), np.array([[1, 2, 1, 2], [0, 2, 0, 2]])
    total = np.concatenate([own, *gates])
    assert f1_lead_of(total) == pytest.approx(1 - (0.5 + 0) / 2)
    assert f1_lead_of(np.stack([total, total])).shape == (2,)


class Knowing(Metacontroller):
    """Its gate opens at the true changes and its code is the subgoal: what discovery hopes for."""

    def __init__(self, shape, episodes) -> None:
        super().__init__(shape)
        self.episodes = episodes

    def forward(self, activation, mask, gate="learned", generator=None, sample=True, mirror_image=None):
        found = super().forward(activation, mask, gate, generator, sample)
        z = torch.zeros_like(found.z)
        angle = subgoals_of(self.episodes) * torch.pi / 2
        z[..., 0], z[..., 1] = angle.cos(), angle.sin()
        beta = changes_of(self.episodes).float()
        beta[:, 0] = 1
        return type(found)(found.activation, z, found.log_sigma, z, beta, beta)


@pytest.fixture
def knowing(empty_run) -> Found:
    base = new_steering(empty_run, "frozen", 0)
    steers = Knowing(base.shape, measured_episodes(empty_run, "discovery"))
    return Found(empty_run.base, Site(1), steers).frozen()


def test_a_gate_that_knows_is_aligned_and_its_codes_say_the_subgoal(empty_run, knowing: Found) -> None:
    rows, counts = alignment_rows(empty_run, knowing)
    table = {row["measure"]: row for row in rows}
    for name in ("f1", "precision", "recall", "f1_window"):
        assert (table[name]["estimate"], table[name]["low"]) == (1, 1)
    assert table["f1_random"]["estimate"] < 0.6 and table["f1_lead"]["low"] > 0.3
    assert table["gate_at_changes"]["estimate"] == 1 and table["gate_elsewhere"]["estimate"] == 0
    assert table["decode_segment_1"]["estimate"] > 0.7  # four corners, read linearly
    episodes = measured_episodes(empty_run, "discovery")
    switches = 1 + changes_of(episodes).sum(1).double()
    assert table["switches"]["estimate"] == pytest.approx(float(switches.mean()))
    assert counts["own"].shape == (24, 4) and counts["random"].shape == (24, 4 * alignment.RANDOM_GATES)
    assert f1_of(counts["own"].sum(0)) == 1


def test_first_codes_are_the_means_by_first_subgoal(empty_run, knowing: Found) -> None:
    codes = first_codes(alignment._Passes(empty_run, knowing), 4)
    first = subgoals_of(knowing.steers.episodes)[:, 0]
    for g, corner in enumerate(([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0])):
        expected = corner if bool((first == g).any()) else [0.0, 0.0]
        assert codes[g].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_held_code_is_the_explicit_matrix(empty_run) -> None:
    steers = new_steering(empty_run, "frozen", 0)
    codes, e = torch.randn(3, 2), torch.randn(2, 4, empty_run.base.d_model)
    rows = torch.tensor([[2], [0]]).expand(2, 4)
    steered = HeldCode(Site(1), steers, codes)(e, Where(rows, rows, rows))
    for i, row in enumerate((2, 0)):
        up, down = steers.hyper.factors(codes[row])
        torch.testing.assert_close(steered[i], e[i] + e[i] @ (up @ down).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("condition", ["frozen", "forced", "co-trained", "compile"])
def test_what_was_found_is_loaded_as_it_was_kept(empty_run, condition: str) -> None:
    steers, model = new_steering(empty_run, condition, 1), empty_run.base
    for parameter in steers.parameters():
        parameter.data.add_(0.01)
    if condition == "co-trained":
        from workbench.families.internal_rl.control.frozen import trainable_copy

        model = trainable_copy(model, "trained")
        next(model.backend.hf_model.parameters()).data.add_(0.5)
    kept = Found(model, Site(1), steers, condition == "forced").frozen()
    save_found(empty_run, "kept", kept)
    loaded = load_found(empty_run, "kept", condition, 1)
    assert loaded.always == (condition == "forced") and loaded.site == Site(1)
    for name, tensor in steers.state_dict().items():
        assert torch.equal(tensor, loaded.steers.state_dict()[name])
    for name, tensor in model.backend.hf_model.state_dict().items():
        assert torch.equal(tensor, loaded.model.backend.hf_model.state_dict()[name])
    assert (loaded.model is empty_run.base) == (condition != "co-trained")
    assert not any(p.requires_grad for p in loaded.steers.parameters())
