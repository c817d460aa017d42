"""Frozen parts: a changed bit or a gradient is found and named, and everything is as before when the block is left."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.errors import RunError
from workbench.families.internal_rl.control.frozen import frozen, weights_digest

pytestmark = pytest.mark.slow


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.learns, self.fixed = nn.Linear(3, 3), nn.Linear(3, 3).requires_grad_(False)
        self.counts: torch.Tensor
        self.register_buffer("counts", torch.arange(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fixed(self.learns(x))


def test_equal_weights_have_equal_digests_and_any_bit_changes_them() -> None:
    assert weights_digest(Part()) == weights_digest(Part())
    weight, buffer = Part(), Part()
    weight.fixed.bias.data[1] = torch.nextafter(weight.fixed.bias.data[1], torch.tensor(9.0))
    buffer.counts[3] = 0
    assert len({weights_digest(each) for each in (Part(), weight, buffer)}) == 3


def test_names_shapes_and_types_count_too() -> None:
    flat, square, half = nn.Linear(4, 1, bias=False), nn.Linear(2, 2, bias=False), nn.Linear(4, 1, bias=False)
    for layer in (flat, square, half):
        layer.weight.data.zero_()
    half.to(torch.bfloat16)
    digests = {weights_digest(each) for each in (flat, square, half, nn.Sequential(flat))}
    assert len(digests) == 4


def test_weights_in_any_layout_and_type_can_be_digested() -> None:
    layer = nn.Linear(4, 2, bias=False)
    turned = nn.Linear(4, 2, bias=False)
    turned.weight.data = layer.weight.data.T.contiguous().T  # the same numbers, other strides
    assert weights_digest(layer) == weights_digest(turned)
    assert len(weights_digest(layer.to(torch.bfloat16))) == 16


def test_nothing_learns_inside_and_all_is_as_before_outside() -> None:
    part, head = Part(), nn.Linear(3, 1)
    part(torch.ones(1, 3)).sum().backward()  # what an earlier training left there
    with frozen({"part": part}) as check:
        assert not any(p.requires_grad for p in part.parameters())
        x = torch.ones(1, 3, requires_grad=True)
        head(part(x)).sum().backward()
        check()
        assert x.grad is not None  # a gradient passes through
    assert part.learns.weight.requires_grad and not part.fixed.weight.requires_grad
    assert part.learns.weight.grad is None and head.weight.grad is not None


@pytest.mark.parametrize("when", ["at the check", "at the end"])
def test_a_gradient_that_reaches_a_part_is_named(when: str) -> None:
    part = Part()
    says = r"a gradient reached a frozen part: base\.learns\.weight \(2 of its tensors\)"
    with pytest.raises(RunError, match=says), frozen({"base": part}) as check:
        part.learns.requires_grad_(True)
        part(torch.ones(1, 3)).sum().backward()
        if when == "at the check":
            check()
            pytest.fail("the check was silent")
    assert part.learns.weight.requires_grad and not part.fixed.weight.requires_grad


def test_a_part_that_changes_is_named_among_several() -> None:
    still, moves = Part(), Part()
    with pytest.raises(RunError, match="the weights of second"), frozen({"first": still, "second": moves}):
        moves.counts[0] += 1


def test_the_first_error_is_the_one_that_is_seen() -> None:
    part = Part()
    with pytest.raises(ZeroDivisionError), frozen({"part": part}):
        part.learns.weight.data += 1
        raise ZeroDivisionError
    assert part.learns.weight.requires_grad
