"""How much fits at once, and what to do when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from workbench.errors import ModelError, WorkbenchError
from workbench.models.backend import Backend

_SIGNS = ("out of memory", "can't allocate memory", "alloc_failed")  # torch's, the CPU allocator's, cuBLAS's


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch's means that memory ran out, on the GPU or the CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS))


@contextmanager
def memory_errors(line: str, error: type[WorkbenchError] = ModelError) -> Iterator[None]:
    """Where nothing can be halved: running out of memory inside raises ``error`` with a ``line`` that says a way out.

    >>> with memory_errors("read fewer rows"):
    ...     raise MemoryError
    Traceback (most recent call last):
    workbench.errors.ModelError: out of memory: read fewer rows
    """
    try:
        yield
    except (RuntimeError, MemoryError) as cause:
        if not is_out_of_memory(cause):
            raise
        raise error(f"out of memory: {line}") from cause


def fits(run: Callable[[], object]) -> bool:
    """Run something; False when memory ran out meanwhile, whose results are to be thrown away.

    >>> fits(lambda: 0)
    True
    """
    try:
        run()
        return True
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return False


def slot_budget(backend: Backend) -> int:
    """Token slots of key-value cache that may be held at once: 2 GB on a CPU, 40% of what is free on a GPU."""
    device = backend.device
    room = 0.4 * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2e9
    return max(1, int(room / slot_bytes(backend)))


def batch_budget(backend: Backend) -> int:
    """Token slots of one batch out of many: what may be held, but on a CPU, which a hundred rows keep busy, no more
    than a quarter of the weights' size (at least 192 MB)."""
    held = slot_budget(backend)
    if backend.device.type == "cuda":
        return held
    weights = sum(weight.nbytes for weight in backend.hf_model.parameters())
    return max(1, min(held, int(max(192e6, weights / 4) / slot_bytes(backend))))


def slot_bytes(backend: Backend) -> int:
    """Keys and values of one token."""
    model = backend.hf_model
    width = sum(_key_width(layer) for layer in model.config.get_text_config().per_layer_config)
    return 2 * width * torch.finfo(model.dtype).bits // 8


def logits_bytes(backend: Backend) -> int:
    """Logits of one token."""
    model = backend.hf_model
    return int(model.config.get_text_config().vocab_size) * torch.finfo(model.dtype).bits // 8


def _key_width(layer: Any) -> int:
    """Entries of one token's keys in a layer of this configuration."""
    heads = getattr(layer, "num_key_value_heads", None) or layer.num_attention_heads
    return heads * (getattr(layer, "head_dim", None) or layer.hidden_size // layer.num_attention_heads)
