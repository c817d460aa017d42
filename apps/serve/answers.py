"""What is answered, in the shapes of OpenAI's API; what is ours stands under the key ``workbench``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.serve.jobs import Done, Job, Piece, Reading, Said
from apps.serve.shelf import Shelf

_LEAST = -9999.0  # what stands for minus infinity in OpenAI's API


@dataclass
class Answer:
    """The answer to one request, of the kind ``chat`` or not."""

    job: Job
    shelf: Shelf
    chat: bool
    about: dict[str, Any]  # what was done, for whoever wants it again
    echoes: list[str]  # the text of each prompt, where it is to be echoed
    head: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        prefix = "chatcmpl" if self.chat else "cmpl"
        self.head = {"id": f"{prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.shelf.model.name}

    def whole(self, pieces: Sequence[Piece], done: Done) -> dict[str, Any]:
        """All of it at once."""
        choices = [self._whole_choice(index, [p for p in pieces if p.index == index], done)
                   for index in range(len(self.job.prompts) * self.job.n)]  # fmt: skip
        readouts = {"readouts": self._readouts(done)} if self.job.readouts else {}
        kind = "chat.completion" if self.chat else "text_completion"
        return {
            **self.head, "object": kind, "choices": choices, "usage": self.usage(), "workbench": self.about | readouts,
        }  # fmt: skip

    def _whole_choice(self, index: int, pieces: Sequence[Piece], done: Done) -> dict[str, Any]:
        text = "".join(piece.text for piece in pieces)
        finish = pieces[-1].finish if pieces else "length"
        said = [token for piece in pieces for token in piece.tokens]
        if self.chat:
            message = {"role": "assistant", "content": text, "refusal": None}
            return {"index": index, "message": message, "finish_reason": finish, "logprobs": self._logprobs(said, 0)}
        if self.job.echo:
            row = index // self.job.n
            text = self.echoes[row] + text
            said = [*(done.prompts[row] if done.prompts else []), *said]
        return {"index": index, "text": text, "finish_reason": finish, "logprobs": self._logprobs(said, 0)}

    # ---- streamed

    def opening(self) -> list[dict[str, Any]]:
        """The chunks before anything is written: the assistant's turn begins, or the prompt is echoed."""
        chunks = []
        for index in range(len(self.job.prompts) * self.job.n):
            if self.chat:
                chunks.append(self._chunk(index, {"delta": {"role": "assistant", "content": ""}}))
            elif self.job.echo:
                row = index // self.job.n
                said = self.job.prompts_said[row] if self.job.prompts_said else []
                chunks.append(self._chunk(index, {"text": self.echoes[row], "logprobs": self._logprobs(said, 0)}))
        if chunks:
            chunks[0]["workbench"] = self.about
        return chunks

    def chunk(self, piece: Piece, offset: int) -> dict[str, Any]:
        """What a completion has grown by; ``offset``: characters of it that were sent before."""
        said = self._logprobs(piece.tokens, offset) if piece.tokens else None
        new: dict[str, Any] = {"delta": {"content": piece.text}} if self.chat else {"text": piece.text}
        return self._chunk(piece.index, new | {"logprobs": said, "finish_reason": piece.finish})

    def closing(self, done: Done, usage: bool) -> list[dict[str, Any]]:
        """What comes after the last token, where it was asked for."""
        empty = {**self.head, "object": self._kind, "choices": []}
        chunks = [empty | {"workbench": self.about | {"readouts": self._readouts(done)}}] if self.job.readouts else []
        return [*chunks, *([empty | {"usage": self.usage()}] if usage else [])]

    @property
    def _kind(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _chunk(self, index: int, new: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": index, "finish_reason": None, "logprobs": None} | new
        return {**self.head, "object": self._kind, "choices": [choice]}

    # ---- parts

    def usage(self) -> dict[str, int]:
        """Tokens read and written; end tokens do not count."""
        read = sum(map(len, self.job.prompts))
        written = sum(len(leaf.tokens) for own in self.job.leaves for leaf in own)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def _logprobs(self, said: Sequence[Said], offset: int) -> dict[str, Any] | None:
        if self.job.top is None:
            return None
        if self.chat:
            return {"content": [_with_top(one) for one in said], "refusal": None}
        offsets = [offset]
        for one in said:
            offsets.append(offsets[-1] + len(one.text))
        return {
            "tokens": [one.text for one in said],
            "token_logprobs": [None if one.logprob is None else max(one.logprob, _LEAST) for one in said],
            "top_logprobs": [None if one.logprob is None else _by_text(one) for one in said],
            "text_offset": offsets[:-1],
        }

    def _readouts(self, done: Done) -> dict[str, Any]:
        return {
            name: self.shelf.about_probe(name)
            | {"prompts": [_scored(each, name) for each in done.prompt_readings]}
            | {"choices": [_scored(each, name) for each in done.readings]}
            for name in self.job.readouts
        }


def _token(text: str, logprob: float | None) -> dict[str, Any]:
    value = _LEAST if logprob is None else max(logprob, _LEAST)
    return {"token": text, "logprob": value, "bytes": list(text.encode("utf-8", "replace"))}


def _with_top(said: Said) -> dict[str, Any]:
    return _token(said.text, said.logprob) | {"top_logprobs": [_token(*each) for each in said.top]}


def _by_text(said: Said) -> dict[str, float]:
    """The likeliest tokens by their texts; of two with one text, the likelier."""
    return {text: max(logprob, _LEAST) for text, logprob in reversed(said.top)}


def _scored(reading: Reading, name: str) -> dict[str, Any]:
    return {"tokens": reading.tokens, "scores": reading.scores[name]}
