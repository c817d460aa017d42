"""The tokenizer of a GGUF file reads texts as the libraries do that its vocabulary comes from."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, GPT2Tokenizer

from tests.workbench.models.gguf_texts import texts
from tests.workbench.models.gguf_writing import tiny_vocabulary
from workbench.errors import ModelError, WorkbenchWarning
from workbench.models.gguf_file import GGUFFile
from workbench.models.gguf_tokenizer import end_tokens, tokenizer_from_gguf
from workbench.models.pre_tokenizers import PRE_TOKENIZERS


def _file(vocabulary: dict[str, Any], **more: Any) -> GGUFFile:
    facts = {f"tokenizer.{key}": value for key, value in vocabulary.items()}
    more = {key.replace("__", "."): value for key, value in more.items()}
    metadata = {"general.architecture": "llama", "llama.context_length": 99, **facts, **more}
    return GGUFFile(Path("m.gguf"), {key: value for key, value in metadata.items() if value is not None}, {})


def _bytes(pre: str | None, **more: Any) -> Any:
    return tokenizer_from_gguf(_file({**tiny_vocabulary(288), "ggml.pre": pre}, **more))


# ---- byte-level pairs


def test_the_pre_tokenizer_gpt_2_is_that_of_hugging_face_s_gpt2() -> None:
    vocabulary = tiny_vocabulary(288)
    vocab = {token: i for i, token in enumerate(vocabulary["ggml.tokens"])}
    plain = GPT2Tokenizer(vocab=vocab, merges=[tuple(pair.split(" ")) for pair in vocabulary["ggml.merges"]])
    ours = _bytes("gpt-2", tokenizer__ggml__add_bos_token=False)
    without = [text for text in texts(99) if "<" not in text]  # its special tokens are its own
    assert [ours(text)["input_ids"] for text in without] == [plain(text)["input_ids"] for text in without]


# What each cuts "It's 1234 x\n\n  y = 5": the pieces inside which pairs are merged.
_PIECES = {
    "gpt-2": ["It", "'s", " 1234", " x", "\n\n ", " y", " =", " 5"],
    "smollm": ["It", "'s", " ", "1", "2", "3", "4", " x", "\n\n ", " y", " =", " ", "5"],
    "llama-bpe": ["It", "'s", " ", "123", "4", " x", "\n\n", " ", " y", " =", " ", "5"],
    "qwen2": ["It", "'s", " ", "1", "2", "3", "4", " x", "\n\n", " ", " y", " =", " ", "5"],
    "tekken": ["It", "'s", " ", "1", "2", "3", "4", " x", "\n\n", " ", " y", " =", " ", "5"],
    "gpt-4o": ["It's", " ", "123", "4", " x", "\n\n", " ", " y", " =", " ", "5"],
    "falcon": ["It", "'", "s", " ", "123", "4", " x", "\n\n ", " y", " ", "=", " 5"],
    "default": ["It", "'", "s", " ", "123", "4", " x", "\n\n ", " y", " ", "=", " ", "5"],
}


@pytest.mark.parametrize("pre", _PIECES)
def test_a_named_pre_tokenizer_cuts_text_as_llama_cpp_does(pre: str) -> None:
    cuts = _bytes(pre).backend_tokenizer.pre_tokenizer.pre_tokenize_str("It's 1234 x\n\n  y = 5")
    pieces = [piece.replace("\u0120", " ").replace("\u010a", "\n") for piece, _ in cuts]
    assert pieces == _PIECES[pre]


def test_every_known_pre_tokenizer_gives_any_text_back() -> None:
    for pre in PRE_TOKENIZERS:
        tokenizer = _bytes(pre)
        for text in texts(20):
            assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text, pre


@pytest.mark.parametrize("pre", [None, "of-tomorrow"])
def test_an_unknown_pre_tokenizer_is_said_and_the_default_stands_in(pre: str | None) -> None:
    with pytest.warns(WorkbenchWarning, match=r"no pre-tokenizer|'of-tomorrow', which is not known"):
        odd = _bytes(pre)
    assert [odd(text)["input_ids"] for text in texts(20)] == [
        _bytes("default")(text)["input_ids"] for text in texts(20)
    ]


def test_a_piece_that_is_a_token_is_not_merged_where_the_model_says_so() -> None:
    """Llama 3's tokens are not all reached by its merges."""
    vocabulary = {**tiny_vocabulary(288)}
    vocabulary["ggml.tokens"] = [*vocabulary["ggml.tokens"][:-1], "xyz"]
    vocabulary["ggml.token_type"] = [*vocabulary["ggml.token_type"][:-1], 1]
    for pre, whole in (("llama-bpe", True), ("gpt-2", False)):
        tokenizer = tokenizer_from_gguf(_file({**vocabulary, "ggml.pre": pre}))
        assert (tokenizer.tokenize("xyz") == ["xyz"]) is whole


# ---- SentencePiece

_TEXT = (
    "The quick brown fox jumps over the lazy dog. It's 12 o'clock and 345 more; the the then there this that.\n"
    "def f(a):\n    return a  # the thing\nsome somewhat somewhere nothing  everything\n"
)


