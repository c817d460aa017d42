"""Interventions on the Hugging Face model itself, for code that calls it directly (``generate``, lm-eval, TRL).

Such code pads on the left or the right, keeps a cache of its own and says nothing of prompts.  So each pass is asked
which tokens it holds: from its attention mask (or position ids) and the length of its cache follow the absolute
positions.  Where a row's prompt ends is known inside ``generate``; any other pass that begins a cache, or adds more
than one token to it, is prompt to its end, and single tokens that follow are generated.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from workbench.errors import ModelError, SiteError
from workbench.models.backend import Hook, steering
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Intervention, Where, hooks_for
from workbench.sites import Site


@contextmanager
def steered(hf_model: Any, interventions: Sequence[Intervention]) -> Iterator[Any]:
    """The Hugging Face model with ``interventions`` on it; see :meth:`workbench.models.LanguageModel.steered`."""
    backend, passes = HuggingFaceBackend(hf_model), _Passes(hf_model, interventions)
    for site in {i.site for i in interventions}:
        if site.component not in backend.steerable:
            raise SiteError(f"steered acts on the Hugging Face model, which has no {site.component}:"
                            f" it has {', '.join(sorted(backend.steerable))}")  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(steering(hf_model))
        stack.callback(hf_model.base_model.register_forward_pre_hook(passes.begin, with_kwargs=True).remove)
        stack.enter_context(backend.hooked({i.site: passes.hook(i.site) for i in interventions}))
        stack.enter_context(_replaced(hf_model, "generate", passes.generating(hf_model.generate)))
        yield hf_model


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of one object, for a time."""
    missing = object()
    old = vars(owner).get(name, missing)
    setattr(owner, name, value)
    try:
        yield
    finally:
        delattr(owner, name)
        if old is not missing:
            setattr(owner, name, old)


class _Prompts(threading.local):
    """What a thread's passes belong to: the prompts of a ``generate`` in progress, the pass itself."""

    rows, width = 0, 0  # of the prompts handed to generate, padding included; 0 outside of it
    lengths: Tensor | None = None  # [batch], of the last pass that was prompt
    where: Where | None = None


class _Passes:
    """Follows the passes of a model and knows which token each element of an activation is."""

    def __init__(self, hf_model: Any, interventions: Sequence[Intervention]) -> None:
        self.interventions, self.now = interventions, _Prompts()
        self.names = list(inspect.signature(hf_model.base_model.forward).parameters)

    def hook(self, site: Site) -> Hook:
        """What acts on the activations of a site."""
        own = [i for i in self.interventions if i.site == site]

        def steer(activation: Tensor) -> Tensor:
            assert self.now.where is not None  # blocks run inside their model
            return hooks_for(own, self.now.where)[site](activation)

        return steer

    def generating(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        """``generate``, its prompts noted while it runs."""

        @functools.wraps(generate)
        def run(inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
            given = [inputs, kwargs.get("inputs_embeds"), kwargs.get("input_ids")]
            prompts = next((each for each in given if each is not None), torch.zeros(1, 1))
            outer = self.now.rows, self.now.width
            self.now.rows, self.now.width = prompts.shape[:2]
            try:
                return generate(inputs, *args, **kwargs)
            finally:
                self.now.rows, self.now.width = outer

        return run

    def begin(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each pass: which tokens it holds."""
        given = dict(zip(self.names, args, strict=False)) | kwargs
        tokens = given["input_ids"] if given.get("input_ids") is not None else given["inputs_embeds"]
        batch, new = tokens.shape[:2]
        cache = given.get("past_key_values")
        past = 0 if cache is None else int(cache.get_seq_length())
        slots = torch.arange(past, past + new, device=tokens.device)
        mask, ids = given.get("attention_mask"), given.get("position_ids")
        if isinstance(mask, Tensor) and mask.ndim == 2:
            positions, padding = _by_mask(mask, slots, self.now.width)
        else:
            positions, padding = _by_ids(ids, slots)
        positions = positions.expand(batch, new)
        lengths = self._prompt_lengths(positions, padding, past).expand(batch)
        rows = torch.arange(batch, device=tokens.device)
        if self.now.rows:  # generate repeats each prompt for its num_return_sequences
            rows = rows * self.now.rows // batch
        self.now.where = Where(positions, rows[:, None].expand(batch, new), lengths[:, None].expand(batch, new))

    def _prompt_lengths(self, positions: Tensor, padding: Tensor, past: int) -> Tensor:
        """Prompt tokens of each row."""
        if self.now.width:
            return self.now.width - padding
        if not past or positions.shape[1] > 1:
            self.now.lengths = positions.amax(1) + 1
        if self.now.lengths is None or len(self.now.lengths) != len(positions):
            raise ModelError("this pass goes on from a cache that was not filled under steered(...) in this thread")
        return self.now.lengths


def _by_mask(mask: Tensor, slots: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Positions [batch, pos] by the mask [batch, slot] of all tokens so far, and padding among the first ``width``."""
    if mask.shape[1] <= int(slots[-1]):
        raise ModelError(f"an attention mask of {mask.shape[1]} tokens for {int(slots[-1]) + 1} (the cache's included)")
    real = mask.bool()
    positions = torch.where(real, real.cumsum(1) - 1, -1)
    return positions[:, slots], (~real[:, :width]).sum(1)


def _by_ids(ids: Tensor | None, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Positions [batch, pos] by that of the last token, and how many slots of padding that leaves on the left."""
    if ids is None:
        return slots[None], slots.new_zeros(1)
    ids = ids if ids.ndim == 2 else ids[0]  # several axes of positions are one for text
    padding = slots[-1] - ids[:, -1]
    positions = (slots - padding[:, None]).clamp(min=-1)
    if bool((ids != torch.where(positions < 0, ids[:, :1], positions)).any()):  # all padding is at one position
        raise ModelError("positions that do not follow one another (packed sequences) cannot be steered: pad instead")
    return positions, padding
