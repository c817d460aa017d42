"""Whether the weights of a model came from its files, whole: what is missing would be random numbers."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from workbench.errors import ModelError, warn

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


def check_weights(what: str, hf_model: Any, info: dict[str, Any]) -> None:
    """Judge what ``from_pretrained(..., output_loading_info=True)`` says of a model called ``what``.

    Weights of the file that the model has no place for are named in a :class:`WorkbenchWarning`.  Raises
    :class:`ModelError`, which names them, for weights that the file has not or has in another shape (tied ones are in
    it once), and for a file with more layers or experts than the configuration.
    """
    mismatched = {
        f"{name} ({_shape(found)} where {_shape(own)} is needed)" for name, found, own in info["mismatched_keys"]
    }
    if mismatched:
        raise ModelError(
            f"cannot load {what!r}: weights of another shape than its configuration says: {few(mismatched)}"
        )
    if info["missing_keys"]:
        raise ModelError(f"cannot load {what!r}: weights are missing from its files: {few(info['missing_keys'])}")
    if unexpected := info["unexpected_keys"]:
        own = {_NUMBER.sub("*", name) for name in hf_model.state_dict()}
        more = [name for name in unexpected if _NUMBER.sub("*", name) in own]
        # Layers that predict further tokens follow the model's own in its files.
        if more and not getattr(hf_model.config.get_text_config(), "num_nextn_predict_layers", 0):
            raise ModelError(
                f"cannot load {what!r}: its configuration leaves out layers or experts that its files have: {few(more)}"
            )
        warn(f"{what}: weights of its files that the model has no place for are left out: {few(unexpected)}")


def few(names: Collection[str], shown: int = 3) -> str:
    """The first few of some names, in order, and how many there are besides.

    >>> few({"b", "a", "d", "c", "e"})
    'a, b, c and 2 more'
    """
    first = ", ".join(sorted(names)[:shown])
    return first if len(names) <= shown else f"{first} and {len(names) - shown} more"


def _shape(shape: Any) -> str:
    return "x".join(map(str, shape))
