"""What a back end has to do: run the model on a block of tokens, letting *taps* read or replace activations.

Everything else (batching, sampling, steering, scoring, capture) is written once on top of this one call, so a new back
end is one class.  A *tap* is a function on the activation at a site; what it returns takes the activation's place
(returning its argument leaves the pass as it was, bit for bit).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from workbench.sites import Site

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Backend", "StopForward", "Tap"]

Tap = Callable[["Tensor"], "Tensor"]


class StopForward(BaseException):
    """Raised inside a pass when nothing deeper is needed; never leaves a back end."""


class Backend(Protocol):
    """A model that can be run with taps.

    ``components`` are those it can read; ``steerable`` those whose taps may return something new.
    ``hf_model`` holds the config, the weights and the device.
    """

    name: str
    basis: str
    hf_model: Any
    components: frozenset[str]
    steerable: frozenset[str]

    def forward(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | dict[str, Tensor] | None = None,
        cache: Any = None,
        taps: Mapping[Site, Tap] | None = None,
        stop_after: int | None = None,
        logits: bool = True,
    ) -> Tensor | None:
        """Run ``tokens`` [batch, pos]; return logits [batch, pos, vocab] or None.

        ``positions`` [batch, pos] are absolute (None: 0, 1, ...); ``mask`` is boolean [batch, 1, pos, key], True where a
        query may look (None: plain causal), or one such mask per kind of layer; ``cache`` is a Hugging Face cache that
        is read and extended.  ``stop_after`` ends the pass behind that layer and ``logits=False`` skips the
        unembedding.  Taps are gone when the call returns or raises.
        """
        ...

    @property
    def device(self) -> torch.device: ...
