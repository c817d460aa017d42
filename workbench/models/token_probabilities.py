"""What a model thought of a text, token by token: probability, rank, surprise and what it would rather have said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from workbench.arguments import integer
from workbench.models.continuations import as_generated
from workbench.models.interventions import Intervention

if TYPE_CHECKING:
    from jaxtyping import Float

    from workbench.models.language_model import LanguageModel, Prompt


def token_probabilities(
    model: LanguageModel,
    prompt: Prompt,
    completion: Sequence[int] = (),
    interventions: Sequence[Intervention] = (),
    top: int = 5,
) -> pd.DataFrame:
    """One row a token of ``prompt`` and ``completion``, and a last one for the token that would come next.

    Columns: ``position``, ``token`` (id; -1 in the last row), ``text``, ``part`` (``prompt``, ``completion`` or
    ``next``), ``logprob`` (nats; NaN for the first token, which nothing predicts, and the last row), ``rank`` (1: the
    likeliest; 0 where there is none), ``entropy`` (nats) of the distribution at this place, and its ``top`` likeliest
    tokens: lists ``top_texts`` and ``top_probabilities`` (empty for the first token).

    Interventions act as they do in ``generate``: the completion's tokens are generated ones to their scopes.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> table = token_probabilities(model, "a b", model.encode_continuation(" c", after="a b"), top=2)
    >>> table[["position", "text", "part"]].values.tolist()[1:]
    [[1, 'a', 'prompt'], [2, ' b', 'prompt'], [3, ' c', 'completion'], [4, '', 'next']]
    """
    head = model.encode(prompt)
    tokens = [*head, *completion]
    logits = model.forward([tokens], interventions=as_generated(interventions, len(head)), logits=True).logits
    assert logits is not None
    logprobs = logits[0].float().log_softmax(-1)  # [pos vocab]
    following = torch.tensor(tokens[1:], device=logprobs.device)[:, None]  # [pos - 1, 1]
    own = logprobs[:-1].gather(1, following)
    texts, likeliest = top_tokens(model, logprobs, top)
    nan = float("nan")
    return pd.DataFrame({
        "position": range(len(tokens) + 1),
        "token": [*tokens, -1],
        "text": [*token_texts(model, tokens), ""],
        "part": ["prompt"] * len(head) + ["completion"] * len(completion) + ["next"],
        "logprob": [nan, *own[:, 0].tolist(), nan],
        "rank": [0, *(1 + (logprobs[:-1] > own).sum(1)).tolist(), 0],
        "entropy": [nan, *(-(logprobs.exp() * logprobs.clamp(min=-1e4)).sum(1)).tolist()],
        "top_texts": [[], *texts],
        "top_probabilities": [[], *likeliest],
    })  # fmt: skip


def top_tokens(
    model: LanguageModel, logprobs: Float[Tensor, "rows vocab"], top: int
) -> tuple[list[list[str]], list[list[float]]]:
    """Texts and probabilities of the ``top`` likeliest tokens of each row."""
    values, index = logprobs.topk(min(integer(top, "top", least=1), logprobs.shape[-1]), dim=-1)
    return [token_texts(model, row) for row in index.tolist()], values.exp().tolist()


def token_texts(model: LanguageModel, tokens: Sequence[int]) -> list[str]:
    """Each token as text by itself, the space before a word kept; special tokens by their names."""
    pieces = model.tokenizer.convert_ids_to_tokens(list(tokens))
    return [_text(model, token, piece) for token, piece in zip(tokens, pieces, strict=True)]


def _text(model: LanguageModel, token: int, piece: str | None) -> str:
    if piece is None:  # rows of the unembedding that are no token
        return f"<{token}>"
    if piece.startswith("\u2581"):  # SentencePiece marks the space before a word, and its decoder drops it
        return piece.replace("\u2581", " ")
    return str(model.tokenizer.decode([token])) or piece
