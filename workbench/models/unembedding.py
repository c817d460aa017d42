"""From the residual stream to logits: the final norm and the unembedding of a Hugging Face model.

With it any point of the residual stream can be read as a prediction (the logit lens).  The norm is found by its usual
names beside the list of blocks; what some models do to their logits afterwards (a soft cap, a scale) is done too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.models.offload import place_of

if TYPE_CHECKING:
    from jaxtyping import Float

    from workbench.models.language_model import LanguageModel

_FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f", "final_norm")


def unembed(model: LanguageModel, residual: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows vocab"]:
    """Logits of residual-stream activations, as if they were the output of the last block.

    Raises :class:`ModelError` for a model whose final norm or unembedding is not found.

    >>> import torch
    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> forward = model.forward(["a b c"], sites=[model.n_layers - 1], logits=True)
    >>> last = next(iter(forward.activations.values()))
    >>> bool(torch.allclose(unembed(model, last), forward.logits, atol=1e-5))
    True
    """
    hf_model = model.backend.hf_model
    norm, head = _final_norm(hf_model, model.n_layers), hf_model.get_output_embeddings()
    if norm is None or head is None:
        raise ModelError(f"{model.name} ({type(hf_model).__name__}): no final norm and unembedding were found")
    dtype, place = head.weight.dtype, place_of(head, head.weight)
    with torch.no_grad():
        normed = norm(residual.to(_device(norm, place), dtype))
        return _after_head(head(normed.to(place, dtype)), model.config)


def _final_norm(hf_model: Any, n_layers: int) -> nn.Module | None:
    """The norm behind the last block: a module beside the list of blocks."""
    for module in hf_model.base_model.modules():
        if any(isinstance(child, nn.ModuleList) and len(child) == n_layers for child in module.children()):
            found = (getattr(module, name, None) for name in _FINAL_NORMS)
            return next((norm for norm in found if norm is not None), None)
    return None


def _device(norm: nn.Module, otherwise: Any) -> Any:
    return next((place_of(norm, weight) for weight in norm.parameters()), otherwise)


def _after_head(logits: Tensor, config: Any) -> Tensor:
    """What Gemma (soft cap), Granite (divisor) and Cohere (factor) do to their logits."""
    logits = logits / (getattr(config, "logits_scaling", None) or 1) * (getattr(config, "logit_scale", None) or 1)
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if not cap else (logits / cap).tanh() * cap
