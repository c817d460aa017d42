"""Which tokens of an input to read.

Absolute positions count from 0, negative ones from the input's end; windows are half-open.  Spans of text and the
messages of a role are found by the character offsets that a fast tokenizer gives, so a token belongs to a span when it
overlaps it, however the text around it was split.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from workbench.errors import DataError, ModelError, SpecError, check_known
from workbench.models.chats import goes_on, write
from workbench.models.hooked_model import HookedModel
from workbench.models.interventions import Window
from workbench.models.language_model import LanguageModel, Prompt

_NAMES = ("last", "first", "all", "mean")
_TAKES = ("all", "first", "last", "mean")
_MARK = "90817263549081726354"  # digits, since templates change case and trim


@dataclass(frozen=True)
class Span:
    """The tokens that overlap a text: every occurrence of it, or the ``occurrence``-th.

    Occurrences count from 0 (negative: from the last) and do not overlap one another.  Chat messages are searched as
    the chat template writes them.  ``take``: all of its tokens, the ``first`` or ``last`` of each occurrence, or the
    ``mean`` over all of them, one row an input.
    """

    text: str
    occurrence: int | None = None
    take: str = "all"

    def __post_init__(self) -> None:
        if not self.text:
            raise SpecError("Span needs a text of at least one character")
        check_known(self.take, _TAKES, "take")


@dataclass(frozen=True)
class Role:
    """The tokens of a role's messages in a chat: of all of them, or of the ``occurrence``-th.

    Messages count from 0 (negative: from the last).  A message's tokens are those of its content; with ``markup`` also
    what the chat template writes around it (headers, end-of-turn tokens).  ``take`` is that of :class:`Span`, a message
    in place of an occurrence:

    ``Role("user", -1, take="last")`` is the last token of what the user said last, ``Role("assistant", take="mean")``
    the mean over all that the assistant said.
    """

    role: str
    occurrence: int | None = None
    markup: bool = False
    take: str = "all"

    def __post_init__(self) -> None:
        check_known(self.take, _TAKES, "take")


@dataclass(frozen=True)
class GenerationPrompt:
    """The tokens that a chat template writes behind the last message, for the assistant to go on from.

    ``take`` is that of :class:`Span`.  A chat that the assistant is in the middle of has none.
    """

    take: str = "all"

    def __post_init__(self) -> None:
        check_known(self.take, _TAKES, "take")


Positions = str | int | slice | Window | Span | Role | GenerationPrompt | Sequence[int]
_Found = Span | Role | GenerationPrompt  # found by the characters of a text


def check_positions(positions: Positions) -> Positions:
    """The same positions in one form each; :class:`SpecError` when they are none.

    >>> check_positions(-1), check_positions(slice(-3, None))
    ((-1,), Window(start=-3, stop=None))
    """
    if isinstance(positions, Window | _Found):
        return positions
    if isinstance(positions, str):
        check_known(positions, _NAMES, "positions")
        return positions
    if isinstance(positions, slice):
        if positions.step not in (None, 1):
            raise SpecError(f"positions {positions}: a window has no step, give a list of positions instead")
        return Window(positions.start, positions.stop)
    try:
        numbers = tuple(positions) if hasattr(positions, "__iter__") else (positions,)
        indices = tuple(operator.index(number) for number in numbers)
    except TypeError as error:
        raise SpecError(
            f"positions {positions!r}: {', '.join(_NAMES)}, indices, a slice, Span, Role or GenerationPrompt"
        ) from error
    if not indices:
        raise SpecError("the list of positions is empty: name at least one")
    return indices


def is_mean(positions: Positions) -> bool:
    """Whether the positions of an input make one row, their mean."""
    return positions == "mean" or getattr(positions, "take", "") == "mean"


def are_pooled(positions: Positions) -> bool:
    """Whether the positions of an input are taken as many alike, and not asked for one by one."""
    whole = isinstance(positions, Window | _Found) or positions in ("all", "mean")
    return whole and getattr(positions, "take", "all") in ("all", "mean")


def find_positions(positions: Positions, model: HookedModel, prompt: Prompt, tokens: Sequence[int]) -> Sequence[int]:
    """Absolute positions in one input, ascending (indices: in the order given); a mean reads all of them.

    ``positions`` come from :func:`check_positions`; ``tokens`` are those of ``prompt``.  Raises :class:`DataError` when
    the input has no such position.
    """
    match positions:
        case "last":
            return (len(tokens) - 1,)
        case "first":
            return (0,)
        case "all" | "mean":
            return range(len(tokens))
        case Window(start=start, stop=stop):
            found: Sequence[int] = range(*slice(start, stop).indices(len(tokens)))
        case Span() | Role() | GenerationPrompt():
            found = _overlapping(model, prompt, tokens, positions)
        case _:
            return tuple(_index(number, len(tokens)) for number in positions)  # type: ignore[union-attr,arg-type]
    if not found:
        raise DataError(f"{positions} holds no token of {len(tokens)}")
    return found


def _index(number: int, length: int) -> int:
    if not -length <= number < length:
        raise DataError(f"position {number} does not exist: there are {length} tokens")
    return number % length


def _overlapping(reader: HookedModel, prompt: Prompt, tokens: Sequence[int], where: _Found) -> list[int]:
    model = LanguageModel.of(reader)
    text, offsets = _offsets(model, prompt, tokens)
    match where:
        case Span():
            ranges = _occurrences(where, text)
        case Role():
            ranges = _messages(where, model, prompt, text)
        case GenerationPrompt():
            ranges = [_behind_the_messages(model, prompt, text)]
    held = [
        [i for i, (start, stop) in enumerate(offsets) if start < stop and start < high and low < stop]
        for low, high in ranges
    ]
    ends = {"first": slice(None, 1), "last": slice(-1, None)}
    return sorted({i for of_one in held for i in of_one[ends.get(where.take, slice(None))]})


def _offsets(model: LanguageModel, prompt: Prompt, tokens: Sequence[int]) -> tuple[str, list[tuple[int, int]]]:
    """The text of an input and the characters [start, stop) of each of its tokens."""
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{model.name} has no fast tokenizer, so spans of text cannot be found: give positions as indices"
        )
    if isinstance(prompt, str):
        text = prompt
    elif isinstance(prompt[0], dict):
        text = model.written(prompt)
    else:
        text = tokenizer.decode(list(prompt), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    encoded = tokenizer(text, add_special_tokens=isinstance(prompt, str), return_offsets_mapping=True)
    doubled = max(len(encoded["input_ids"]) - len(tokens), 0)  # a BOS that the text had already
    if encoded["input_ids"][doubled:] != list(tokens):
        raise DataError("its tokens cannot be traced back to text: pass the text or the chat messages, or give indices")
    return text, encoded["offset_mapping"][doubled:]


def _occurrences(span: Span, text: str) -> list[tuple[int, int]]:
    found = [match.span() for match in re.finditer(re.escape(span.text), text)]
    if not found:
        raise DataError(f"{span.text!r} does not occur")
    return _chosen(found, span.occurrence, f"occurrences of {span.text!r}")


def _messages(role: Role, model: LanguageModel, prompt: Any, text: str) -> list[tuple[int, int]]:
    """Character ranges of a role's messages in the conversation that the chat template wrote."""
    _check_chat("Role", prompt)
    ranges = _with_markup(model, prompt, text) if role.markup else _contents(model, prompt, text)
    of_role = [span for message, span in zip(prompt, ranges, strict=True) if message["role"] == role.role]
    if not of_role:
        roles = ", ".join(dict.fromkeys(message["role"] for message in prompt))
        raise DataError(f"no message has the role {role.role!r}; the roles are {roles}")
    return _chosen(of_role, role.occurrence, f"messages of the role {role.role!r}")


