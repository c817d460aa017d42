"""Weights that accelerate keeps elsewhere (in the CPU's memory, on the disk) and brings in for each pass.

The module then holds an empty tensor on the meta device; a hook of accelerate's knows where the values are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def stored(module: nn.Module, name: str) -> Tensor | None:
    """The values of a module's own weight that is kept elsewhere; None where nobody keeps them."""
    for hook in _hooks(module):
        held = getattr(hook, "weights_map", None)
        if held is not None:
            try:
                return torch.as_tensor(held[name])
            except KeyError:
                continue
    return None


def weights_of(hf_model: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and values of a model's state, by name; what is kept elsewhere is fetched one after another."""
    for name, held in sorted(hf_model.state_dict().items()):
        path, _, last = name.rpartition(".")
        found = stored(hf_model.get_submodule(path), last) if held.is_meta else None
        yield name, held if found is None else found


def is_offloaded(hf_model: Any) -> bool:
    """Whether some weights are kept elsewhere."""
    return any(weight.is_meta for weight in hf_model.parameters())


def absent(hf_model: Any) -> list[str]:
    """Names of weights and buffers that are nowhere."""
    return [
        f"{path}.{name}".lstrip(".")
        for path, module in hf_model.named_modules()
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        if tensor.is_meta and stored(module, name) is None
    ]


def place_of(module: nn.Module, weight: Tensor) -> torch.device:
    """The device on which a module computes with its weight."""
    if not weight.is_meta:
        return weight.device
    places = (getattr(hook, "execution_device", None) for hook in _hooks(module))
    return torch.device(next((place for place in places if place is not None), "cpu"))


def _hooks(module: nn.Module) -> list[Any]:
    hook = getattr(module, "_hf_hook", None)
    return [] if hook is None else list(getattr(hook, "hooks", [hook]))
