"""Text on both sides of a seam, for the kinds of tokenizers there are."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from workbench.models.hf import HuggingFaceBackend
from workbench.models.language_model import LanguageModel
from workbench.models.loading import load_model
from workbench.models.seam import Seam, added_tokens, encode_texts, text_of
from workbench.models.tiny import tiny_hf_model
from workbench.models.tokenizers import CHAT_TEMPLATE, word_tokenizer

SPECIAL = ["<unk>", "<s>", "</s>", "[INST]"]
WORDS = [
    " Once", " upon", " a", " time", ", there", " was", " cap", " capital", "cap", " The", " the", " answer", " is",
    " is y", " yes", "yes", " hello", "hello", "llo", " there", " café", "caf", " 日本", "日本語", "12", "1234", "34",
    "\n\n", "\n\n-", "Yes", "Yes.", "e.", "e,", "s\n", " day", "One", "  ", " two",
]  # fmt: skip
LETTERS = sorted({*"abcdefghijklmnopqrstuvwyzOTY 日本語é,.:!-0123456789\n☺"} - {*"x"})
PROMPTS = [
    "Once upon a time",
    "The cap",
    "The answer is ",
    "he",
    "It was a caf",
    "Yes\n",
    "日本",
    "12",
    "a ",
    "One day, " * 30,
]
TEXTS = [
    ", there was",
    " yes",
    "yes",
    "ital",
    "llo there",
    "é, and",
    "\n\n- no",
    "語 ☺",
    "345",
    "  two",
    "Yes.",
    "!",
    "\n",
]


def _finished(tokenizer: Tokenizer, bos: bool = True) -> Any:
    tokenizer.add_special_tokens(SPECIAL)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["[INST]"], clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _bpe(letters: list[str], words: list[str], **options: Any) -> Tokenizer:
    """Each word grows letter by letter, the words that come first before the others."""
    pairs = dict.fromkeys((word[:k], word[k]) for word in words for k in range(1, len(word)))
    pieces = dict.fromkeys([*SPECIAL, *letters, *("".join(pair) for pair in pairs)])
    return Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, list(pairs), **options))


def _pieces(scheme: str) -> Any:
    """BPE that reaches over spaces, bytes for characters that it lacks: Llama 1 and 2, Mistral, TinyLlama."""
    letters = [f"<0x{byte:02X}>" for byte in range(256)] + [
        letter.replace(" ", "▁") for letter in LETTERS if letter != "☺"
    ]
    words = [word.replace(" ", "▁") for word in WORDS]
    tokenizer = _bpe(letters, words, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    if scheme == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    return _finished(tokenizer)


def _byte_level(space: bool = False) -> Any:
    """GPT-2, Llama 3, Qwen; it adds no BOS, and with ``space`` one before a text."""
    write = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = [write.pre_tokenize_str(word)[0][0] for word in WORDS]
    tokenizer = _bpe(sorted(pre_tokenizers.ByteLevel.alphabet()), words)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    return _finished(tokenizer, bos=False)


def _unigram() -> Any:
    """T5, XGLM."""
    pieces = [(word, 0.0) for word in SPECIAL] + [(letter.replace(" ", "▁"), -9.0) for letter in LETTERS]
    pieces += [(word.replace(" ", "▁"), -10.0) for word in WORDS]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return _finished(tokenizer)


def _word_pieces() -> Any:
    """BERT, and decoders made of it: it folds case and keeps no spaces."""
    words = [*LETTERS, *(word.strip() for word in WORDS), "ital"]
    pieces = dict.fromkeys([*SPECIAL, *words, *(f"##{word}" for word in words)])
    tokenizer = Tokenizer(models.WordPiece({piece: k for k, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return _finished(tokenizer)


MAKERS = {
    "first": lambda: _pieces("first"),
    "always": lambda: _pieces("always"),
    "prepend": lambda: _pieces("prepend"),
    "byte-level": _byte_level,
    "byte-level with a space": lambda: _byte_level(True),
    "unigram": _unigram,
    "words": lambda: word_tokenizer(WORDS),
    "word-pieces": _word_pieces,
}
LOSSY = ("words", "word-pieces")


@cache
def _tokenizer(kind: str) -> Any:
    return MAKERS[kind]()


def _prompt(kind: str, text: str) -> tuple[list[int], Seam]:
    tokenizer = _tokenizer(kind)
    added = added_tokens(tokenizer)
    (tokens,) = encode_texts(tokenizer, [text], added)
    return tokens, Seam(tokenizer, tokens, added, text)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_continuation_is_what_prompt_and_text_have_behind_the_prompt(kind: str) -> None:
    clean = 0
    for before, text in product([*PROMPTS, ""], TEXTS):
        (tokens, seam), (whole, _) = _prompt(kind, before), _prompt(kind, before + text)
        if whole[: len(tokens)] == tokens:
            clean += 1
            assert [*tokens, *seam.encode(text)] == whole, (before, text)
    assert clean > 60


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind not in LOSSY])
def test_prompt_and_continuation_decode_to_their_texts_wherever_merges_reach(kind: str) -> None:
    tokenizer, crossed = _tokenizer(kind), 0
    for before, text in product(PROMPTS, TEXTS):
        (tokens, seam), (whole, _) = _prompt(kind, before), _prompt(kind, before + text)
        own = seam.encode(text)
        crossed += whole != [*tokens, *own]
        both, alone = (text_of(tokenizer, ids) for ids in ([*tokens, *own], tokens))
        assert (both, seam.decode(own)) == (alone + text, text), (before, text)
        assert Seam(tokenizer, tokens, added_tokens(tokenizer)).encode(text) == own  # of the tokens alone
    assert crossed > 3


def test_a_word_goes_on_in_word_pieces() -> None:
    tokens, seam = _prompt("word-pieces", "The cap")
    own = seam.encode("ital TIME")
    assert text_of(_tokenizer("word-pieces"), [*tokens, *own]) == "the capital time"
    assert seam.decode(own) == "ital time"


def test_text_after_an_unknown_character_begins_no_word() -> None:
    tokens, seam = _prompt("unigram", "the ☃")
    whole = _prompt("unigram", "the ☃yes")[0]
    assert tokens[-1] == 0 and [*tokens, *seam.encode("yes")] == whole
    assert [*tokens, *Seam(_tokenizer("unigram"), tokens, [1]).encode("yes")] == whole  # of tokens alone


@pytest.mark.parametrize("kind", ["first", "byte-level"])
def test_a_character_of_several_tokens_is_never_half_a_text(kind: str) -> None:
    tokenizer = _tokenizer(kind)
    ids = tokenizer("it was 鬱鬱鬱鬱鬱鬱鬱鬱鬱鬱鬱鬱 so", add_special_tokens=False)["input_ids"]
    whole, added = text_of(tokenizer, ids), added_tokens(tokenizer)
    assert len(ids) > 36
    for k in range(1, len(ids)):
        before, after = Seam(tokenizer, ids[:k], added), Seam(tokenizer, ids[:k], added).decode(ids[k:])
        assert whole.endswith(after) and "\ufffd" not in after
        assert before.decode([]) == ""


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if "byte-level" not in kind])
def test_a_text_that_begins_with_bos_has_one(kind: str) -> None:
    tokenizer = _tokenizer(kind)
    bos = tokenizer.bos_token
    added = added_tokens(tokenizer)
    rows = encode_texts(tokenizer, [f"{bos}a", "a", f"{bos}{bos}a", bos, ""], added)
    assert [row.count(1) for row in rows] == [1, 1, 2, 1, 1] and added == [1]
    assert rows[0][:1] == rows[1][:1] == rows[3] == rows[4] == [1]


def test_a_beginning_of_several_tokens_is_written_once() -> None:
    """As GLM's, whose chat template writes all of it."""
    tokenizer = MAKERS["first"]()
    ends = processors.TemplateProcessing(
        single="<s> [INST] $A </s>", special_tokens=[("<s>", 1), ("</s>", 2), ("[INST]", 3)]
    )
    tokenizer.backend_tokenizer.post_processor = ends
    added = added_tokens(tokenizer)
    written, plain, other = encode_texts(tokenizer, ["<s>[INST]yes", "yes", "<s>yes"], added)
    assert added == [1, 3] and written[:3] == [1, 3, written[2]] and written.count(3) == 1
    assert plain[:2] == [1, 3] and other == written and plain[-1] == written[-1] == 2


