"""Plain Hugging Face, as the yardstick of :func:`workbench.models.check_backend`, and how far something is off it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from workbench.models.blocks import find_blocks
from workbench.models.shared_weights import copy_sharing_weights


class Reference:
    """Plain Hugging Face: whole inputs, one at a time, no padding and no cache.

    It runs in modules of its own over the weights of ``hf_model``, and shares no code with the back ends but the search
    for the list of blocks.  An input is a list of token ids, or observations [pos, fields or size].
    """

    def __init__(self, hf_model: Any) -> None:
        self.hf_model = copy_sharing_weights(hf_model)
        self.blocks = [block.module for block in find_blocks(self.hf_model)]

    def stream(self, row: Any) -> list[Tensor]:
        """The residual stream [pos, d] before the first block and behind each."""
        seen: list[Tensor] = []

        def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append((args[0] if args else kwargs["hidden_states"]).clone())

        handle = self.blocks[0].register_forward_pre_hook(before, with_kwargs=True)
        try:
            with self._behind(range(len(self.blocks)), lambda activation: seen.append(activation.clone())):
                out = self._run(row, output_hidden_states=True)
        finally:
            handle.remove()
        # What Hugging Face itself says comes before what hooks see; its last entry is taken after the final norm.
        told = getattr(out, "hidden_states", None) or ()
        return [state[0] for state in (*told[:-1], seen[-1])] if len(told) == len(seen) else [x[0] for x in seen]

    def logits(self, row: Any, layer: int = 0, vector: Tensor | None = None, start: int = 0) -> Tensor:
        """Logits [pos, values] with ``vector`` added behind block ``layer`` from position ``start`` on."""

        def add(activation: Tensor) -> Tensor | None:
            if vector is None:
                return None
            steered = activation.clone()
            steered[:, start:] += vector.to(activation.device, activation.dtype)
            return steered

        with self._behind([layer], add):
            return self._run(row).logits[0]

    def _run(self, row: Any, **options: Any) -> Any:
        device = self.hf_model.get_input_embeddings().weight.device
        with torch.no_grad():
            return self.hf_model(torch.as_tensor(row, device=device)[None], use_cache=False, **options)

    @contextmanager
    def _behind(self, layers: Iterable[int], function: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        def hook(_module: Any, _args: Any, output: Any) -> Any:
            several = isinstance(output, tuple | list)
            new = function(output[0] if several else output)
            return None if new is None else type(output)((new, *output[1:])) if several else new

        handles = [self.blocks[layer].register_forward_hook(hook) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def difference(found: Tensor, expected: Tensor) -> float:
    """How far ``found`` [..., pos, d] is off: at the worst position, relative to the norm of what is expected there, so
    that a position of huge norm (an attention sink) hides nothing.

    >>> expected = torch.tensor([[20_000.0, 0.0], [1.0, 0.0]])
    >>> round(difference(expected + torch.tensor([[0.0], [0.03]]), expected), 3)
    0.042
    """
    return _relative(found, expected, expected.float().norm(dim=-1).clamp(min=1e-30))


def logit_difference(found: Tensor, expected: Tensor) -> float:
    """How far logits [pos, values] are off: as :func:`difference`, but where they cancel out to less than at the median
    position, relative to those, since their rounding is that of the normed stream, which is as large everywhere."""
    norms = expected.float().norm(dim=-1)
    return _relative(found, expected, norms.clamp(min=float(norms.median())))


def worst(differences: Iterable[float]) -> float:
    """The largest of some differences, 0 if there are none; NaN if one is.

    >>> worst([0.5, float("nan"), 1.0])
    nan
    """
    return float(torch.tensor([0.0, *differences], dtype=torch.float64).amax())


def _relative(found: Tensor, expected: Tensor, sizes: Tensor) -> float:
    if found.shape != expected.shape:
        raise AssertionError(f"shape {tuple(found.shape)} where {tuple(expected.shape)} was expected")
    return float(((found.float().to(expected.device) - expected.float()).norm(dim=-1) / sizes).max())
