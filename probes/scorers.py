"""What a probe or a direction says of single tokens: over a conversation, and where in a set it says most.

A *scorer* is a fitted probe of two classes or of numbers (from :mod:`probes` or scikit-learn), a
:class:`steering.SteeringVector`, or a plain direction [d]; the last two score by projection on the unit direction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.arguments import integer, to_numpy
from workbench.errors import ArtifactError, DataError, SpecError
from workbench.labels import SINK
from workbench.models.fingerprint import check_stamp
from workbench.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Float

    from workbench.activations import ActivationSet
    from workbench.models.interventions import Intervention
    from workbench.models.language_model import LanguageModel, Prompt

_AROUND = 8  # tokens shown on either side of one that scores high


def scores_of(scorer: Any, activations: Any) -> Float[np.ndarray, " rows"]:
    """One number for each of the ``activations`` [rows, d]: a probe's decision function (or what it predicts, of
    numbers), a vector's or a direction's projection.

    Raises :class:`ArtifactError` for a probe of more than two classes, or one that gives no number a row.

    >>> scores_of(np.array([3.0, 4.0]), np.eye(2)).round(6).tolist()
    [0.6, 0.8]
    """
    if hasattr(scorer, "project"):
        given = activations if isinstance(activations, torch.Tensor) else torch.as_tensor(np.asarray(activations))
        return to_numpy(scorer.project(given)).astype(np.float64)
    rows = np.asarray(to_numpy(activations), dtype=np.float32)
    if hasattr(scorer, "decision_function") or hasattr(scorer, "predict"):
        found = scorer.decision_function(rows) if hasattr(scorer, "decision_function") else scorer.predict(rows)
        values = np.asarray(to_numpy(found))
        if values.ndim != 1 or values.dtype.kind not in "fiu":
            raise ArtifactError("this probe has more than two classes or no score: choose one with two, or of a number")
        return values.astype(np.float64)
    direction = np.asarray(to_numpy(scorer), dtype=np.float64)
    if direction.ndim != 1 or direction.dtype.kind != "f" or len(direction) != rows.shape[1]:
        raise DataError(f"a direction is [{rows.shape[1]}] numbers, not {list(direction.shape)}")
    return np.asarray(rows.astype(np.float64) @ (direction / (np.linalg.norm(direction) or 1.0)))


def token_scores(
    model: LanguageModel,
    scorer: Any,
    prompt: Prompt,
    site: Site | str | int | None = None,
    interventions: Sequence[Intervention] = (),
) -> pd.DataFrame:
    """The score of every token of a chat (or a text), a row a token.

    Args:
        model: the model that is read.
        scorer: see this module.
        prompt: chat messages, a text or token ids; :class:`workbench.figures.token_strip` draws what comes back:
            ``token_strip(table["text"], table["score"], sinks=np.flatnonzero(table["attention_sink"]))``.
        site: where it is read; by default where the probe or vector was made.
        interventions: what is done to the model meanwhile.

    Returns:
        Columns ``position``, ``text`` (the token's), ``role`` and ``message`` (the number) of the message whose content
        it is in, empty and -1 for what the chat template writes around them, ``score``, ``attention_sink``.

    Raises:
        SpecError: where no site is known.
        ArtifactError: for a probe or vector of another model.

    >>> from workbench.models.tiny import tiny_model
    >>> chat = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"}]
    >>> table = token_scores(tiny_model(), np.ones(32), chat, site=1)
    >>> table[["text", "role"]].values.tolist()[1:]
    [['a', 'user'], [' b', 'user'], ['\\n', ''], ['c', 'assistant']]
    """
    from workbench.activations import capture
    from workbench.models.token_probabilities import token_texts

    where = _site(scorer, site, model)
    tokens = model.encode(prompt)
    read = capture(model, [tokens], [where], "all", interventions=interventions)
    roles, numbers = _roles(model, prompt, tokens)
    sinks = read.labels[SINK].to_numpy() if SINK in read.labels else np.zeros(len(tokens), dtype=bool)
    return pd.DataFrame({
        "position": range(len(tokens)), "text": token_texts(model, tokens), "role": roles, "message": numbers,
        "score": scores_of(scorer, read[where].float()), SINK: sinks,
    })  # fmt: skip


def top_examples(
    scorer: Any,
    activations: ActivationSet,
    n: int = 10,
    *,
    site: Site | str | int | None = None,
    inputs: Sequence[Prompt] | None = None,
    model: LanguageModel | None = None,
    lowest: bool = False,
    one_each: bool = True,
) -> pd.DataFrame:
    """The rows of a set that score highest, from the highest down: what a probe or a direction answers to.

    Args:
        scorer: see this module.
        activations: a set, for instance of every token (``capture(..., positions="all")``).
        n: how many rows.
        site: of the set; by default where the probe or vector was made, or the set's only one.
        inputs: what was captured, in order; with ``model`` a row shows its token and the text around it, without it the
            whole input where that is a text.
        model: whose tokens they are.
        lowest: the lowest in their place.
        one_each: at most one row an input.

    Returns:
        Columns ``rank``, ``score``, with ``inputs`` also ``token`` and ``text``, then the set's labels.  Rows that were
        read at attention sinks are left out.

    >>> from workbench.activations import capture
    >>> from workbench.models.tiny import tiny_model
    >>> model, texts = tiny_model(), ["a b", "c d e", "e a"]
    >>> read = capture(model, texts, [1], "all")
    >>> top = top_examples(np.ones(32), read, 2, inputs=texts, model=model)
    >>> list(top), len(top), top["score"].is_monotonic_decreasing
    (['rank', 'score', 'token', 'text', 'input', 'position'], 2, True)
    """
    where = _site(scorer, site, None, activations)
    scores = scores_of(scorer, activations[where].float())
    labels = activations.labels
    table = labels.assign(score=scores)
    if SINK in labels:
        table = table[~labels[SINK].astype(bool)].drop(columns=SINK)
    table = table.sort_values("score", ascending=lowest, kind="stable")
    if one_each and "input" in table:
        table = table.drop_duplicates("input")
    table = table.head(integer(n, "n", least=1)).reset_index(drop=True)
    shown = {"rank": range(1, len(table) + 1), "score": table.pop("score")}
    if inputs is not None:
        shown |= _shown(table, inputs, model)
    return pd.concat([pd.DataFrame(shown), table], axis=1)


def _site(scorer: Any, site: Any, model: Any, activations: Any = None) -> Site:
    """Where to read; also refuses a probe or vector of another model than ``model``, or the set's."""
    own = getattr(scorer, "site_", None) or getattr(scorer, "site", None)
    if site is None and own is None and activations is not None and len(activations.sites) == 1:
        own = activations.sites[0]
    if site is None and own is None:
        raise SpecError("site= is needed: a direction does not say where it is read")
    names = ("fingerprint", "basis", "precision")
    stamp = {name: getattr(scorer, f"{name}_", getattr(scorer, name, None)) for name in names}
    read = model if model is not None else getattr(activations, "manifest", activations)
    if stamp["fingerprint"] is not None and read.fingerprint is not None:
        check_stamp("this probe or vector", stamp, read)
    n_layers = None if model is None else model.n_layers
    return Site.parse(site if site is not None else own).resolve(n_layers)  # type: ignore[arg-type]  # one is there


def _roles(model: LanguageModel, prompt: Prompt, tokens: Sequence[int]) -> tuple[list[str], list[int]]:
    """Role and number of the message that each token is in."""
    from workbench.activations.positions import Role, find_positions
    from workbench.models.chats import content_of

    roles, numbers, seen = [""] * len(tokens), [-1] * len(tokens), Counter[str]()
    if isinstance(prompt, str) or not isinstance(prompt[0], dict):
        return roles, numbers
    for number, message in enumerate(prompt):
        role, which = message["role"], seen[message["role"]]
        seen[role] += 1
        if content_of(message).strip():
            for place in find_positions(Role(role, which), model, prompt, tokens):
                roles[place], numbers[place] = role, number
    return roles, numbers


def _shown(table: pd.DataFrame, inputs: Sequence[Prompt], model: LanguageModel | None) -> dict[str, list[str]]:
    from workbench.models.token_probabilities import token_texts

    numbers = table["input"].tolist()
    if numbers and max(numbers) >= len(inputs):
        raise DataError(f"the set was read from input {max(numbers)}, and {len(inputs)} inputs are given")
    if model is None:
        return {"text": [shown if isinstance(shown := inputs[number], str) else "" for number in numbers]}
    tokens, texts = [], []
    for number, position in zip(numbers, table["position"], strict=True):
        pieces = token_texts(model, model.encode(inputs[number]))
        here = slice(0, None) if position < 0 else slice(max(0, position - _AROUND), position + _AROUND + 1)
        tokens.append("" if position < 0 else pieces[position])
        texts.append("".join(pieces[here]))
    return {"token": tokens, "text": texts}
