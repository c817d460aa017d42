"""Texts on which tokenizers differ: digits, spaces, lines, scripts, code and special tokens, put together by a seed."""

from __future__ import annotations

import random

_PIECES = (
    "12", " 3", " 3.14", "x=1;", "\n", " ", "  ", "\t", "  \n\n", "\r\n", "don't", "I'LL", " the", "The", "quick",
    "...", "def f(a):\n    return a", "http://a.b/c?d=1&e=2", "()", "{}", "-", "_", "'", '"', "\u00c9", "e\u0301",
    "\u00a0", "\u200b", "\u3000", "\x85", "\u2028", "\ufb01", "\u2167", "\u00b2", "\u00bd", "\u0663", "\u65e5\u672c",
    "\u0391\u03b2", "\u041f\u0440\u0438", "\u0645\u0631", "\u0939\u093f\u0928", "\U0001f642", "<|im_start|>",
    "<|im_end|>", "<|endoftext|>", "<s>", "</s>",
)  # fmt: skip


def texts(n: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    hard = ["", " ", "\n 12 b  34", "a" * 60, " " * 33 + "x", "1" * 20, "\n\n\n", "<|im_start|>user\n hi<|im_end|>\n"]
    return hard + ["".join(draw.choices(_PIECES, k=draw.randint(1, 12))) for _ in range(n - len(hard))]
