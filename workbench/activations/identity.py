"""A short text that is the same for two interventions exactly when they do the same."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch


def identity(value: Any) -> str:
    """Type and digest of an object's content: tensors by their values, dataclasses and plain objects by their fields.

    >>> from workbench.models.interventions import Scope
    >>> identity(Scope()) == identity(Scope.parse("prompt[-1:]+generation")) != identity(Scope.everywhere())
    True
    """
    return f"{type(value).__name__}:{hashlib.sha256(_content(value).encode()).hexdigest()[:16]}"


def _content(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous()
        values = flat.reshape(-1).view(torch.uint8).numpy().tobytes()
        return f"{flat.dtype}{list(flat.shape)}{hashlib.sha256(values).hexdigest()}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if isinstance(value, torch.nn.Module):
        return _content(value.state_dict())
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{key!r}:{_content(each)}" for key, each in value.items())) + "}"
    if isinstance(value, str | int | float | bool | type(None) | type):
        return repr(value)
    if isinstance(value, set | frozenset):
        return "{" + ",".join(sorted(map(_content, value))) + "}"
    if isinstance(value, Iterable):
        return "[" + ",".join(map(_content, value)) + "]"
    if dataclasses.is_dataclass(value):
        value_fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return type(value).__name__ + _content(value_fields)
    if isinstance(value, FunctionType | MethodType) or not hasattr(value, "__dict__"):
        return repr(value)  # holds an address: nothing that cannot be looked into is taken for another
    return type(value).__name__ + _content(vars(value))