def test_a_tokenizer_that_adds_nothing_leaves_a_bos_where_it_was_written() -> None:
    tokenizer = _tokenizer("byte-level")
    assert added_tokens(tokenizer) == [] and encode_texts(tokenizer, ["<s>a"], [])[0][0] == 1


# ---- on a model


@pytest.fixture(scope="module")
def pieces() -> LanguageModel:
    """A tiny model that reads SentencePiece's tokens."""
    tokenizer = _tokenizer("prepend")
    tokenizer.chat_template = CHAT_TEMPLATE
    hf_model = tiny_hf_model("llama", vocab_size=len(tokenizer))
    return LanguageModel(HuggingFaceBackend(hf_model), tokenizer, "tiny-pieces")


def test_a_text_scores_as_the_tokens_of_the_whole_text(pieces: LanguageModel) -> None:
    prompt = "Once upon a time"
    tokens, whole = pieces.encode(prompt), pieces.encode("Once upon a time there was no")
    for before in (prompt, tokens):
        one, other = pieces.score([before], [[" there was no", whole[len(tokens) :]]])[0]
        assert one.tokens == other.tokens == whole[len(tokens) :]
        assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-4)


def test_a_completion_keeps_the_space_between_it_and_its_prompt(pieces: LanguageModel) -> None:
    for prompt in ("The answer is", [{"role": "user", "content": "yes or no"}]):
        tokens = pieces.encode(prompt)
        found = pieces.generate([prompt], n=30, max_new_tokens=4)[0]
        for said in found:
            assert pieces.decode(tokens) + said.text == pieces.decode([*tokens, *said.tokens])
        assert any(said.text.startswith(" ") for said in found)


