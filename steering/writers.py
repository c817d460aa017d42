"""Which weights write into the residual stream, found by watching one pass, and how an affine map is put into them.

The first residual stream is a sum of embeddings; after that each block adds what its attention and its MLP put out.
Where such an output is a linear layer's, ``x -> A x + b`` of it is another linear layer's output.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from workbench.errors import ModelError
from workbench.models.blocks import Block, find_blocks
from workbench.models.contract import on_trial, trial_inputs
from workbench.models.shared_weights import copy_sharing_weights
from workbench.models.watched import first
from workbench.sites import Site

EMBEDDING = Site(0, "resid_pre")
# What configurations call the biases of their linear layers.
_FLAGS = {"attn_out": ("attention_bias", "use_bias", "bias"), "mlp_out": ("mlp_bias", "use_bias", "bias")}


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``x -> matrix x + shift`` in float64; ``matrix`` None is the identity.

    >>> one, half = torch.ones(2).double(), torch.eye(2).double() / 2
    >>> AffineMap(None, one).then(AffineMap(half, 0 * one)).shift.tolist()
    [0.5, 0.5]
    """

    matrix: Float[Tensor, "d d"] | None
    shift: Float[Tensor, " d"]

    def then(self, after: AffineMap) -> AffineMap:
        """This one, and another after it."""
        if after.matrix is None:
            return AffineMap(self.matrix, self.shift + after.shift)
        matrix = after.matrix if self.matrix is None else after.matrix @ self.matrix
        return AffineMap(matrix, after.matrix @ self.shift + after.shift)

    def of_rows(self, rows: Tensor) -> Tensor:
        """The linear part of rows [..., d], in float64."""
        return rows.double() if self.matrix is None else rows.double() @ self.matrix.to(rows.device).T


@dataclass(frozen=True)
class Writers:
    """Names of the linear layers that write ``attn_out`` and ``mlp_out`` of each layer, and of the embeddings whose sum
    the first residual stream is, each with what its rows are multiplied by."""

    kind: str
    linear: dict[Site, str]
    embeddings: dict[str, float]
    lacking: dict[Site, str] = field(default_factory=dict)

    @classmethod
    def of(cls, hf_model: Any) -> Writers:
        """Found in one pass over random tokens."""
        names = {id(module): name for name, module in hf_model.named_modules()}
        seen: dict[int, Tensor] = {}
        blocks = find_blocks(hf_model)
        tokens, _ = trial_inputs(hf_model)
        streams: list[Tensor] = []
        with on_trial(hf_model), ExitStack() as hooks:
            for module in hf_model.modules():
                hooks.callback(module.register_forward_hook(_keeping(seen)).remove)
            before = _keeping_input(streams)
            hooks.callback(blocks[0].module.register_forward_pre_hook(before, with_kwargs=True).remove)
            hf_model(tokens, use_cache=False)
        linear, lacking = {}, {}
        for site, part in _parts(blocks):
            found = None if part is None else _last_linear(part, seen)
            if found is None:
                ends = "is put out by no module" if part is None else f"ends in no linear layer ({type(part).__name__})"
                lacking[site] = f"{site} of {type(hf_model).__name__} {ends}"
            else:
                linear[site] = names[id(found)]
        return cls(type(hf_model).__name__, linear, _embeddings(hf_model, names, seen, streams[0]), lacking)

    def name(self, site: Site) -> str:
        """The layer that writes at a site; :class:`ModelError` where there is none."""
        if site not in self.linear:
            raise ModelError(f"{self.lacking.get(site, site)}, so it cannot be written into the weights")
        return self.linear[site]


def rewritten(hf_model: Any, maps: dict[Site, AffineMap]) -> Any:
    """A copy of a Hugging Face model with an affine map on what is written at each site: ``attn_out``, ``mlp_out`` and
    the first ``resid_pre``.  Weights that no map touches are shared with the original.

    Raises :class:`ModelError` for what the architecture has no place for.
    """
    writers = Writers.of(hf_model)
    model = copy_sharing_weights(hf_model)
    model.config = copy.deepcopy(hf_model.config)
    with torch.no_grad():
        for site, change in maps.items():
            if site == EMBEDDING:
                _rewrite_embeddings(model, writers, change)
            else:
                _rewrite_linear(model.get_submodule(writers.name(site)), change)
        _allow_biases(model, {writers.name(site): site for site in maps if site != EMBEDDING})
    return model


