"""How much fits at once, and what running out of memory looks like."""

from __future__ import annotations

from typing import Any

__all__ = ["is_out_of_memory", "slot_budget"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch's means that memory ran out, on the GPU or the CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def slot_budget(config: Any, dtype_bytes: int, device: Any) -> int:
    """Token slots of key-value cache that may be held at once: 2 GB on a CPU, 40% of what is free on a GPU."""
    import torch

    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    slot = 2 * text.num_hidden_layers * heads * head_dim * dtype_bytes
    room = 0.4 * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 2e9
    return max(1, int(room / slot))
