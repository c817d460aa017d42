"""What callers hand to a model, checked and made plain: prompts, continuations, counts, seeds, stop strings, sampling.

Integers may be Python's, NumPy's or torch's, and a list of them an array or tensor; truth values and fractions are not
integers.  What cannot be used raises :class:`DataError` (:class:`SpecError` for an option) whose one line says which
argument it was, what was passed and what is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from workbench.arguments import NO_LISTS, integer, listed, number, shown, text, to_numpy
from workbench.errors import DataError, SpecError
from workbench.models.interventions import Intervention

T = TypeVar("T")
# A colder one would overflow float32 where logits are divided by it.
_COLDEST = 1e-6
_STOP = "a text or a list of texts"


def items(values: Any, what: str) -> list[Any]:
    """The entries of a non-empty list (tuple, array, tensor, Series) of prompts, inputs or the like.

    >>> items(("a b", "c"), "prompt")
    ['a b', 'c']
    """
    hint, kind = f"; for one {what} write [{what}]", "a non-empty list"
    found = listed(values, f"{what}s", hint, kind)
    if not found:
        raise DataError(f"{what}s must be {kind}{hint}")
    return found


def each(read: Callable[[Any], T], values: Iterable[Any], what: str, first: int = 0) -> list[T]:
    """``read(value)`` of each value; a :class:`DataError` says which one it was, counted from ``first``."""
    found = []
    for at, value in enumerate(values, first):
        try:
            found.append(read(value))
        except (DataError, SpecError) as error:
            raise DataError(f"{what} {at}: {error}") from error
    return found


def chat(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """Chat messages; each must have a ``role`` and a ``content``."""
    for at, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise DataError(f"message {at} is {shown(message)}: write {{'role': 'user', 'content': 'text'}}")
        content = message.get("content")
        if not isinstance(content, str | list):
            raise DataError(f"message {at} ({message['role']}) has no text in its 'content'")
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
                raise DataError(f"message {at} has a part {shown(part)}: write {{'type': 'text', 'text': '...'}}")
            text(part["text"], f"message {at} ({message['role']})")
    return [dict(message) for message in messages]


def token_ids(tokens: Any, vocab_size: int, what: str = "prompt", least: int = 1) -> list[int]:
    """Token ids as plain integers, at least so many, each one of the model's; ``what`` they are, for errors.

    >>> import numpy as np
    >>> token_ids(np.array([3, 1]), 10)
    [3, 1]
    """
    if isinstance(tokens, NO_LISTS) or not isinstance(tokens, Iterable) or getattr(tokens, "ndim", 1) != 1:
        raise DataError(f"a {what} is a text, a list of token ids or (a prompt) of chat messages, not {shown(tokens)}")
    ids = to_numpy(tokens).tolist() if hasattr(tokens, "tolist") else listed(tokens, f"a {what}")
    if set(map(type, ids)) - {int}:
        ids = [integer(token, "a token id") for token in ids]
    if len(ids) < least:
        raise DataError(f"a {what} is empty: it must hold at least one token")
    low, high = min(ids, default=0), max(ids, default=0)
    if low < 0 or high >= vocab_size:
        wrong = low if low < 0 else high
        raise DataError(f"token id {wrong} is none of the model's: they go from 0 to {vocab_size - 1}")
    return ids


def continuations(
    given: Any, n_prompts: int, encode: Callable[[int, str], list[int]], vocab: int
) -> list[list[list[int]]]:
    """Token ids of each continuation, ``[prompt][continuation]``, of a list (possibly empty) a prompt.

    ``encode(prompt, text)``: tokens of a text behind the prompt of that number.
    """

    def row(numbered: tuple[int, Any]) -> list[list[int]]:
        prompt, several = numbered
        own = listed(several, "it", ": give a list for each prompt, such as [[' yes', ' no']]")
        return each(lambda one: read(prompt, one), own, "continuation")

    def read(prompt: int, one: Any) -> list[int]:
        return token_ids(encode(prompt, one) if isinstance(one, str) else one, vocab, "continuation")

    rows = items(given, "continuation")
    if len(rows) != n_prompts:
        raise DataError(f"{len(rows)} lists of continuations for {n_prompts} prompts: give one a prompt")
    return each(row, enumerate(rows), "continuations")


def plain_interventions(given: Any) -> list[Intervention]:
    """The interventions as a list; a single one, or something else, is refused."""
    found = listed(given, "interventions", "; for one intervention write [intervention]")
    for at, one in enumerate(found):
        if not isinstance(one, Intervention):
            raise DataError(f"interventions[{at}] is a {type(one).__name__}: write Add(vector) or another change")
    return found


def counts(n: Any, n_prompts: int) -> list[int]:
    """How many completions each prompt gets, from one number for all or one a prompt (there, 0 is none)."""
    if _is_one(n):
        return [integer(n, "n", least=1)] * n_prompts
    return _one_each(n, n_prompts, "n", least=0)


def seeds(given: Any, n_prompts: int) -> int | list[int]:
    """One seed, or one a prompt."""
    return integer(given, "seeds") if _is_one(given) else _one_each(given, n_prompts, "seeds")


def row_numbers(given: Any, n_prompts: int) -> list[int]:
    """The row of a per-row intervention that each prompt is; None counts from 0."""
    return list(range(n_prompts)) if given is None else _one_each(given, n_prompts, "row_numbers", least=0)


def stops(stop: Any) -> tuple[str, ...]:
    """Stop strings; one string is one of them.

    >>> stops("xyz"), stops(["x", "yz"])
    (('xyz',), ('x', 'yz'))
    """
    several = (stop,) if isinstance(stop, str) else tuple(listed(stop, "stop", kind=_STOP))
    if not all(isinstance(one, str) for one in several):
        raise SpecError(f"stop must be {_STOP}, not {shown(stop)}")
    if not all(several):
        raise SpecError("a stop string is empty: it would end every completion at once")
    return several


def sampling(temperature: Any, top_p: Any, top_k: Any, repetition_penalty: Any) -> tuple[float, float, int, float]:
    """The numbers that say how to sample, in range: temperature 0 is greedy, ``top_k`` 0 cuts nothing off."""
    warmth, share = number(temperature, "temperature", 0), number(top_p, "top_p", 0, 1)
    penalty = number(repetition_penalty, "repetition_penalty", 0)
    if 0 < warmth < _COLDEST:
        raise SpecError(f"temperature {temperature} must be 0 (greedy) or a finite number of at least {_COLDEST}")
    if share == 0:
        raise SpecError(f"top_p {top_p} must be in (0, 1]")
    if penalty == 0:
        raise SpecError("repetition_penalty must be above 0: 1 is none")
    return warmth, share, integer(top_k, "top_k", least=0), penalty


def _is_one(value: Any) -> bool:
    return isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0


def _one_each(values: Any, n_prompts: int, what: str, least: int | None = None) -> list[int]:
    found = [integer(value, f"{what}[{i}]", least) for i, value in enumerate(listed(values, what))]
    if len(found) != n_prompts:
        raise DataError(f"{len(found)} {what} for {n_prompts} prompts: give one integer or one a prompt")
    return found
