"""The logit lens: what the model would predict if it stopped at a layer.

The residual stream of every layer goes through the final norm and the unembedding (nostalgebraist 2020).  Read at the
last layer the lens is the model itself, which is checked each time: a model whose norm or unembedding is not what it
seems raises instead of showing something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from workbench.errors import ModelError, SiteError
from workbench.labels import SINK
from workbench.models.continuations import as_generated
from workbench.models.interventions import Intervention
from workbench.models.sinks import sinks_in
from workbench.models.token_probabilities import token_texts, top_tokens
from workbench.models.unembedding import unembed
from workbench.sites import Site, parse_sites

if TYPE_CHECKING:
    from jaxtyping import Float

    from workbench.models.language_model import LanguageModel, Prompt

_RESIDUAL = ("resid_pre", "resid_mid", "resid_post")
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the largest logit; half precision rounds more
_HALF = 5e-2


def logit_lens(
    model: LanguageModel,
    prompt: Prompt,
    completion: Sequence[int] = (),
    interventions: Sequence[Intervention] = (),
    sites: Iterable[Site | str | int] | None = None,
    top: int = 5,
) -> pd.DataFrame:
    """Predictions read off the residual stream: one row a site and position.

    Args:
        model: the model to read.
        prompt: a text, a chat or token ids.
        completion: tokens that the model wrote after it.
        interventions: what acted meanwhile, on the completion as on generated tokens.
        sites: points of the residual stream; by default the output of every block.
        top: how many of the likeliest tokens are listed.

    Returns:
        Columns ``site``, ``layer``, ``position``, ``text`` (the token that is read there), ``attention_sink`` (whether
        it is one), ``predicted`` and
        ``probability`` (the likeliest next token), ``entropy`` (nats), ``kl`` (nats, from the model's own prediction at
        this position to the lens'), ``next_probability`` (of the token that follows; NaN at the last), and lists
        ``top_texts``, ``top_probabilities``.

    Raises:
        ModelError: for a model that cannot be read so.

    >>> from workbench.models.tiny import tiny_model
    >>> table = logit_lens(tiny_model(), "a b c", sites=[0, 3])
    >>> len(table), table["layer"].unique().tolist(), bool(table["kl"].iloc[-1] < 1e-6)
    (8, [0, 3], True)
    """
    chosen = parse_sites(range(model.n_layers) if sites is None else sites, model.n_layers)
    for site in chosen:
        if site.component not in _RESIDUAL:
            raise SiteError(f"{site} is not a point of the residual stream ({', '.join(_RESIDUAL)})")
    head = model.encode(prompt)
    tokens, last = [*head, *completion], Site(model.n_layers - 1)
    given = as_generated(interventions, len(head))
    forward = model.forward([tokens], [*chosen, last], given, logits=True)
    assert forward.logits is not None
    _check(model, unembed(model, forward.activations[last][0]), forward.logits[0])
    final = forward.logits[0].float().log_softmax(-1)  # [pos vocab]
    texts, sinks = token_texts(model, tokens), sinks_in(model, [tokens], given)[0]
    rows = [_rows(model, site, forward.activations[site][0], final, tokens, texts, top) for site in chosen]
    table = pd.concat(rows, ignore_index=True)
    table.insert(4, SINK, table["position"].isin(sinks))
    return table


def _check(model: LanguageModel, lens: Float[Tensor, "pos vocab"], logits: Float[Tensor, "pos vocab"]) -> None:
    limit = _TOLERANCE.get(model.dtype, _HALF) * max(1.0, float(logits.float().abs().max()))
    if float((lens.to(logits.device).float() - logits.float()).abs().max()) > limit:
        raise ModelError(
            f"{model.name}: its last layer, normed and unembedded, is not its output, so the logit lens does not fit"
        )


def _rows(
    model: LanguageModel, site: Site, residual: Float[Tensor, "pos d"], final: Float[Tensor, "pos vocab"],
    tokens: list[int], texts: list[str], top: int,
) -> pd.DataFrame:  # fmt: skip
    logprobs = unembed(model, residual).float().log_softmax(-1).to(final.device)  # [pos vocab]
    following = torch.tensor(tokens[1:], device=final.device)[:, None]
    after = logprobs[:-1].gather(1, following)[:, 0].exp().tolist()
    kl = (final.exp() * (final - logprobs).nan_to_num()).sum(1).clamp(min=0)
    names, likeliest = top_tokens(model, logprobs, top)
    columns: dict[str, Any] = {
        "site": str(site), "layer": site.layer, "position": range(len(tokens)), "text": texts,
        "predicted": [row[0] for row in names], "probability": [row[0] for row in likeliest],
        "entropy": (-(logprobs.exp() * logprobs.clamp(min=-1e4)).sum(1)).tolist(), "kl": kl.tolist(),
        "next_probability": [*after, float("nan")], "top_texts": names, "top_probabilities": likeliest,
    }  # fmt: skip
    return pd.DataFrame(columns)
