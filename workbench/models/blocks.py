"""Where the blocks of a Hugging Face causal LM are, and which of their modules write into the residual stream.

Found by watching one pass over random tokens, not by names: the blocks are the list of modules that run once each, in
order, with activations [batch, pos, d] in and out; and a block's two parts are the modules with
``resid_pre + attn_out + mlp_out = resid_post``.  So what is read is what enters the stream, or it is not offered.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import nn

from workbench.errors import ModelError
from workbench.models.contract import on_trial, once, trial_inputs
from workbench.models.watched import Parts, Watched, meant

_IN_STREAM = frozenset({"resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"})


@dataclass(frozen=True)
class Block:
    """One block: ``module``, and the modules whose outputs it adds to the residual stream (None: there are none)."""

    module: nn.Module
    attention: nn.Module | None
    mlp: nn.Module | None


@dataclass(frozen=True)
class Structure:
    """Names of a model's blocks and of their parts; ``kind`` is the model's class."""

    kind: str
    blocks: tuple[str, ...]
    parts: tuple[Parts, ...]

    def of(self, hf_model: nn.Module) -> list[Block]:
        """The blocks in a model, or in a copy of it."""
        return [
            _block(hf_model.get_submodule(name), parts) for name, parts in zip(self.blocks, self.parts, strict=True)
        ]

    @property
    def components(self) -> frozenset[str]:
        """Those that every block has, of the components in or next to the residual stream."""
        return _IN_STREAM - self.missing.keys()

    @property
    def missing(self) -> dict[str, str]:
        """Why the others are not among them, in a few words each."""
        wanted = {
            "attn_out": ("attention", "no module puts out what attention adds to the residual stream"),
            "mlp_out": ("mlp", "no module puts out what the MLP adds to the residual stream"),
            "resid_mid": ("sequential", "no module reads resid_pre + attn_out"),
        }
        return {
            component: f"in block {lacking[0]} of {self.kind} {reason}"
            for component, (part, reason) in wanted.items()
            if (lacking := [i for i, parts in enumerate(self.parts) if not getattr(parts, part)])
        }


def find_blocks(hf_model: Any) -> list[Block]:
    """The transformer blocks of a Hugging Face causal LM; :class:`ModelError` as in :func:`structure`."""
    return structure(hf_model).of(hf_model)


@once
def structure(hf_model: Any) -> Structure:
    """What one pass over random tokens tells about a Hugging Face model.

    Raises :class:`ModelError` for a model without a list of attention blocks, whose blocks give something else than
    [batch, pos, d], or that attends to later tokens.
    """
    kind, config = type(hf_model).__name__, hf_model.config.get_text_config()
    lists = {
        name: list(module)
        for name, module in hf_model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == getattr(config, "num_hidden_layers", None)
    }
    if not (lists and getattr(config, "num_attention_heads", None)):
        raise ModelError(f"{kind} has no list of attention blocks: the workbench reads transformers")
    tokens, shared = trial_inputs(hf_model)
    order: list[Watched] = []
    shape = (*tokens.shape[:2], config.hidden_size)
    watched = {name: [Watched(block, order, shape, shared) for block in blocks] for name, blocks in lists.items()}
    with on_trial(hf_model), ExitStack() as hooks:
        for block in (block for blocks in watched.values() for block in blocks):
            for handle in block.handles():
                hooks.callback(handle.remove)
        hf_model(tokens, use_cache=False)
    name = _chosen(kind, watched, order)
    if max(block.leak for block in watched[name]) > meant(hf_model.dtype):
        raise ModelError(f"{kind} attends to later tokens: the workbench reads causal models")
    paths = tuple(f"{name}.{k}" for k in range(len(watched[name])))
    return Structure(kind, paths, tuple(block.parts for block in watched[name]))


def _chosen(kind: str, watched: dict[str, list[Watched]], order: list[Watched]) -> str:
    """Name of the list whose blocks ran once each, in order, on activations of the shape expected."""
    once_each = {name: blocks for name, blocks in watched.items() if [w for w in order if w in blocks] == blocks}
    for name, blocks in once_each.items():
        if all(block.shape == block.expected for block in blocks):
            return name
    for blocks in once_each.values():
        odd = next(block for block in blocks if block.shape != block.expected)
        theirs = f"theirs are {list(odd.shape)}" if odd.shape else "what goes in and out is not of one shape"
        raise ModelError(
            f"the blocks of {kind} do not turn an activation [batch, pos, d] = {list(odd.expected)} into another"
            f" ({theirs}): the workbench reads residual streams of one vector a token"
        )
    raise ModelError(f"{kind} has no list of blocks that run once each, in order: the workbench reads transformers")


def _block(module: nn.Module, parts: Parts) -> Block:
    attention, mlp = (None if name is None else module.get_submodule(name) for name in (parts.attention, parts.mlp))
    return Block(module, attention, mlp)
