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
_MARK = "90817263549081726354"  # digits, since templates change case and trim


@dataclass(frozen=True)
class Span:
    """The tokens that overlap a text: every occurrence of it, or the ``occurrence``-th.

    Occurrences count from 0 (negative: from the last) and do not overlap one another.  Chat messages are searched as
    the chat template writes them.
    """

    text: str
    occurrence: int | None = None

    def __post_init__(self) -> None:
        if not self.text:
            raise SpecError("Span needs a text of at least one character")


@dataclass(frozen=True)
class Role:
    """The tokens of a role's messages in a chat: of all of them, or of the ``occurrence``-th.

    Messages count from 0 (negative: from the last).  A message's tokens are those of its content; with ``markup`` also
    what the chat template writes around it (headers, end-of-turn tokens).
    """

    role: str
    occurrence: int | None = None
    markup: bool = False


Positions = str | int | slice | Window | Span | Role | Sequence[int]


def check_positions(positions: Positions) -> Positions:
    """The same positions in one form each; :class:`SpecError` when they are none.

    >>> check_positions(-1), check_positions(slice(-3, None))
    ((-1,), Window(start=-3, stop=None))
    """
    if isinstance(positions, Window | Span | Role):
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
        raise SpecError(f"positions {positions!r}: {', '.join(_NAMES)}, indices, a slice, Span or Role") from error
    if not indices:
        raise SpecError("the list of positions is empty: name at least one")
    return indices


def find_positions(positions: Positions, model: HookedModel, prompt: Prompt, tokens: Sequence[int]) -> Sequence[int]:
    """Absolute positions in one input, ascending (indices: in the order given); ``mean`` reads all of them.

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
        case Span():
            found = _overlapping(model, prompt, tokens, positions)
        case Role():
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


def _overlapping(reader: HookedModel, prompt: Prompt, tokens: Sequence[int], where: Span | Role) -> list[int]:
    model = LanguageModel.of(reader)
    text, offsets = _offsets(model, prompt, tokens)
    ranges = _occurrences(where, text) if isinstance(where, Span) else _messages(where, model, prompt, text)
    return [
        i
        for i, (start, stop) in enumerate(offsets)
        if start < stop and any(start < high and low < stop for low, high in ranges)
    ]


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
    if isinstance(prompt, str) or not isinstance(prompt[0], dict):
        raise DataError("Role needs chat messages, not text or tokens")
    ranges = _with_markup(model, prompt, text) if role.markup else _contents(model, prompt, text)
    of_role = [span for message, span in zip(prompt, ranges, strict=True) if message["role"] == role.role]
    if not of_role:
        roles = ", ".join(dict.fromkeys(message["role"] for message in prompt))
        raise DataError(f"no message has the role {role.role!r}; the roles are {roles}")
    return _chosen(of_role, role.occurrence, f"messages of the role {role.role!r}")


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
    ends = [len(bos) if text.startswith(bos) else 0]  # a conversation's first token belongs to nobody
    for number in range(1, len(messages) + 1):
        prefix = _tried(partial(write, model.tokenizer), messages[:number])
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
