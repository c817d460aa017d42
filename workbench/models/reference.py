"""Plain Hugging Face, as the yardstick of :func:`workbench.models.check_backend`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from workbench.models.blocks import find_blocks
from workbench.models.shared_weights import copy_sharing_weights


class Reference:
    """Plain Hugging Face: whole prompts, one at a time, no padding and no cache.

    It runs in modules of its own over the weights of ``hf_model``, and shares no code with the back ends but the search
    for the list of blocks.
    """

    def __init__(self, hf_model: Any) -> None:
        self.hf_model = copy_sharing_weights(hf_model)
        self.blocks = [block.module for block in find_blocks(self.hf_model)]

    def stream(self, tokens: list[int]) -> list[Tensor]:
        """The residual stream [pos, d] before the first block and behind each."""
        last: list[Tensor] = []
        with self._behind(-1, lambda activation: last.append(activation)):
            states = self._run(tokens, output_hidden_states=True).hidden_states
        # Hugging Face takes its last entry after the final norm, so the last block is read by itself.
        return [state[0] for state in states[:-1]] + [last[0][0]]

    def logits(self, tokens: list[int], layer: int = 0, vector: Tensor | None = None, start: int = 0) -> Tensor:
        """Logits [pos, vocab] with ``vector`` added behind block ``layer`` from position ``start`` on."""

        def add(activation: Tensor) -> Tensor | None:
            if vector is None:
                return None
            steered = activation.clone()
            steered[:, start:] += vector.to(activation.device, activation.dtype)
            return steered

        with self._behind(layer, add):
            return self._run(tokens).logits[0]

    def _run(self, tokens: list[int], **options: Any) -> Any:
        device = self.hf_model.get_input_embeddings().weight.device
        with torch.no_grad():
            return self.hf_model(torch.tensor([tokens], device=device), use_cache=False, **options)

    @contextmanager
    def _behind(self, layer: int, function: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        def hook(_module: Any, _args: Any, output: Any) -> Any:
            new = function(output[0] if isinstance(output, tuple) else output)
            if new is None:
                return None
            return (new, *output[1:]) if isinstance(output, tuple) else new

        handle = self.blocks[layer].register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()
