"""What a back end has to do: run the model on a block of tokens, letting *hooks* read or replace activations.

Everything else (batching, sampling, steering, scoring, capture) is written once on top of this one call, so a new back
end is one class.  A *hook* is a function on the activation at a site; what it returns takes the activation's place
(returning its argument leaves the pass as it was, bit for bit).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from workbench.errors import ModelError
from workbench.models.offload import place_of
from workbench.sites import Site

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Hook = Callable[["Tensor"], "Tensor"]
Hooks = Mapping[Site, Hook] | None

# Components in the order in which a block computes them.
_ORDER = (
    "resid_pre", "attn.q", "attn.k", "attn.v", "attn.pattern", "attn.z", "attn_out", "resid_mid",
    "mlp.pre", "mlp.post", "mlp_out", "resid_post",
)  # fmt: skip
_LOCKS: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()
_STEERED: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


class StopForward(BaseException):
    """Raised inside a pass when nothing deeper is needed; never leaves a back end."""


def in_order(hooks: Hooks, stop_after: int | None) -> list[tuple[Site, Hook]]:
    """Hooks in the order in which a pass reaches their sites, so that each sees what those before it have changed;
    those that a pass ending behind layer ``stop_after`` does not reach are left out."""
    reached = [(s, hook) for s, hook in (hooks or {}).items() if stop_after is None or s.layer <= stop_after]
    return sorted(reached, key=lambda item: (item[0].layer, _ORDER.index(item[0].component)))


@contextmanager
def one_pass(hf_model: Any) -> Iterator[None]:
    """Keeps passes of a model apart: a hook belongs to one pass, and hooks fire in every thread."""
    with _lock(hf_model):
        if hf_model in _STEERED:
            raise ModelError(
                "inside model.steered(...) only the Hugging Face model is steered: call what it yields, or leave it and"
                " hand the interventions to the workbench's own calls"
            )
        yield


@contextmanager
def steering(hf_model: Any) -> Iterator[None]:
    """Keeps passes of the workbench away from a model that carries hooks of ``steered``; may be nested."""
    with _lock(hf_model):
        _STEERED[hf_model] = _STEERED.get(hf_model, 0) + 1
        try:
            yield
        finally:
            _STEERED[hf_model] -= 1
            if not _STEERED[hf_model]:
                del _STEERED[hf_model]


def _lock(hf_model: Any) -> threading.RLock:
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(hf_model, threading.RLock())


class Backend(ABC):
    """A model that can be run with hooks.

    ``components`` are those it can read; ``steerable`` those whose hooks may return something new; ``missing`` says why
    this model has not those that others have.
    ``hf_model`` holds the config, the weights and the device, and is left as it was given.
    """

    name: str
    hf_model: Any
    components: frozenset[str]
    steerable: frozenset[str]
    missing: Mapping[str, str]

    def why_not(self, component: str, others: frozenset[str]) -> str:
        """A line on a component that is not among the ``others``."""
        there = ", ".join(sorted(others))
        if component in self.missing:
            return f"there is no {component}: {self.missing[component]} (there is {there})"
        end = "backend='transformer_lens' reads heads and patterns"
        return f"the {self.name} back end has no {component} (it has {there}); {end}"

    @property
    def basis(self) -> str:
        """``raw`` unless the back end folds or centres weights."""
        return "raw"

    @property
    def device(self) -> torch.device:
        """Where the embeddings are, hence where tokens go."""
        embeddings = self.hf_model.get_input_embeddings()
        return place_of(embeddings, embeddings.weight)

    def forward(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | dict[str, Tensor] | None = None,
        cache: Any = None,
        hooks: Hooks = None,
        stop_after: int | None = None,
        logits: bool = True,
    ) -> Tensor | None:
        """Run ``tokens`` [batch, pos]; return logits [batch, pos, vocab] or None.

        ``positions`` [batch, pos] are absolute (None: 0, 1, ...); ``mask`` is boolean [batch, 1, pos, key], True where
        a query may look (None: plain causal), or one such mask per kind of layer; ``cache`` is a Hugging Face cache
        that is read and extended.  ``stop_after`` ends the pass behind that layer and ``logits=False`` skips the
        unembedding.  Hooks are gone when the call returns or raises.
        """
        arguments = {
            "attention_mask": additive(mask, self.hf_model.dtype),
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": cache is not None,
        }
        with one_pass(self.hf_model):
            return self._pass(tokens, arguments, hooks, stop_after, logits)

    @abstractmethod
    def _pass(
        self, tokens: Tensor, arguments: dict[str, Any], hooks: Hooks, stop_after: int | None, logits: bool
    ) -> Tensor | None:
        """What :meth:`forward` does, with Hugging Face's names for what goes into the model beside the tokens."""


def additive(mask: Tensor | dict[str, Tensor] | None, dtype: torch.dtype) -> Any:
    """A boolean mask as an additive one, which every attention takes (and SDPA would make of it at every layer)."""
    import torch

    if mask is None:
        return mask
    if isinstance(mask, dict):
        return {kind: additive(each, dtype) for kind, each in mask.items()}
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
