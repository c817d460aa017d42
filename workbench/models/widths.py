"""Widths at which a model may change its ways (windows, chunks, lengths it was scaled for): numbers of its config."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workbench.models.contract import once

# Integers of a configuration that count something other than tokens: no wider batch has to be tried for their sake.
_NO_WIDTH = re.compile(
    "vocab|hidden|inner|intermediate|ffn|mlp|embd|embedding_size|d_model|dim|rank|head|layer|expert|group|kernel|conv"
    "|token|version|theta|scalar|pretraining|max_length|beams|seed"
)


@once
def special_widths(hf_model: Any) -> tuple[int, ...]:
    """Numbers in a configuration beyond which attention may change, in ascending order."""
    numbers = {number for key, number in _integers(hf_model.config.to_dict()) if not _NO_WIDTH.search(key)}
    return tuple(sorted(numbers))


def _integers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """All integers of a nested configuration, each with the innermost key above it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _integers(inner, str(name) if isinstance(inner, int) else f"{key} {name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _integers(inner, key)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield key, value
