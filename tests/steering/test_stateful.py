"""Interventions that remember: each pass over a row is in order, from its start or from where the last one stopped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from steering.stateful import Carried
from workbench.errors import RunError
from workbench.models.interventions import Where
from workbench.models.tiny import tiny_sequence_model
from workbench.sites import Site

D = 3


class Sums:
    """Adds the sum of all activations so far; starts each row at its own number."""

    site = Site(1)
    fingerprint = "a model"

    def start(self, rows: int) -> dict[str, Tensor]:
        return {"sum": torch.arange(rows)[:, None] * torch.ones(D)}

    def steer(self, activation: Tensor, where: Where, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        sums = state["sum"][:, None] + activation.cumsum(1)
        return activation + sums, {"sum": sums[:, -1]}


def at(rows: list[int], start: int | list[int], n: int) -> Where:
    first = torch.tensor(start if isinstance(start, list) else [start] * len(rows))
    positions = first[:, None] + torch.arange(n)
    return Where(positions, torch.tensor(rows)[:, None].expand(-1, n), torch.full_like(positions, 9))


@pytest.fixture
def e() -> Tensor:
    return torch.randn(4, 6, D, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def whole(e: Tensor) -> Tensor:
    return Carried(Sums(), 4)(e, at([0, 1, 2, 3], 0, 6))


def test_steps_and_pieces_equal_the_whole_sequence(e: Tensor, whole: Tensor) -> None:
    carried = Carried(Sums(), 4)
    parts = [carried(e[:, a:b], at([0, 1, 2, 3], a, b - a)) for a, b in ((0, 1), (1, 2), (2, 5), (5, 6))]
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_rows_may_come_in_any_order_and_in_parts(e: Tensor, whole: Tensor) -> None:
    carried = Carried(Sums(), 4)
    first = carried(e[[2, 0], :3], at([2, 0], 0, 3))
    second = carried(e[[1], :6], at([1], 0, 6))
    third = carried(e[[0, 2], 3:], at([0, 2], 3, 3))
    torch.testing.assert_close(torch.cat([first[1:], third[:1]], 1), whole[[0]])
    torch.testing.assert_close(torch.cat([first[:1], third[1:]], 1), whole[[2]])
    torch.testing.assert_close(second, whole[[1]])
    assert carried.state["sum"][3].tolist() == [3.0] * D  # not run yet


def test_a_pass_from_position_zero_begins_anew(e: Tensor, whole: Tensor) -> None:
    carried = Carried(Sums(), 4)
    for n in (1, 2, 6, 3):
        torch.testing.assert_close(carried(e[:, :n], at([0, 1, 2, 3], 0, n)), whole[:, :n])
    one, three = e[[0], 3:4], e[[1], 0:1]  # row 0 goes on at 3, row 1 begins again
    found = carried(torch.cat([one, three]), at([0, 1], [3, 0], 1))
    torch.testing.assert_close(found, torch.cat([whole[[0], 3:4], whole[[1], 0:1]]))


def test_the_start_state_is_never_written_into(e: Tensor) -> None:
    controller, carried = Sums(), Carried(Sums(), 4)
    for _ in range(2):
        carried(e, at([0, 1, 2, 3], 0, 6))
    assert torch.equal(carried._start["sum"], controller.start(4)["sum"])


@pytest.mark.parametrize(
    ("start", "says"), [(4, "asked for position 4, and can go on at 3"), (1, "asked for position 1")]
)
def test_positions_that_are_skipped_or_repeated_are_refused(e: Tensor, start: int, says: str) -> None:
    carried = Carried(Sums(), 4)
    carried(e[:, :3], at([0, 1, 2, 3], 0, 3))
    with pytest.raises(RunError, match=says):
        carried(e[:, :1], at([0, 1, 2, 3], start, 1))


def test_a_refused_pass_changes_nothing(e: Tensor, whole: Tensor) -> None:
    carried = Carried(Sums(), 4)
    carried(e[:, :3], at([0, 1, 2, 3], 0, 3))
    with pytest.raises(RunError):
        carried(e[:, :1], at([0, 1, 2, 3], 5, 1))
    torch.testing.assert_close(carried(e[:, 3:], at([0, 1, 2, 3], 3, 3)), whole[:, 3:])


@pytest.mark.parametrize(
    "where",
    [
        at([0, 0], 0, 2),  # a row twice
        Where(torch.tensor([[0, 1], [0, 1]]), torch.tensor([[0, 1], [2, 3]]), torch.ones(2, 2)),  # rows side by side
        Where(torch.tensor([[0, 2], [0, 1]]), torch.tensor([[0, 0], [1, 1]]), torch.ones(2, 2)),  # a gap
    ],
    ids=["twice", "side by side", "gap"],
)
def test_rows_that_are_not_whole_sequences_are_refused(e: Tensor, where: Where) -> None:
    with pytest.raises(RunError, match="each sequence as one row"):
        Carried(Sums(), 4)(e[:2, :2], where)


def test_after_padding_a_row_can_only_begin_again(e: Tensor) -> None:
    carried, where = Carried(Sums(), 4), at([0, 1], 0, 4)
    where.positions[1, 2:] = -1
    carried(e[:2, :4], where)
    carried(e[[0], 4:5], at([0], 4, 1))
    with pytest.raises(RunError, match="row 1"):
        carried(e[[1], 2:3], at([1], 2, 1))
    carried(e[[1], :1], at([1], 0, 1))


def test_it_acts_like_any_intervention_of_a_model() -> None:
    model = tiny_sequence_model()

    class Wide(Sums):
        fingerprint = model.fingerprint

        def start(self, rows: int) -> dict[str, Tensor]:
            return {"sum": torch.zeros(rows, model.d_model)}

    carried = Carried(Wide(), 2)
    assert carried.site == Site(1) and carried.fingerprint == model.fingerprint
    episodes: list[Any] = [[[0, 1]] * 5, [[2, 3]] * 5]
    plain = model.forward(episodes, sites=[1]).activations[Site(1)]
    for _ in range(2):  # a second pass is not steered by the first
        found = model.forward(episodes, sites=[1], interventions=[carried]).activations[Site(1)]
        torch.testing.assert_close(found, plain + plain.cumsum(1))
