"""From logits to tokens, row by row, with one uniform number a row; and how a model is meant to be sampled.

Sampling inverts the cumulative distribution at a number that depends on the row's seed and step only, so a row's token
does not depend on the batch it is in (up to ties within rounding).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import SpecError, warn
from workbench.models import inputs
from workbench.seeding import uniforms

HowToSample = dict[str, Any]  # the options of ``generate`` that say how tokens are drawn
# The model's own distribution.
PLAIN: HowToSample = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}
# What else a generation config may say of how tokens are drawn, which is not done here.
_NOT_DONE = (
    "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff", "no_repeat_ngram_size", "bad_words_ids",
    "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "exponential_decay_length_penalty", "guidance_scale",
    "num_beams", "penalty_alpha", "min_length", "min_new_tokens",
)  # fmt: skip


def own_sampling(generation_config: Any, name: str) -> HowToSample:
    """How a model's authors have it sampled, by its ``generation_config``; the plain distribution where that is silent.

    ``do_sample: false`` is greedy.  What it says beyond our options is left out, with a note that calls the model
    ``name``.

    >>> from transformers import GenerationConfig
    >>> own_sampling(GenerationConfig(do_sample=True, temperature=0.6, top_p=0.9), "it")
    {'temperature': 0.6, 'top_p': 0.9, 'top_k': 0, 'repetition_penalty': 1.0}
    """
    said = {key: getattr(generation_config, key, None) for key in ("do_sample", *PLAIN, *_NOT_DONE)}
    if left := [f"{key} {said[key]}" for key in _NOT_DONE if said[key] not in (None, False, 0, 1, [], {})]:
        warn(f"{name}: its generation config asks for {', '.join(left)}, which is not done here")
    own = PLAIN | {key: said[key] for key in PLAIN if said[key] is not None}
    return own | {"temperature": 0.0} if said["do_sample"] is False else own


def how_to_sample(own: HowToSample, said: Mapping[str, Any]) -> HowToSample:
    """As is ``said`` where anything is (None: nothing), and else as a model's ``own`` is.

    >>> how_to_sample(PLAIN | {"temperature": 0.6, "top_p": 0.9}, {"temperature": 1.0, "top_p": None})
    {'temperature': 1.0, 'top_p': 1.0, 'top_k': 0, 'repetition_penalty': 1.0}
    """
    given = {key: value for key, value in said.items() if value is not None}
    return PLAIN | given if given else own


def penalised(
    logits: Float[Tensor, "rows vocab"], seen: Sequence[Sequence[int]], penalty: float
) -> Float[Tensor, "rows vocab"]:
    """Logits with those of the tokens ``seen`` in each row made less likely, as Hugging Face's repetition penalty does:
    positive ones divided, negative ones multiplied (arXiv 1909.05858).

    >>> penalised(torch.tensor([[4.0, -1.0, 2.0]]), [[0, 1, 0]], 2.0)
    tensor([[ 2., -2.,  2.]])
    """
    logits = logits.float().clone()
    for row, tokens in zip(logits, seen, strict=True):
        again = torch.tensor(sorted(set(tokens)), device=row.device)
        row[again] = torch.where(row[again] < 0, row[again] * penalty, row[again] / penalty)
    return logits


def filter_logits(
    logits: Float[Tensor, "rows vocab"], temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0
) -> Float[Tensor, "rows vocab"]:
    """Logits divided by the temperature, -inf outside the ``top_k`` likeliest and outside the smallest set whose
    probability reaches ``top_p`` (the order and the conventions of Hugging Face's ``generate``)."""
    if temperature == 0:
        raise SpecError("temperature 0 is greedy: it takes the likeliest token and has no probabilities")
    temperature, top_p, top_k, _ = inputs.sampling(temperature, top_p, top_k, 1.0)
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
