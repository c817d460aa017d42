"""Low-rank controllers: explicit matmuls of the chosen controller, by sequence and by position, where they may act."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from steering.low_rank import LowRankControl, LowRankControllers
from workbench.errors import DataError
from workbench.models.interventions import Where
from workbench.models.tiny import tiny_sequence_model

BATCH, TIME, D, RANK, N = 4, 6, 10, 3, 5


@pytest.fixture
def e() -> Tensor:
    return torch.randn(BATCH, TIME, D)


@pytest.fixture
def bank() -> LowRankControllers:
    new = LowRankControllers(N, D, RANK)
    new.up.data.normal_()
    return new.requires_grad_(False)


def where_of(batch: int, time: int, start: int = 0, rows: list[int] | None = None) -> Where:
    positions = torch.arange(start, start + time).expand(batch, -1)
    row = torch.tensor(rows or list(range(batch)))[:, None].expand(-1, time)
    return Where(positions, row, torch.full_like(positions, 3))


def explicit(bank: LowRankControllers, e: Tensor, choice: Tensor) -> Tensor:
    """A matrix [d, d] times every activation, one by one."""
    found = torch.empty_like(e)
    for row in range(e.shape[0]):
        for t in range(e.shape[1]):
            k = int(choice[row, t])
            found[row, t] = e[row, t] + (bank.up[k] @ bank.down[k]) @ e[row, t]
    return found


def test_a_bank_applies_the_chosen_controller_at_every_position(e: Tensor, bank: LowRankControllers) -> None:
    choice = torch.randint(N, (BATCH, TIME), generator=torch.Generator().manual_seed(1))
    assert len(choice.unique()) == N
    torch.testing.assert_close(bank(e, choice), explicit(bank, e, choice), atol=1e-5, rtol=1e-5)


def test_only_the_chosen_controllers_learn(e: Tensor, bank: LowRankControllers) -> None:
    bank.requires_grad_(True)
    bank(e, torch.tensor([1, 3, 3, 1])[:, None].expand(-1, TIME)).square().sum().backward()
    for gradient in (bank.up.grad, bank.down.grad):
        assert gradient.abs().amax((1, 2)).gt(0).tolist() == [False, True, False, True, False]


def test_untrained_controllers_do_nothing_bit_for_bit() -> None:
    torch.manual_seed(0)
    model = tiny_sequence_model()
    bank = LowRankControllers(2, model.d_model)
    control = LowRankControl(bank.requires_grad_(False), torch.tensor([1, 0]), site=1)
    episodes = [[[0, 1]] * 4, [[2, 3]] * 4]
    plain = model.forward(episodes, logits=True).logits
    assert torch.equal(model.forward(episodes, logits=True, interventions=[control]).logits, plain)


def test_a_choice_for_every_row_follows_the_caller_s_rows(e: Tensor, bank: LowRankControllers) -> None:
    control = LowRankControl(bank, torch.tensor([4, 0, 2, 3, 1]), site=0)
    found = control(e, where_of(BATCH, TIME, rows=[3, 0, 4, 1]))
    wanted = explicit(bank, e, torch.tensor([3, 4, 1, 0])[:, None].expand(-1, TIME))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_choice_by_position_is_absolute_and_its_last_goes_on(e: Tensor, bank: LowRankControllers) -> None:
    choice = torch.randint(N, (BATCH, 8), generator=torch.Generator().manual_seed(2))
    control = LowRankControl(bank, choice, site=0)
    whole = control(e, where_of(BATCH, TIME, start=4))
    wanted = choice[:, [4, 5, 6, 7, 7, 7]]
    torch.testing.assert_close(whole, explicit(bank, e, wanted), atol=1e-5, rtol=1e-5)
    steps = [control(e[:, t : t + 1], where_of(BATCH, 1, start=4 + t)) for t in range(TIME)]
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("scope", "touched"), [("prompt", [0, 1, 2]), ("generation[1:2]", [4]), ("prompt[-1:]", [2])])
def test_nothing_outside_the_scope_is_touched(e: Tensor, bank: LowRankControllers, scope: str, touched: Any) -> None:
    control = LowRankControl(bank, torch.zeros(BATCH, dtype=torch.long), site=0, scope=scope)
    moved = (control(e, where_of(BATCH, TIME)) != e).any(-1).any(0)
    assert moved.nonzero()[:, 0].tolist() == touched


@pytest.mark.parametrize("choice", [[0, N], [-1, 0]])
def test_a_controller_that_is_not_there_is_refused(bank: LowRankControllers, choice: list[int]) -> None:
    with pytest.raises(DataError, match=f"a controller outside 0 to {N - 1}"):
        LowRankControl(bank, torch.tensor(choice), site=0)