def _sentencepiece(prefix: bool) -> tuple[Any, dict[str, Any]]:
    """A trained SentencePiece model, and what llama.cpp's converter writes of it."""
    sentencepiece = pytest.importorskip("sentencepiece")
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXT.splitlines() * 4), model_writer=made, vocab_size=340, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=prefix, character_coverage=1.0, minloglevel=2, allow_whitespace_only_pieces=True,
        max_sentence_length=999, user_defined_symbols=["<turn>"],
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    ids = range(model.vocab_size())
    kinds = [2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else 1 for i in ids]
    tokens = [model.id_to_piece(i) for i in ids]
    kinds[tokens.index("<turn>")] = 4
    facts = {
        "ggml.model": "llama", "ggml.pre": "default", "ggml.tokens": tokens, "ggml.token_type": kinds,
        "ggml.scores": [model.get_score(i) for i in ids], "ggml.add_space_prefix": prefix,
        "ggml.bos_token_id": 1, "ggml.eos_token_id": 2, "ggml.unknown_token_id": 0,
    }  # fmt: skip
    return model, facts


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_s_own_tokens_come_out(prefix: bool) -> None:
    """With a space in front, as Llama 2's, and without, as Gemma's."""
    model, facts = _sentencepiece(prefix)
    ours = tokenizer_from_gguf(_file(facts))
    plain = [text for text in texts(120) if "<" not in text and text] + _TEXT.splitlines() + ["  two", "the  the"]
    for text in plain:
        found = ours(text)["input_ids"]
        assert found == [1, *model.encode(text)], text  # SentencePiece's files begin texts with a BOS unless they say
        assert ours.decode(found, skip_special_tokens=True) == text


def test_each_stretch_between_special_tokens_begins_with_its_own_space() -> None:
    """As in llama.cpp, whatever the stretch begins with itself."""
    model, facts = _sentencepiece(True)
    ours, end = tokenizer_from_gguf(_file(facts)), model.piece_to_id("<turn>")
    assert ours("the<turn> the</s>the")["input_ids"] == [
        1, *model.encode("the"), end, *model.encode(" the"), 2, *model.encode("the")
    ]  # fmt: skip


# ---- BOS, ends, templates


@pytest.mark.parametrize(
    ("pre", "says", "adds"),
    [("gpt-2", None, False), ("llama-bpe", None, True), ("gpt-2", True, True), ("tekken", False, False)],
)
def test_a_bos_is_added_where_the_file_says_so_or_its_kind_does(
    tmp_path: Path, pre: str, says: bool | None, adds: bool
) -> None:
    made = _bytes(pre, tokenizer__ggml__add_bos_token=says)
    made.save_pretrained(tmp_path)
    for tokenizer in (made, AutoTokenizer.from_pretrained(tmp_path)):
        assert (tokenizer("the")["input_ids"][0] == 1) is adds and len(tokenizer("the")["input_ids"]) == 1 + adds


def test_an_eos_is_added_where_the_file_says_so() -> None:
    assert _bytes("gpt-2", tokenizer__ggml__add_eos_token=True)("the")["input_ids"][-1] == 2


def test_completions_end_at_the_file_s_end_tokens_and_at_those_known_by_name() -> None:
    vocabulary = tiny_vocabulary(288)
    tokens = [*vocabulary["ggml.tokens"][:-2], "<|im_end|>", "<|end|>"]
    file = _file({**vocabulary, "ggml.tokens": tokens, "ggml.eot_token_id": 270})
    assert end_tokens(file) == [2, 270, 286, 287] == end_tokens(file)
    harmony = [*tokens[:-4], "<|call|>", "<|return|>", *tokens[-2:]]  # where <|end|> ends a message only
    assert end_tokens(_file({**vocabulary, "ggml.tokens": harmony})) == [2, 284, 285, 286]


def test_the_chat_template_of_the_file_is_the_tokenizer_s() -> None:
    chat = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
    made = _bytes("gpt-2", **{"tokenizer.chat_template": chat})
    assert made.apply_chat_template([{"role": "user", "content": "the"}], tokenize=False) == "<bos>[user] the"
    more = _bytes("gpt-2", **{"tokenizer.chat_template": chat, "tokenizer.chat_template.tool_use": "tools"})
    assert more.get_chat_template() == chat and more.chat_template["tool_use"] == "tools"
    assert _bytes("gpt-2").chat_template is None


def test_special_tokens_are_read_whole_and_left_out_of_a_completion() -> None:
    made = _bytes("gpt-2")
    ids = made("<bos>the<|fill3|>", add_special_tokens=False)["input_ids"]
    assert len(ids) == 3 and made.decode(ids, skip_special_tokens=True) == "the"


@pytest.mark.parametrize("kind", ["bert", "t5", "rwkv", None])
def test_another_kind_of_tokenizer_is_one_line(kind: str | None) -> None:
    with pytest.raises(ModelError, match=r"cannot read the tokenizer of m\.gguf: of kind .*; gpt2 and llama are$"):
        tokenizer_from_gguf(_file({**tiny_vocabulary(288), "ggml.model": kind}))
