"""How much fits at once, and what to do when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch

from workbench.models.backend import Backend

Item = TypeVar("Item")
Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch's means that memory ran out, on the GPU or the CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def in_halves(run: Callable[[list[Item]], Result], batches: Iterable[list[Item]]) -> list[Result]:
    """``run`` of each batch, in order; one that runs out of memory is halved and run again (one item alone: raised).

    >>> def run(batch):
    ...     if len(batch) > 2:
    ...         raise MemoryError
    ...     return sum(batch)
    >>> in_halves(run, [[1, 2, 3], [4]])
    [1, 5, 4]
    """
    results: list[Result] = []
    todo = list(batches)[::-1]
    while todo:
        batch = todo.pop()
        try:
            results.append(run(batch))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(batch) == 1:
                raise
            todo += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
    return results


def slot_budget(backend: Backend) -> int:
    """Token slots of key-value cache that may be held at once: 2 GB on a CPU, 40% of what is free on a GPU."""
    model, device = backend.hf_model, backend.device
    width = sum(_key_width(layer) for layer in model.config.get_text_config().per_layer_config)
    slot = 2 * width * torch.finfo(model.dtype).bits // 8
    room = 0.4 * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2e9
    return max(1, int(room / slot))


def _key_width(layer: Any) -> int:
    """Entries of one token's keys in a layer of this configuration."""
    heads = getattr(layer, "num_key_value_heads", None) or layer.num_attention_heads
    return heads * (getattr(layer, "head_dim", None) or layer.hidden_size // layer.num_attention_heads)