def _check_chat(what: str, prompt: Any) -> None:
    if isinstance(prompt, str) or not isinstance(prompt[0], dict):
        raise DataError(f"{what} needs chat messages, not text or tokens")


def _behind_the_messages(model: LanguageModel, prompt: Any, text: str) -> tuple[int, int]:
    """Where the template's generation prompt is: what it does not write when it is not asked for it."""
    _check_chat("GenerationPrompt", prompt)
    if goes_on(prompt):
        raise DataError("the assistant has begun its message, so there is no generation prompt")
    said = prompt[:-1] if prompt[-1]["role"] == "assistant" else prompt
    before = _tried(partial(write, model.tokenizer, **model.template), said)
    if not before or not text.startswith(before) or before == text:
        raise DataError("the chat template writes no generation prompt behind the messages: give positions as indices")
    return len(before), len(text)


def _chosen(ranges: list[tuple[int, int]], which: int | None, what: str) -> list[tuple[int, int]]:
    if which is None:
        return ranges
    if not -len(ranges) <= which < len(ranges):
        raise DataError(f"there are {len(ranges)} {what}, not one numbered {which}")
    return [ranges[which]]


def _contents(model: LanguageModel, messages: list[dict[str, str]], text: str) -> Iterator[tuple[int, int]]:
    """Where each message's content is: what changes when another content takes its place.

    Searching for the content itself would find it in headers and in other messages as well, and not at all where the
    template trims or folds it.
    """
    for number, message in enumerate(messages):
        marked = [*messages[:number], {**message, "content": _MARK}, *messages[number + 1 :]]
        before, mark, after = _tried(model.written, marked).partition(_MARK)
        if not mark or not text.startswith(before) or not text.endswith(after):
            raise DataError(f"the chat template does not write the content of message {number} as it is: use Span")
        yield len(before), len(text) - len(after)


def _with_markup(model: LanguageModel, messages: list[dict[str, str]], text: str) -> Iterator[tuple[int, int]]:
    """Where each message is: between what the template writes without it and with it."""
    bos = str(model.tokenizer.bos_token or "")
    # A conversation's first token belongs to nobody, but where (ChatML) it is also what every message begins with.
    ends = [len(bos) if text.startswith(bos) and text.count(bos) == 1 else 0]
    for number in range(1, len(messages) + 1):
        prefix = _tried(partial(write, model.tokenizer, **model.template), messages[:number])
        if number == len(messages) and goes_on(messages):
            prefix = text  # it is left open
        if not prefix or not text.startswith(prefix):
            raise DataError("the chat template does not write message after message: use markup=False")
        ends.append(len(prefix))
    return pairwise(ends)


def _tried(write: Callable[[Any], str], messages: list[dict[str, str]]) -> str:
    """What is written of messages; nothing where the chat template refuses them."""
    try:
        return write(messages)
    except Exception:  # templates raise what they like
        return ""