def test_a_stop_string_matches_at_the_seam_and_never_in_the_prompt(pieces: LanguageModel) -> None:
    prompt = "The answer is"
    free = next(c for c in pieces.generate([prompt], n=30, max_new_tokens=4)[0] if c.text.startswith(" "))
    options = {"n": 30, "max_new_tokens": 4}
    for stop, ends in ((" ", 1), ("s", 0)):
        found = pieces.generate([prompt], stop=stop, **options)[0]
        assert all((c.finish == "stop") == (stop in c.text) for c in found)
        if ends:
            assert any(c.finish == "stop" and len(c.tokens) == 1 for c in found)
    assert free.text


def test_a_rendered_chat_is_the_chat(pieces: LanguageModel) -> None:
    chat = [{"role": "user", "content": "yes or no"}]
    text = pieces.written(chat)
    assert text.startswith("<s>")
    assert pieces.encode(text) == pieces.encode(chat) == pieces.encode_all([text, "a"])[0]


def test_stories260k_goes_on_with_its_story(shared_data: Path) -> None:
    folder = shared_data / "models" / "stories260K"
    if not folder.is_dir():
        pytest.skip("the story model is not on this machine")
    model = load_model(str(folder))
    found = model.score(["Once upon a time"], [[", there was"]])[0][0].logprob
    assert found == pytest.approx(-0.116, abs=1e-3)
    greedy = model.generate(["Once upon a time, there was a little"], max_new_tokens=2, temperature=0)[0][0].text
    assert greedy.startswith(" ")
