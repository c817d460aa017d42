"""Where the blocks of a Hugging Face causal LM are, and which of their modules write into the residual stream.

Found from the structure of the model: the block list is the ``ModuleList`` with one entry a layer, and the parts of a
block go by their usual names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from workbench.errors import ModelError

_ATTENTION = ("self_attn", "attn", "attention", "self_attention")
_MLP = ("mlp", "feed_forward", "block_sparse_moe", "ffn")
_SECOND_NORM = ("post_attention_layernorm", "ln_2", "post_layernorm", "norm2")
# Blocks that norm what attention and MLP put out before adding it (Gemma 2 and 3, OLMo 2, GLM 4).
_POST_NORMS = (
    ("post_attention_layernorm", "post_feedforward_layernorm"),
    ("post_self_attn_layernorm", "post_mlp_layernorm"),
)


@dataclass(frozen=True)
class Block:
    """One block: ``module``, and the modules whose outputs it adds to the residual stream (None: not found)."""

    module: nn.Module
    attention: nn.Module | None
    mlp: nn.Module | None
    sequential: bool  # the MLP reads what attention has written, so there is a resid_mid


def find_blocks(hf_model: Any) -> list[Block]:
    """The transformer blocks of a Hugging Face causal LM; :class:`ModelError` when there is no list of them."""
    config = hf_model.config.get_text_config()
    if getattr(config, "num_attention_heads", None):
        for module in hf_model.base_model.modules():
            if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers:
                return [_block(each, config) for each in module]
    raise ModelError(f"{type(hf_model).__name__} has no list of attention blocks: the workbench reads transformers")


def residual_components(blocks: list[Block]) -> frozenset[str]:
    """The components that every block has, of those that are in or next to the residual stream."""
    found = {"resid_pre", "resid_post"}
    if all(block.attention is not None for block in blocks):
        found.add("attn_out")
        if all(block.sequential for block in blocks):
            found.add("resid_mid")
    if all(block.mlp is not None for block in blocks):
        found.add("mlp_out")
    return frozenset(found)


def _block(module: nn.Module, config: Any) -> Block:
    if getattr(config, "residual_multiplier", 1) not in (None, 1) or config.model_type == "bloom":
        # Granite scales outputs on their way, BLOOM adds the stream inside: no module puts out what is added.
        return Block(module, None, None, False)
    for attention, mlp in _POST_NORMS:
        if _part(module, (mlp,)) is not None:
            return Block(module, _part(module, (attention,)), _part(module, (mlp,)), True)
    parallel = getattr(config, "use_parallel_residual", False) or _part(module, _SECOND_NORM) is None
    return Block(module, _part(module, _ATTENTION), _part(module, _MLP), not parallel)


def _part(module: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    return next((part for name in names if (part := getattr(module, name, None)) is not None), None)
