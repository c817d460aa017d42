"""What goes into a probe: NumPy arrays or torch tensors of any float dtype."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from workbench.arguments import real_array

Array = NDArray[Any]


def to_tensor(values: Any) -> torch.Tensor:
    """An array as a tensor, without a copy where that can be (torch takes no read-only memory)."""
    if isinstance(values, torch.Tensor) and values.layout == torch.strided and not values.is_meta:
        return values.detach()
    array = real_array(values, "X")
    return torch.from_numpy(array if array.flags.writeable and min(array.strides, default=1) > 0 else array.copy())


def bad_row(values: torch.Tensor) -> int | None:
    """The first row [rows, ...] that holds a NaN or an infinity.

    >>> bad_row(torch.ones(2, 3)), bad_row(torch.tensor([[1.0], [torch.nan]]))
    (None, 1)
    """
    if bool(values.sum(dtype=torch.float64).isfinite()):  # several times faster than looking at each
        return None
    wrong = (~values.isfinite()).flatten(1).any(1).nonzero()
    return int(wrong[0]) if len(wrong) else None
