"""A second tree of modules over the same weights, for libraries that rewire a model in place."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

from workbench.errors import ModelError
from workbench.models.offload import is_offloaded


def copy_sharing_weights(hf_model: Any) -> Any:
    """A copy of a Hugging Face model that shares every parameter and buffer with it.

    Modules, config and hooks are the copy's own, so hooks and replaced modules stay in it; no weight is held twice, and
    weights changed in place change in both.  Raises :class:`ModelError` for quantized and offloaded weights, which a
    copy would read wrongly.

    >>> from workbench.models.tiny import tiny_hf_model
    >>> model = tiny_hf_model("llama")
    >>> other = copy_sharing_weights(model)
    >>> other.lm_head is model.lm_head, other.lm_head.weight is model.lm_head.weight
    (False, True)
    """
    kept = "in 8 or 4 bits" if getattr(hf_model, "is_quantized", False) else ""
    if kept or is_offloaded(hf_model):
        kept = kept or "on the disk or offloaded to the CPU"
        raise ModelError(f"weights {kept} can be read and steered on the hf back end only, and not be finetuned")
    # deepcopy takes an object that its memo holds already as it is.
    memo = {id(tensor): tensor for tensor in chain(hf_model.parameters(), hf_model.buffers())}
    return copy.deepcopy(hf_model, memo)
