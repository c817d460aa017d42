"""The seam between a prompt and the text that follows it.

Tokenizers do not split text at a seam: SentencePiece writes the space before a word into its token, puts one before
whatever begins a text and drops that one again in decoding; merges reach over any place; a character may be several
tokens.  So a text is encoded together with the end of its prompt and cut, and tokens are decoded with what stands
before them: the prompt's text and the continuation's are the text of their tokens in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from workbench.models.cache import common_prefix

# So much of a prompt is looked at: what stands further back does not change how text at its end is split.
_WINDOW, _CHARACTERS = 32, 200
# Texts that few tokenizers merge with what follows.
_ANCHORS = ("", "\n", "☺", "x", "q")
_BROKEN = "\ufffd"  # stands for the bytes of a character that is not whole


class Seam:
    """The end of a prompt, behind which texts are encoded and tokens decoded.

    >>> from workbench.models.tiny import tiny_tokenizer
    >>> tokenizer = tiny_tokenizer()
    >>> seam = Seam(tokenizer, tokenizer("a b")["input_ids"])
    >>> seam.decode(seam.encode(" c d"))
    ' c d'
    """

    def __init__(self, tokenizer: Any, before: Sequence[int], added: Sequence[int] = (), text: Any = None) -> None:
        """``before``: the prompt's tokens; ``added``: those of them that its tokenizer puts before any text; ``text``:
        what the prompt was, if it was a text (otherwise what its tokens decode to)."""
        self._tokenizer = tokenizer
        self._prompt = text[-_CHARACTERS:] if isinstance(text, str) else None
        own = list(before)[len(added) :] if list(before[: len(added)]) == list(added) else list(before)
        start = max(len(own) - _WINDOW, 0)
        while start and max(len(own) - _WINDOW - 4, 0) < start and self._text(own[start:]).startswith(_BROKEN):
            start -= 1  # to where a character begins
        self._before = own[start:]

    @cached_property
    def _head(self) -> str:
        return self._text(self._before)

    @cached_property
    def _written(self) -> str:
        """The end of the prompt with its special tokens, as a chat template writes it."""
        if self._prompt is not None:
            return self._prompt
        text = self._text(self._before, skip_special_tokens=False)
        unknown = self._tokenizer.unk_token
        # What stood there is not known, but that it was none of the other special tokens.
        named = unknown and unknown not in (self._tokenizer.bos_token, self._tokenizer.eos_token)
        return text.replace(unknown, "☺") if named else text

    @cached_property
    def _written_ids(self) -> list[int]:
        return self._ids(self._written)

    def _text(self, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
        return text_of(self._tokenizer, tokens, skip_special_tokens)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens behind the prompt, special ones left out.

        A character of which the prompt holds some bytes belongs to it whole.
        """
        whole = self._text([*self._before, *tokens])
        head = self._head if whole.startswith(self._head) else self._head.rstrip(_BROKEN)
        return whole[len(head) :] if whole.startswith(head) else self._text(tokens)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text behind the prompt: those of prompt and text together, behind the prompt's.

        Where a merge would change the prompt's own tokens, they stay, and the text is split as it is behind something
        that it does not merge with, such that :meth:`decode` gives it back.
        """
        cut = self._cut(self._written, self._written_ids, text)
        return self._apart(text) if cut is None else cut

    def _cut(self, before: str, head: list[int], text: str) -> list[int] | None:
        whole = self._ids(before + text)
        return whole[len(head) :] if whole[: len(head)] == head else None

    def _apart(self, text: str) -> list[int]:
        ends = (self._written[-k:] for k in (1, 2, 3))
        tried = (self._cut(anchor, self._ids(anchor), text) for anchor in (*_ANCHORS, *ends))
        cuts = [cut for cut in tried if cut is not None]
        found = {self.decode(cut): cut for cut in reversed(cuts)}
        # A tokenizer that folds case or the like never gives the text back, but what it reads in it.
        return found.get(text) or found.get(self._text(cuts[0])) or cuts[0]

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]


def text_of(tokenizer: Any, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
    """Text of tokens by themselves, no space changed."""
    options = {"skip_special_tokens": skip_special_tokens, "clean_up_tokenization_spaces": False}
    return str(tokenizer.decode(list(tokens), **options))


def added_tokens(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before any text, such as a BOS.

    >>> from workbench.models.tiny import tiny_tokenizer
    >>> added_tokens(tiny_tokenizer())
    [1]
    """
    whole, plain = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    starts = (k for k in range(len(whole)) if whole[k : k + len(plain)] == plain)
    return whole[: next(starts, 0)]


def encode_texts(tokenizer: Any, texts: list[str], added: Sequence[int]) -> list[list[int]]:
    """Token ids of texts; one that begins with the ``added`` tokens (a rendered chat) does not get them again."""
    n = len(added)
    rows = tokenizer(texts)["input_ids"]
    return [row[:n] + row[n + common_prefix(list(added), row[n:]) :] for row in rows]
