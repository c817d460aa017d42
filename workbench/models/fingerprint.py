"""What identifies a model: its configuration and its weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

_VOLATILE = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"}
_SAMPLE = 65_536


def fingerprint(hf_model: Any) -> str:
    """16 hex digits from the configuration and the weights of a Hugging Face model.

    Weights of up to 65,536 entries count whole; of larger ones, as many evenly spaced entries (so that hashing a model
    of 7B parameters takes a second, and any finetuning still shows).  Values are compared as float32, hence a model
    loaded in another precision that rounds its weights is another model.
    """
    config = {k: v for k, v in hf_model.config.to_dict().items() if k not in _VOLATILE}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weight in sorted(hf_model.state_dict().items()):
        flat = weight.detach().flatten()
        if flat.numel() > _SAMPLE:
            flat = flat[torch.linspace(0, flat.numel() - 1, _SAMPLE, dtype=torch.float64).long().to(flat.device)]
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(flat.to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]
