"""The ``hf`` back end: plain PyTorch hooks on a Hugging Face model.

The fast path: it keeps SDPA attention and the checkpoint's dtype.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from workbench.errors import SiteError
from workbench.models.backend import Backend, Hook, Hooks, StopForward, in_order
from workbench.models.blocks import Block, structure
from workbench.models.watched import first
from workbench.sites import Site


def with_first(output: Any, activation: Tensor) -> Any:
    """What a module returned, with another activation in it."""
    return (activation, *output[1:]) if isinstance(output, tuple | list) else activation


class HuggingFaceBackend(Backend):
    """See :class:`workbench.models.backend.Backend`."""

    name = "hf"

    def __init__(self, hf_model: Any, tokenizer: Any = None) -> None:
        self.hf_model = hf_model
        found = structure(hf_model)
        self.blocks, self.missing = found.of(hf_model), found.missing
        self.components = self.steerable = found.components

    def _pass(
        self, tokens: Tensor, arguments: dict[str, Any], hooks: Hooks, stop_after: int | None, logits: bool
    ) -> Tensor | None:
        run = self.hf_model if logits else self.hf_model.base_model
        with self.hooked(hooks, stop_after):
            try:
                output = run(tokens, **arguments)
            except StopForward:
                return None
        return output.logits if logits else None

    @contextmanager
    def hooked(self, hooks: Hooks, stop_after: int | None = None) -> Iterator[None]:
        """The model with hooks on it, which are gone afterwards whatever is raised."""
        handles: list[Any] = []
        try:
            for site, hook in in_order(hooks, stop_after):
                handles += _register(self.blocks[site.layer], site, hook)
            if stop_after is not None:
                handles.append(self.blocks[stop_after].module.register_forward_hook(_stop))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _register(block: Block, site: Site, hook: Hook) -> list[Any]:
    match site.component:
        case "resid_pre":
            return [block.module.register_forward_pre_hook(_on_input(hook), with_kwargs=True)]
        case "resid_post":
            return [block.module.register_forward_hook(_on_output(hook))]
        case "attn_out" if block.attention is not None:
            return [block.attention.register_forward_hook(_on_output(hook))]
        case "mlp_out" if block.mlp is not None:
            return [block.mlp.register_forward_hook(_on_output(hook))]
        case "resid_mid" if block.attention is not None:
            return _register_mid(block.module, block.attention, hook)
    raise SiteError(f"the hf back end cannot read {site}: use backend='transformer_lens' for heads and patterns")


def _register_mid(block: nn.Module, attention: nn.Module, hook: Hook) -> list[Any]:
    """resid_mid = resid_pre + attn_out.  A change of it is written into attn_out, which both branches read."""
    kept: list[Tensor] = []

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept[:] = [args[0] if args else kwargs["hidden_states"]]

    def after(_module: nn.Module, _args: Any, output: Any) -> Any:
        attn_out = first(output)
        middle = kept.pop() + attn_out
        new = hook(middle)
        return None if new is middle else with_first(output, attn_out + (new - middle))

    return [block.register_forward_pre_hook(before, with_kwargs=True), attention.register_forward_hook(after)]


def _on_output(hook: Hook) -> Any:
    def after(_module: nn.Module, _args: Any, output: Any) -> Any:
        old = first(output)
        new = hook(old)
        return None if new is old else with_first(output, new)

    return after


def _on_input(hook: Hook) -> Any:
    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (hook(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": hook(kwargs["hidden_states"])}

    return before


def _stop(_module: nn.Module, _args: Any, _output: Any) -> None:
    raise StopForward
