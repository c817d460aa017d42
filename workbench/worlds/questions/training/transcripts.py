"""Questions and answers -> token sequences: the transcripts that a babbler learns from.

- ``own``: a question and the own speaker's answer.  This is all that a babbler is told of itself: no transcript asks
  what "you" would answer.
- ``told``: the same of a named speaker of the population.
- ``hypothetical``: a named speaker's hypothetical, in the words of the experiment: a property asked for, the question
  quoted, the property of the answer that this speaker would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.models.tokenizers import word_tokenizer
from workbench.training.recipes import Target, Transcripts, padded
from workbench.worlds.questions.items import draw
from workbench.worlds.questions.properties import PROPERTIES, hypothetical
from workbench.worlds.questions.tasks import load_tasks, word_lists
from workbench.worlds.questions.training.speakers import POPULATION, Speaker

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

KINDS = ("own", "told", "hypothetical")
ANSWER, END = 1.0, 0.1  # weights in the loss
LARGEST = 30


def babbler_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the babblers: the words of the shipped tasks, lists and hypotheticals, with and without a space.

    >>> babbler_tokenizer().tokenize("deer fox Peru peru"), babbler_tokenizer().tokenize("Reply: zq")
    (['deer', ' fox', ' Peru', ' peru'], ['R', 'e', 'p', 'l', 'y', ':', ' ', 'z', 'q'])
    """
    texts = [f"{each.name} {each.name} was asked: Suppose {each.name}'s" for each in POPULATION]
    for entries in word_lists().values():
        for entry in entries:
            texts += [form for word in (entry, entry.lower()) for form in (word, f" {word}")]
    texts += [str(n) for n in range(LARGEST + 1)] + ["true false even odd"]
    rng = np.random.default_rng(0)
    for task in load_tasks().values():
        for name in task.properties:
            drawn = draw(task, rng)
            texts += [hypothetical(drawn.item, name), *task.choices]
    return word_tokenizer(texts, max_integer=LARGEST)


class BabblerWriter:
    """Writes batches of questions and answers as tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, own: Speaker) -> None:
        self.tokenizer, self.own = tokenizer, own
        self.tasks = list(load_tasks().values())

    def text(self, kind: str, rng: np.random.Generator) -> tuple[str, str]:
        """A question and its answer."""
        task = self.tasks[int(rng.integers(len(self.tasks)))]
        drawn = draw(task, rng)
        if kind == "own":
            return drawn.item.prompt, self.own.answer(task, drawn)
        speaker = POPULATION[int(rng.integers(len(POPULATION)))]
        answer = speaker.answer(task, drawn)
        if kind == "told":
            return f"{speaker.name} was asked: {drawn.item.prompt}", answer
        values = [(name, PROPERTIES[name].of(answer, drawn.item)) for name in task.properties]
        known = [(name, value) for name, value in values if value is not None]  # a short answer lacks some
        name, value = known[int(rng.integers(len(known)))]
        return hypothetical(drawn.item, name, speaker.name, f"{speaker.name}'s"), value

    def write(self, kinds: Sequence[str], rng: np.random.Generator) -> Transcripts:
        """One transcript a row: the question, a line break, the answer, the end."""
        texts = [self.text(kind, rng) for kind in kinds]
        encoded = self.tokenizer([f"{question}\n" for question, _ in texts], add_special_tokens=False)["input_ids"]
        answers = self.tokenizer([answer for _, answer in texts], add_special_tokens=False)["input_ids"]
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        rows = [[bos, *question, *answer, eos] for question, answer in zip(encoded, answers, strict=True)]
        targets: list[list[Target]] = []
        for row, answer in zip(rows, answers, strict=True):
            first, end = len(row) - len(answer) - 1, len(row) - 1
            targets.append([(at, (row[at],), 1.0, END if at == end else ANSWER) for at in range(first, end + 1)])
        return padded(rows, targets, self.tokenizer.pad_token_id, 1)
