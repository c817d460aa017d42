"""From logits to tokens, row by row, with one uniform number a row.

Sampling inverts the cumulative distribution at a number that depends on the row's seed and step only, so a row's token
does not depend on the batch it is in (up to ties within rounding).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import SpecError
from workbench.models import inputs
from workbench.seeding import uniforms


def filter_logits(
    logits: Float[Tensor, "rows vocab"], temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0
) -> Float[Tensor, "rows vocab"]:
    """Logits divided by the temperature, -inf outside the ``top_k`` likeliest and outside the smallest set whose
    probability reaches ``top_p`` (the order and the conventions of Hugging Face's ``generate``)."""
    if temperature == 0:
        raise SpecError("temperature 0 is greedy: it takes the likeliest token and has no probabilities")
    _, temperature, top_p, top_k = inputs.sampling(1, temperature, top_p, top_k)
    logits = logits.float() / temperature
    if 0 < top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -float("inf"))
    if top_p < 1:
        ordered, index = logits.sort(dim=-1)
        drop = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
        drop[:, -1] = False
        logits = logits.masked_fill(drop.scatter(1, index, drop), -float("inf"))
    return logits


def sample(
    logits: Float[Tensor, "rows vocab"],
    seeds: np.ndarray,
    step: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
) -> Int[Tensor, " rows"]:
    """One token a row; ``temperature`` 0 takes the likeliest.  ``seeds`` [rows]."""
    if temperature == 0:
        return logits.argmax(-1)
    cumulative = filter_logits(logits, temperature, top_p, top_k).double().softmax(-1).cumsum(-1)  # [rows vocab]
    draw = torch.from_numpy(uniforms(seeds, step)).to(cumulative.device)[:, None] * cumulative[:, -1:]
    # The first token whose cumulative probability exceeds the draw; tokens of probability zero can never be it.
    return torch.searchsorted(cumulative, draw, right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)
