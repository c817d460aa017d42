"""How llama.cpp's named pre-tokenizers cut a text before byte pairs are merged, by ``tokenizer.ggml.pre``.

Each is a list of patterns: the text is cut at the matches of the first, what lies between them and they themselves at
the matches of the second, and so on.  Where llama.cpp writes a pattern around the limits of its own matcher, the one of
the models' tokenizers stands here.  Source: ``src/llama-vocab.cpp`` of llama.cpp and the tokenizer.json of the models.
"""

from __future__ import annotations

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_OTHER = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_FIRST = r"[^\r\n\p{L}\p{N}]?"

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}|{_OTHER}|{_SPACES}"
_QWEN2 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}|{_OTHER}|{_SPACES}"
_QWEN35 = rf"{_CONTRACTION}|{_FIRST}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}"
_CASED = (
    rf"{_FIRST}{_UPPER}*{_LOWER}+{{end}}|{_FIRST}{_UPPER}+{_LOWER}*{{end}}|{{digits}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
)
_TEKKEN = _CASED.replace("{end}", "").replace("{digits}", r"\p{N}")
_GPT4O = _CASED.replace("{end}", f"{_CONTRACTION}?").replace("{digits}", r"\p{N}{1,3}")
DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")

_NAMES: dict[tuple[str, ...], str] = {
    (_LLAMA3,): "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe"
    " chatglm-bpe glm4 glm5",
    (_QWEN2,): "qwen2 stablelm2 deepseek-r1-qwen kormo f2llmv2 megrez hunyuan solar-open grok-2",
    (_QWEN35,): "qwen35",
    (_TEKKEN,): "tekken",
    (_GPT4O,): "gpt-4o llama4 kanana2 talkie minimax-m2",
    (r"\p{N}", _GPT2): "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
    (
        _GPT2,
    ): "gpt-2 phi-2 mpt olmo jais trillion granite-docling gigachat a.x-4.0 mellum modern-bert exaone4 roberta-bpe",
    (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]"): "falcon",
    (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"): "deepseek-coder",
    (rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}",): "seed-coder",
    (r"\p{N}{1,3}", rf"{_CONTRACTION}|{_WORD}|\p{{N}}+|{_OTHER}|{_SPACES}"): "minicpm5",
    DEFAULT: "default",
}
PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {name: cuts for cuts, names in _NAMES.items() for name in names.split()}

_LLAMA3_LIKE = frozenset(
    ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano")
)
# A piece that is a token as it stands is not merged from its bytes.
WHOLE_PIECES = _LLAMA3_LIKE | {"tekken", "glm4", "glm5", "minicpm5"}
# A BOS comes first unless the file says otherwise.
WITH_BOS = _LLAMA3_LIKE | {"tekken"}
