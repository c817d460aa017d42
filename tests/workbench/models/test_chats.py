"""Chats as templates write them: where the model goes on, what contents may be, and what a template refuses."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.activations import Role, capture
from workbench.activations.positions import find_positions
from workbench.errors import DataError
from workbench.models.chats import write_chat
from workbench.models.language_model import LanguageModel
from workbench.models.tiny import tiny_model, tiny_tokenizer

USER = {"role": "user", "content": "is it so?"}
SAID = {"role": "assistant", "content": "yes it is"}
_START = "{% for message in messages %}<|{{ message['role'] }}|>\n"
_END = "<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
PLAIN = _START + "{{ message['content'] }}" + _END
TRIMMED = _START + "{{ message['content'] | trim }}" + _END
ADDED = _START + "{{ message['content'] + '' }}" + _END
PARTS = _START + "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}" + _END
EITHER = (
    _START + "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}" + _END
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role\nnot supported') }}{% endif %}" + PLAIN
)
ALTERNATE = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}{% endfor %}" + PLAIN
)


def _written(template: str, *messages: dict[str, Any]) -> str:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return write_chat(tokenizer, messages, "tiny")


def _parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


@pytest.mark.parametrize("template", [PLAIN, TRIMMED, ADDED, PARTS, EITHER])
def test_a_chat_that_ends_with_the_assistant_goes_on_within_its_message(template: str) -> None:
    begun = "<|user|>\nis it so?<|end|>\n<|assistant|>\n"
    assert _written(template, USER) == begun
    assert _written(template, USER, SAID) == begun + "yes it is"
    assert _written(template, USER, SAID, USER).endswith("yes it is<|end|>\n" + begun)


@pytest.mark.parametrize("said", ["i", "a", "s", "end", "assistant"])
def test_a_message_that_the_markup_holds_too_is_left_open_at_its_own_end(said: str) -> None:
    assert _written(PLAIN, USER, SAID | {"content": said}).endswith(f"<|assistant|>\n{said}")


def test_the_space_at_the_end_of_an_open_message_stays_where_the_template_keeps_it() -> None:
    open_message = SAID | {"content": "it is "}
    assert _written(PLAIN, USER, open_message).endswith("\nit is ")
    assert _written(TRIMMED, USER, open_message).endswith("\nit is")


@pytest.mark.parametrize("nothing", ["", "  ", []])
@pytest.mark.parametrize("template", [PLAIN, TRIMMED, PARTS])
def test_an_assistant_that_has_said_nothing_yet_is_the_generation_prompt(template: str, nothing: Any) -> None:
    assert _written(template, USER, SAID | {"content": nothing}) == _written(template, USER)


@pytest.mark.parametrize("template", [PLAIN, TRIMMED, ADDED, PARTS, EITHER])
@pytest.mark.parametrize("said", [(), (SAID,), (SAID, USER)])
def test_lists_of_parts_are_written_as_their_text(template: str, said: tuple[Any, ...]) -> None:
    chat = [USER, *said]
    split = [message | {"content": _parts(message["content"][:3], message["content"][3:])} for message in chat]
    assert _written(template, *split) == _written(EITHER, *chat)


def test_a_text_that_looks_like_a_list_of_parts_is_a_text() -> None:
    odd = USER | {"content": "{'type': 'text', 'text': 'a'}"}
    assert _written(PLAIN, odd) == _written(EITHER, odd | {"content": _parts(odd["content"])})
    assert odd["content"] in _written(PLAIN, odd)


def test_a_template_that_changes_what_it_writes_is_taken_as_it_is() -> None:
    assert "IS IT SO?" in _written(PLAIN.replace("message['content']", "message['content'] | upper"), USER)


@pytest.mark.parametrize(
    ("template", "messages", "said"),
    [
        (NO_SYSTEM, [{"role": "system", "content": "be"}, USER], "System role not supported"),
        (ALTERNATE, [USER, USER], "roles must alternate user/assistant"),
        (ALTERNATE, [SAID, USER], "roles must alternate user/assistant"),
        ("{{ messages[0]['name'].upper() }}", [USER], "has no attribute"),
        ("{{ messages[7]['content'] + 'a' }}", [USER], ""),
        ("{% if %}", [USER], ""),
        (PLAIN, [SAID | {"content": ""}], ""),
    ],
)
def test_what_a_template_refuses_is_one_line_with_its_words(template: str, messages: Any, said: str) -> None:
    with pytest.raises(DataError, match=f"^tiny's chat template takes no such messages: .*{said}") as caught:
        _written(template, *messages)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("part", [{"type": "image", "url": "x"}, "text", {"type": "text"}, {"text": 5}, None])
def test_parts_that_are_no_text_are_refused(model: LanguageModel, part: Any) -> None:
    with pytest.raises(DataError, match=r"message 0 has a part .*write {'type': 'text', 'text': '...'}"):
        model.encode([USER | {"content": [part]}])


# ---- on a model


@pytest.fixture(scope="module")
def chatty() -> LanguageModel:
    model = tiny_model()
    model.tokenizer.chat_template = PLAIN
    return model


def test_last_is_the_last_token_that_the_assistant_has_said(chatty: LanguageModel) -> None:
    chats = [[USER, SAID | {"content": text}] for text in ("a b", "a c")]
    assert [chatty.decode(chatty.encode(chat)[-1:]) for chat in chats] == [" b", " c"]
    yes, no = capture(chatty, chats, [0], "last")[0]
    assert not yes.equal(no)


def test_positions_find_the_message_that_is_left_open(chatty: LanguageModel) -> None:
    chat = [USER, SAID | {"content": "a b"}]
    tokens = chatty.encode(chat)
    for markup, text in ((False, "a b"), (True, "<|assistant|>\na b")):
        found = find_positions(Role("assistant", markup=markup), chatty, chat, tokens)
        assert chatty.decode([tokens[i] for i in found]) == text
    assert len(capture(chatty, [chat], [0], Role("assistant"))[0]) == 2
