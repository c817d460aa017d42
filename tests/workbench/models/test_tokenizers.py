from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from workbench.models.tokenizers import pretokenize, word_tokenizer

_TOKENIZER = word_tokenizer(["Button 2 paid 97 points.", "Thought: I am unsure.\nAction: Button 1"])
_ascii = st.text(alphabet=[chr(c) for c in range(32, 127)] + ["\n"])


@given(_ascii)
def test_any_ascii_text_survives_a_round_trip(text: str) -> None:
    tokens = _TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert _TOKENIZER.decode(tokens) == text and _TOKENIZER.unk_token_id not in tokens


@given(_ascii)
def test_pieces_put_together_are_the_text(text: str) -> None:
    assert "".join(pretokenize(text)) == text


@given(st.lists(st.sampled_from(["Button", " Button"[1:], " paid", " points", " unsure", ".", "\n", " 7", " 160"])))
def test_known_words_and_integers_are_single_tokens(words: list[str]) -> None:
    for word in words:
        assert len(_TOKENIZER(word, add_special_tokens=False)["input_ids"]) == 1


def test_tokens_of_a_prefix_are_a_prefix_of_the_tokens() -> None:
    """At the borders of words; what a cache across turns lives on."""
    text = "Thought: I am unsure.\nAction: Button 1"
    whole = _TOKENIZER(text)["input_ids"]
    for end in [i for i, character in enumerate(text) if character in " \n"]:
        part = _TOKENIZER(text[:end])["input_ids"]
        assert whole[: len(part)] == part


def test_unknown_words_fall_back_to_characters() -> None:
    word = "Zq" + string.ascii_lowercase
    assert _TOKENIZER.tokenize(word) == list(word)
