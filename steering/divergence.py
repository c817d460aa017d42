"""What steering breaks: how far it moves a model's predictions on text that it should leave alone, and what that costs.

Two measures, a mean over the tokens of each text.  ``kl``: KL(unsteered || steered) of the next-token distributions, in
nats.  ``nll``: by how much the negative log-likelihood of the text itself rises, in nats; below 0 where steering makes
it likelier.  The text counts as generated, behind its first words, so the default scope acts as it does in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steering.batching import side_by_side
from steering.conditions import Condition
from steering.neutral import NEUTRAL_TEXTS
from workbench.arguments import integer
from workbench.errors import DataError
from workbench.models.interventions import Intervention, Where, Wrapped

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from workbench.models.language_model import LanguageModel

HEAD = 3  # words of a text that stand before what is measured
_MOST = 1 << 26  # logits at once (a quarter of a GiB in float32)


@dataclass(frozen=True, eq=False)
class _Behind(Wrapped):
    """An intervention in a pass over whole texts, of which the first ``heads[row]`` tokens are the prompt."""

    heads: Int[Tensor, " rows"]

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        heads = self.heads.to(where.rows.device)[where.rows]
        return super().__call__(activation, replace(where, prompt_lengths=heads))


@dataclass(frozen=True)
class _Text:
    """Tokens of a text's head (under one condition) and of the rest."""

    head: list[int]
    rest: list[int]


def damage(
    model: LanguageModel, conditions: Sequence[Condition], texts: Sequence[str] = NEUTRAL_TEXTS, head: int = HEAD
) -> pd.DataFrame:
    """Both measures of each condition on each text: its columns, then ``item`` (number of the text), ``kl``, ``nll``.

    Args:
        model: what is steered.
        conditions: what is compared with the unsteered model; their fronts stand before the text.
        texts: of more than ``head`` words each.
        head: words of each text that are prompt.

    Raises:
        DataError: for a text that is too short.

    >>> from workbench.models.tiny import tiny_model
    >>> from steering import Add
    >>> model = tiny_model()
    >>> ways = [Condition("unsteered"), Condition("vector", (Add(torch.ones(32), dose=1.0, site=1),))]
    >>> found = damage(model, ways, ["a b c d e f"])
    >>> found["method"].tolist(), found["kl"].gt(1e-4).tolist()
    (['unsteered', 'vector'], [False, True])
    """
    integer(head, "head", least=1)
    rests = [_split(model, text, head) for text in texts]
    plain = [_Text(model.encode(start), rest) for start, rest in rests]
    base = [_logprobs(logits, text) for logits, text in zip(_passes(model, plain, [()]), plain, strict=True)]
    kls, nlls = np.zeros((len(conditions), len(texts))), np.zeros((len(conditions), len(texts)))
    for item, ((start, rest), own) in enumerate(zip(rests, base, strict=True)):
        rows = [_Text(model.encode(each.prompt(start)), rest) for each in conditions]
        chosen = torch.tensor(rest, device=own.device)[:, None]
        for place, logits in enumerate(_passes(model, rows, [each.interventions for each in conditions])):
            steered = _logprobs(logits, rows[place])
            kls[place, item] = float((own.exp() * (own - steered)).sum(-1).mean())
            nlls[place, item] = float((own - steered).gather(1, chosen).mean())
    frames = [
        pd.DataFrame({**each.row, "item": range(len(texts)), "kl": np.maximum(kls[k], 0.0), "nll": nlls[k]})
        for k, each in enumerate(conditions)
    ]
    return pd.concat(frames, ignore_index=True)


def _split(model: LanguageModel, text: str, head: int) -> tuple[str, list[int]]:
    """The first words of a text, and the tokens of the rest behind them."""
    start = " ".join(text.split(" ")[:head])
    rest = model.encode_continuation(text[len(start) :], after=start)
    if not rest:
        raise DataError(f"a text to measure damage on needs more than its first {head} words: {text!r}")
    return start, rest


def _logprobs(logits: Float[Tensor, "pos vocab"], text: _Text) -> Float[Tensor, "rest vocab"]:
    """Of the distributions that the tokens of the rest were drawn from."""
    first = len(text.head) - 1
    return logits[first : first + len(text.rest)].float().log_softmax(-1)


def _passes(
    model: LanguageModel, rows: Sequence[_Text], sets: Sequence[Sequence[Intervention]]
) -> Iterator[Float[Tensor, "pos vocab"]]:
    """Logits of each row, steered by its set (or all by the one), in batches that bound the memory of logits."""
    sets = [*sets] * len(rows) if len(sets) == 1 else sets
    widest = max(len(row.head) + len(row.rest) for row in rows)
    vocabulary = int(model.backend.hf_model.get_input_embeddings().weight.shape[0])
    most = max(1, _MOST // (widest * vocabulary))
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        steered: list[Intervention] = []
        if any(own := sets[start : start + most]):
            heads = torch.tensor([len(row.head) for row in part])
            steered = [_Behind(each, heads) for each in side_by_side(own, model)]
        logits = model.forward([row.head + row.rest[:-1] for row in part], interventions=steered, logits=True).logits
        assert logits is not None
        yield from logits
