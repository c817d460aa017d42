"""The ``hf`` back end: plain PyTorch hooks on a Hugging Face model.

The fast path: it keeps SDPA attention and the checkpoint's dtype.  Sites are found from the structure of the model (the
block list is the ``ModuleList`` with one entry a layer; the parts of a block go by their usual names).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workbench.errors import ModelError, SiteError
from workbench.models.backend import StopForward, Tap
from workbench.sites import Site

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["HuggingFaceBackend", "find_blocks", "own_mask"]

_ATTENTION = ("self_attn", "attn", "attention", "self_attention")
_MLP = ("mlp", "feed_forward", "block_sparse_moe", "ffn")
_SECOND_NORM = ("post_attention_layernorm", "ln_2", "post_layernorm", "norm2")
_SANDWICH = ("pre_feedforward_layernorm", "post_feedforward_layernorm")


def find_blocks(hf_model: Any) -> nn.ModuleList:
    """The transformer blocks of a Hugging Face causal LM; :class:`ModelError` when there is no list of them."""
    from torch import nn

    base, n_layers = hf_model.base_model, hf_model.config.get_text_config().num_hidden_layers
    for module in base.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise ModelError(f"{type(hf_model).__name__} has no list of {n_layers} blocks: the workbench reads causal transformers")


def own_mask(mask: Tensor | dict[str, Tensor] | None, hf_model: Any) -> Any:
    """A boolean mask in the form that the model's attention takes (additive for eager attention)."""
    import torch

    if mask is None or hf_model.config._attn_implementation == "sdpa":
        return mask
    if isinstance(mask, dict):
        return {kind: own_mask(each, hf_model) for kind, each in mask.items()}
    dtype = hf_model.dtype
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def _part(block: nn.Module, names: tuple[str, ...], what: str) -> nn.Module:
    for name in names:
        if hasattr(block, name):
            return getattr(block, name)  # type: ignore[no-any-return]
    raise SiteError(f"blocks of type {type(block).__name__} have no {what} that the workbench can find")


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output  # type: ignore[no-any-return]


class HuggingFaceBackend:
    """See :class:`workbench.models.backend.Backend`."""

    name = "hf"
    basis = "raw"
    components = frozenset({"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"})
    steerable = components

    def __init__(self, hf_model: Any, tokenizer: Any = None) -> None:
        self.hf_model = hf_model
        self.blocks = find_blocks(hf_model)

    @property
    def device(self) -> torch.device:
        """Where the embeddings are, hence where tokens go."""
        return self.hf_model.get_input_embeddings().weight.device  # type: ignore[no-any-return]

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
        run = self.hf_model if logits else self.hf_model.base_model
        arguments = {"attention_mask": own_mask(mask, self.hf_model), "position_ids": positions}
        with self._tapped(taps or {}, stop_after):
            try:
                output = run(tokens, past_key_values=cache, use_cache=cache is not None, **arguments)
            except StopForward:
                return None
        return output.logits if logits else None  # type: ignore[no-any-return]

    @contextmanager
    def _tapped(self, taps: Mapping[Site, Tap], stop_after: int | None) -> Iterator[None]:
        handles: list[Any] = []
        try:
            for site, tap in taps.items():
                handles += self._hook(site, tap)
            if stop_after is not None:
                handles.append(self.blocks[stop_after].register_forward_hook(_stop))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, site: Site, tap: Tap) -> list[Any]:
        block = self.blocks[site.layer]
        match site.component:
            case "resid_pre":
                return [block.register_forward_pre_hook(_on_input(tap), with_kwargs=True)]
            case "resid_post":
                return [block.register_forward_hook(_on_output(tap))]
            case "attn_out":
                return [_part(block, _ATTENTION, "attention").register_forward_hook(_on_output(tap))]
            case "mlp_out":
                return [_part(block, _MLP, "MLP").register_forward_hook(_on_output(tap))]
            case "resid_mid":
                return self._hook_mid(block, tap)
        raise SiteError(f"the hf back end cannot read {site}: use backend='transformer_lens' for heads and patterns")

    @staticmethod
    def _hook_mid(block: nn.Module, tap: Tap) -> list[Any]:
        """resid_mid = resid_pre + attn_out.  A change of it is written into attn_out, which both branches read."""
        if any(hasattr(block, name) for name in _SANDWICH):
            raise SiteError(f"blocks of type {type(block).__name__} norm their outputs: resid_mid is not defined for them")
        _part(block, _SECOND_NORM, "norm between attention and MLP, hence no resid_mid")
        kept: list[Tensor] = []

        def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            kept[:] = [args[0] if args else kwargs["hidden_states"]]

        def after(_module: nn.Module, _args: Any, output: Any) -> Any:
            attn_out = _first(output)
            middle = kept.pop() + attn_out
            new = tap(middle)
            return None if new is middle else _with_first(output, attn_out + (new - middle))

        attention = _part(block, _ATTENTION, "attention")
        return [block.register_forward_pre_hook(before, with_kwargs=True), attention.register_forward_hook(after)]


def _with_first(output: Any, first: Tensor) -> Any:
    return (first, *output[1:]) if isinstance(output, tuple) else first


def _on_output(tap: Tap) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        old = _first(output)
        new = tap(old)
        return None if new is old else _with_first(output, new)

    return hook


def _on_input(tap: Tap) -> Any:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (tap(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": tap(kwargs["hidden_states"])}

    return hook


def _stop(_module: nn.Module, _args: Any, _output: Any) -> None:
    raise StopForward