def _rewrite_linear(module: nn.Module, change: AffineMap) -> None:
    weight: Any = module.weight
    columns = isinstance(module, Conv1D)  # [in, out]
    rows = weight if columns else weight.T
    new = change.of_rows(rows)
    shift = change.shift.to(weight.device)
    if module.bias is not None:
        shift = shift + change.of_rows(module.bias)  # type: ignore[arg-type]
    module.weight = _parameter((new if columns else new.T), weight)
    if module.bias is not None or bool(shift.any()):
        module.bias = _parameter(shift, weight)


def _rewrite_embeddings(model: Any, writers: Writers, change: AffineMap) -> None:
    if not writers.embeddings:
        raise ModelError(f"the first residual stream of {writers.kind} is no sum of embeddings: it cannot be written")
    head, tied = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and head.weight is tied.weight:  # what reads the stream keeps the old ones
        model.config.get_text_config().tie_word_embeddings = model.config.tie_word_embeddings = False
    shift = change.shift
    for name, scale in writers.embeddings.items():
        module = model.get_submodule(name)
        weight: Any = module.weight
        module.weight = _parameter(change.of_rows(weight) + (shift / scale).to(weight.device), weight)
        shift = torch.zeros_like(shift)  # into the first of them alone


def _allow_biases(model: Any, changed: dict[str, Site]) -> None:
    """Let the configuration say that changed layers have a bias, where it did not; others that get one have 0."""
    wanted = {f"{name}.bias": site for name, site in changed.items() if model.get_submodule(name).bias is not None}
    missing = {key: site for key, site in wanted.items() if key not in _keys(model.config, model)}
    if not missing:
        return
    config = model.config.get_text_config()
    for site in missing.values():
        for flag in _FLAGS[site.component]:
            if getattr(config, flag, None) is False:
                setattr(config, flag, True)
                break
    allowed = _keys(model.config, model)
    for key, site in missing.items():
        if key not in allowed:
            raise ModelError(
                f"{type(model).__name__} has no bias for {key.removesuffix('.bias')}: nothing can be added at {site}"
            )
    for key in allowed - model.state_dict().keys():
        module: Any = model.get_submodule(key.rpartition(".")[0])
        width = module.weight.shape[1 if isinstance(module, Conv1D) else 0]
        module.bias = _parameter(torch.zeros(width, dtype=torch.float64, device=module.weight.device), module.weight)


def _keys(config: Any, model: Any) -> set[str]:
    """Names of the biases that a model of this configuration has."""
    with torch.device("meta"):
        return {key for key in type(model)(copy.deepcopy(config)).state_dict() if key.endswith(".bias")}


def _parameter(values: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(values.to(like.dtype).contiguous(), requires_grad=False)


# ---- watching


def _keeping(seen: dict[int, Tensor]) -> Callable[..., None]:
    def after(module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(found := first(output), Tensor):
            seen[id(module)] = found.clone()

    return after


def _keeping_input(streams: list[Tensor]) -> Callable[..., None]:
    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        streams.append((args[0] if args else kwargs["hidden_states"]).clone())

    return before


def _parts(blocks: list[Block]) -> Iterator[tuple[Site, nn.Module | None]]:
    for layer, block in enumerate(blocks):
        yield Site(layer, "attn_out"), block.attention
        yield Site(layer, "mlp_out"), block.mlp


def _last_linear(part: nn.Module, seen: dict[int, Tensor]) -> nn.Module | None:
    """The linear layer within a module that puts out what the module does."""
    written = seen[id(part)]
    for module in part.modules():
        found = seen.get(id(module))
        if isinstance(module, nn.Linear | Conv1D) and found is not None and torch.equal(found, written):
            return module
    return None


def _embeddings(hf_model: Any, names: dict[int, str], seen: dict[int, Tensor], stream: Tensor) -> dict[str, float]:
    """Embeddings whose sum the first residual stream is, the input's first; none where it is not."""
    given = hf_model.get_input_embeddings()
    others = [m for m in hf_model.modules() if isinstance(m, nn.Embedding) and m is not given and id(m) in seen]
    tables = [given, *others]
    outputs = [seen[id(module)].double() for module in tables]
    if any(output.shape[-1] != stream.shape[-1] for output in outputs):
        return {}
    total = sum(outputs[1:], outputs[0])
    scale = float((total * stream).sum() / (total * total).sum())
    apart = ((scale * total).expand_as(stream) - stream.double()).abs().max()
    if float(apart) > 1e-5 * float(stream.abs().max()):
        return {}
    return {names[id(m)]: scale * getattr(m, "scalar_embed_scale", 1.0) for m in tables}
