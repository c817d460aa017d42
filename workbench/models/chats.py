"""Chat messages as a tokenizer's template writes them, ready for the model's next words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import DataError, ModelError, SpecError, did_you_mean

Message = dict[str, Any]
_OWN_OPTIONS = ("messages", "add_generation_prompt", "continue_final_message", "bos_token", "eos_token")
# How a list of parts looks where a template that knows none writes it out.
_LISTED = ("'type': 'text'", '"type": "text"')


def goes_on(messages: Sequence[Message]) -> bool:
    """Whether the model is to continue the last message: it is the assistant's and has begun."""
    return bool(messages) and messages[-1]["role"] == "assistant" and bool(content_of(messages[-1]).strip())


def with_system(messages: Sequence[Message], system: str) -> list[Message]:
    """The messages behind this system prompt, which takes the place of one of their own.

    >>> [message["role"] for message in with_system([{"role": "user", "content": "a"}], "be brief")]
    ['system', 'user']
    """
    own = list(messages[1:] if messages and messages[0]["role"] == "system" else messages)
    return [{"role": "system", "content": system}, *own]


def check_template_options(tokenizer: Any, options: Mapping[str, Any], name: str) -> None:
    """Raise :class:`SpecError` for an option that the chat template never reads: it would change nothing."""
    if options and not getattr(tokenizer, "chat_template", None):
        raise ModelError(f"{name} has no chat template, so it takes no options of one")
    for option in options:
        words = set(re.findall(r"[A-Za-z_]\w*", tokenizer.get_chat_template()))
        if option not in words or option in _OWN_OPTIONS:
            switches = sorted(word for word in words if re.search("think|reason|effort|enable|date", word))
            raise SpecError(f"{name}'s chat template knows no option {option!r}{did_you_mean(option, switches)}")


def write_chat(tokenizer: Any, messages: Sequence[Message], name: str, options: Mapping[str, Any] | None = None) -> str:
    """The text of a chat up to where the model goes on.

    That is within the last message when it is the assistant's, and otherwise behind the template's generation prompt.
    ``content`` is a text or a list of parts ``{"type": "text", "text": ...}``, whichever the template takes.  Raises
    :class:`ModelError` where there is no template and :class:`DataError` where it refuses the messages; ``name`` is the
    model's, ``options`` are the template's own (``enable_thinking``, say).

    >>> from workbench.models.tiny import tiny_tokenizer
    >>> chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b c"}]
    >>> write_chat(tiny_tokenizer(), chat, "tiny")
    '<bos>a\\nb c'
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(f"{name} has no chat template: pass the prompt as text")
    chat = list(messages)
    if chat[-1]["role"] == "assistant" and not goes_on(chat):
        chat = chat[:-1]  # nothing is said yet: the generation prompt is this message's header
    how = {**(options or {}), "continue_final_message" if goes_on(chat) else "add_generation_prompt": True}
    written: list[str] = []
    refusals: list[Exception] = []
    for form in (chat, _in_text(chat), _in_parts(chat)):
        try:
            written.append(write(tokenizer, form, **how))
        except Exception as error:  # templates raise what they like, for instance where the roles do not alternate
            refusals.append(error)
            continue
        if _holds(written[-1], form):
            return written[-1]
    if not written:
        said = " ".join(str(refusals[0]).split())[:200]
        raise DataError(f"{name}'s chat template takes no such messages: {said}") from refusals[0]
    return written[0]  # a template that changes what it writes


def write(tokenizer: Any, messages: Sequence[Message], **options: Any) -> str:
    """Messages through the template, with whatever it raises."""
    return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))


def content_of(message: Message) -> str:
    """The text of a message, its parts joined."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _in_text(messages: Sequence[Message]) -> list[Message]:
    return [message | {"content": content_of(message)} for message in messages]


def _in_parts(messages: Sequence[Message]) -> list[Message]:
    return [message | {"content": [{"type": "text", "text": content_of(message)}]} for message in messages]


def _holds(written: str, messages: Sequence[Message]) -> bool:
    """Whether contents were written as they are: the longest is there, and no list of parts as a list."""
    texts = [content_of(message) for message in messages]
    listed = any(written.count(key) > sum(text.count(key) for text in texts) for key in _LISTED)
    return max(texts, key=len).strip() in written and not listed
