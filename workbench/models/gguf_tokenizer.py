"""The tokenizer of a GGUF file: the tokens that llama.cpp reads in a text, as a Hugging Face tokenizer.

Two kinds are in use.  Byte-level pairs (``gpt2``) are merged inside the pieces of a named pre-tokenizer; transformers
leaves most of those names unread, so that e.g. spaces before digits become other tokens.  SentencePiece's (``llama``)
are merged by the scores of what comes out, over the whole text, each stretch between special tokens behind a space of
its own unless the file says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

from workbench.errors import ModelError, warn
from workbench.models.gguf_file import GGUFFile
from workbench.models.pre_tokenizers import DEFAULT, PRE_TOKENIZERS, WHOLE_PIECES, WITH_BOS

_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6
_BPE, _SENTENCEPIECE = "gpt2", "llama"
_SPACE = "\u2581"
_ROLES = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id",
          "pad_token": "padding_token_id"}  # fmt: skip
# Tokens that end a turn wherever they are found, as in llama.cpp.
_ENDS = frozenset(
    ("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
     "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
     "<end_of_utterance>", "<eos>", "<turn|>", "<\uff5cend\u2581of\u2581sentence\uff5c>")
)  # fmt: skip


def tokenizer_from_gguf(file: GGUFFile) -> PreTrainedTokenizerFast:
    """The tokenizer of a GGUF file, its chat template, BOS and end tokens included.

    Raises :class:`ModelError` for a kind of tokenizer that is not read here; a pre-tokenizer that is not known is a
    :class:`WorkbenchWarning`, and llama.cpp's default stands in for it.
    """
    facts = {key.removeprefix("tokenizer.ggml."): value for key, value in file.metadata.items()}
    kind = facts.get("model")
    if kind not in (_BPE, _SENTENCEPIECE):
        raise ModelError(f"cannot read the tokenizer of {file.path}: of kind {kind!r}; {_BPE} and {_SENTENCEPIECE} are")
    tokens = [token or f"[EMPTY_{i}]" for i, token in enumerate(facts.get("tokens", ()))]
    types = facts.get("token_type") or [1] * len(tokens)
    if not tokens or len(types) != len(tokens):
        raise ModelError(f"cannot read the tokenizer of {file.path}: it holds {len(tokens)} tokens, {len(types)} types")
    built = _byte_level(file, facts, tokens) if kind == _BPE else _sentencepiece(facts, tokens, types)
    _add_specials(built, file, tokens, types)
    named = {
        role: tokens[facts[key]]
        for role, key in _ROLES.items()
        if isinstance(facts.get(key), int) and facts[key] < len(tokens)
    }
    adds = {role: bool(facts.get(f"add_{role}_token", _adds(role, kind, facts))) for role in ("bos", "eos")}
    _add_ends(built, named, adds)
    return PreTrainedTokenizerFast(
        tokenizer_object=built,
        chat_template=_templates(file.metadata),
        clean_up_tokenization_spaces=False,
        model_max_length=file.metadata.get(f"{file.architecture}.context_length"),
        padding_side="left",
        **named,
    )


def end_tokens(file: GGUFFile) -> list[int]:
    """Token ids at which a completion is over: those that the file names, and those known by their text."""
    tokens = file.metadata.get("tokenizer.ggml.tokens", [])
    named = (file.metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom"))
    known = (i for i, token in enumerate(tokens) if token in _ENDS)
    found = dict.fromkeys(i for i in (*named, *known) if isinstance(i, int) and 0 <= i < len(tokens))
    texts = {tokens[i] for i in found}
    both = {"<|return|>", "<|call|>"} <= texts or {"<|calls|>", "<|flush|>"} <= texts
    return [i for i in found if not (both and tokens[i] == "<|end|>")]  # there it ends a message, not the turn


def _adds(role: str, kind: Any, facts: Mapping[str, Any]) -> bool:
    return role == "bos" and (kind == _SENTENCEPIECE or facts.get("pre") in WITH_BOS)


def _templates(metadata: Mapping[str, Any]) -> Any:
    first = "tokenizer.chat_template"
    more = {key[len(first) + 1 :]: text for key, text in metadata.items() if key.startswith(f"{first}.")}
    default = metadata.get(first)
    return {"default": default, **more} if more and default else default


# ---- the two kinds


def _byte_level(file: GGUFFile, facts: Mapping[str, Any], tokens: Sequence[str]) -> Tokenizer:
    vocab = {token: i for i, token in enumerate(tokens)}
    pairs = (_pair(merge) for merge in facts.get("merges", ()))
    merges = [(a, b) for a, b in pairs if a in vocab and b in vocab and a + b in vocab]
    pre = facts.get("pre")
    if pre not in PRE_TOKENIZERS:
        said = "names no pre-tokenizer" if pre is None else f"names the pre-tokenizer {pre!r}, which is not known"
        warn(f"{file.path} {said}: llama.cpp's default cuts texts instead, which may give other tokens")
    cuts = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in PRE_TOKENIZERS.get(str(pre), DEFAULT)]
    built = Tokenizer(models.BPE(vocab, merges, fuse_unk=False, ignore_merges=pre in WHOLE_PIECES))
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    built.decoder = decoders.ByteLevel()
    return built


def _pair(merge: str) -> tuple[str, str]:
    at = merge.find(" ", 1)
    return merge[:at], merge[at + 1 :]


def _sentencepiece(facts: Mapping[str, Any], tokens: Sequence[str], types: Sequence[int]) -> Tokenizer:
    vocab = {token: i for i, token in enumerate(tokens)}
    scores = dict(zip(tokens, facts.get("scores") or [0.0] * len(tokens), strict=False))
    # They are cut out of the text before anything is merged, or stand for a byte.
    apart = {token for token, kind in zip(tokens, types, strict=True) if kind in (_UNKNOWN, _CONTROL, _BYTE)}
    unknown = tokens[facts["unknown_token_id"]] if "unknown_token_id" in facts else tokens[0]
    built = Tokenizer(
        models.BPE(vocab, generate_merges(vocab, scores, apart), unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    prefix = facts.get("add_space_prefix", True)
    spaces = normalizers.Replace(" ", _SPACE)
    built.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), spaces]) if prefix else spaces
    back = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    built.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if prefix else back)
    return built


# ---- special tokens


def _add_specials(built: Tokenizer, file: GGUFFile, tokens: Sequence[str], types: Sequence[int]) -> None:
    """Tokens that are cut out of a text as they stand, before all else."""
    # llama.cpp, too, goes by the name: the file does not say that these swallow the spaces behind them.
    phi3 = any(name in str(file.metadata.get("general.name", "")).lower() for name in ("phi-3", "phi3"))
    kept = ("<unk>", "<s>", "<|endoftext|>")
    for kind in (_CONTROL, _UNKNOWN, _USER_DEFINED):
        added = [
            AddedToken(token, normalized=False, special=kind != _USER_DEFINED, rstrip=phi3 and token not in kept)
            for token, own in zip(tokens, types, strict=True)
            if own == kind or (kind == _CONTROL and token in _ENDS)
        ]
        built.add_tokens(added) if kind == _USER_DEFINED else built.add_special_tokens(added)


def _add_ends(built: Tokenizer, named: Mapping[str, str], adds: Mapping[str, bool]) -> None:
    """BOS and EOS around each text, where the file asks for them."""
    around = {role: named[f"{role}_token"] for role, wanted in adds.items() if wanted and f"{role}_token" in named}
    if around:
        pieces = [around.get("bos"), "$A", around.get("eos")]
        specials = [(token, built.token_to_id(token)) for token in {*around.values()}]
        built.post_processor = processors.TemplateProcessing(
            single=" ".join(piece for piece in pieces if piece), special_tokens=specials
        )
