"""Teachers' play -> token sequences with soft targets.

A transcript is the chat text of one episode.  Loss falls on the agent's tokens only.  Where the teacher draws at random
(opener, phrase, action) the target is the teacher's exact distribution instead of the drawn token.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from workbench.models.tokenizers import pretokenize, word_tokenizer
from workbench.training.recipes import Target, Transcripts, padded
from workbench.worlds.bandits.text import RENDERINGS, TRAINED_WORDINGS, BanditText
from workbench.worlds.bandits.training import teacher as bt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FORM_WEIGHT = 0.2
MAX_TARGETS = sum(len(phrases) for phrases in bt.PHRASES)


def bandit_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of ``bandit-agent``: its words are those of the trained wordings and of the teachers' thoughts."""
    texts = ["Thought: Action: I choose"]
    for rendering, (noun, *_) in RENDERINGS.items():
        for wording in TRAINED_WORDINGS:
            for thoughts in (True, False):
                text = BanditText(rendering, wording, thoughts=thoughts)
                texts += [text.instructions(), text.feedback(0, 1), text.action(0)]
        texts += [f" {lean.format(noun=noun, arm=1)}" for lean in bt.LEANS]
    texts += [f" {word}" for words in bt.OPENERS for word in words] + [p for ps in bt.PHRASES for p in ps]
    return word_tokenizer(texts)


Soft = tuple[Sequence[int] | np.ndarray, Sequence[float] | np.ndarray]  # candidate ids and their probabilities


class Writer:
    """Writes plays as tokens; pieces are tokenised once and cached."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.encode = lru_cache(maxsize=None)(self._encode)

    def _encode(self, piece: str) -> tuple[int, ...]:
        assert "".join(pretokenize(piece)) == piece
        return tuple(self.tokenizer.encode(piece, add_special_tokens=False))

    @cached_property
    def openers(self) -> np.ndarray:
        """[3 * 4] token ids, class by class."""
        return np.array([self.encode(f" {word}")[0] for words in bt.OPENERS for word in words])

    @cached_property
    def phrases(self) -> list[tuple[int, ...]]:
        """Tokens of every phrase, level by level."""
        return [self.encode(phrase) for phrases in bt.PHRASES for phrase in phrases]

    @cached_property
    def branches(self) -> list[list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]]:
        """For each phrase, the places where others with the same beginning go another way: (place, those phrases, the
        tokens that can follow, which of these follows in each phrase)."""
        found = []
        for phrase in self.phrases:
            places = []
            for j in range(len(phrase)):
                same = [k for k, other in enumerate(self.phrases) if other[:j] == phrase[:j] and len(other) > j]
                tokens, which = np.unique([self.phrases[k][j] for k in same], return_inverse=True)
                if len(tokens) > 1:
                    places.append((j, np.array(same), tokens, which))
            found.append(places)
        return found

    def write(self, play: bt.Play, texts: list[BanditText], rng: np.random.Generator) -> Transcripts:
        """One episode a row of ``play``, episode i written in the way of ``texts[i]``."""
        episodes = [self._episode(play, i, text, rng) for i, text in enumerate(texts)]
        tokens, targets = zip(*episodes, strict=True)
        return padded(tokens, targets, self.tokenizer.pad_token_id, MAX_TARGETS)

    def _episode(
        self, play: bt.Play, i: int, text: BanditText, rng: np.random.Generator
    ) -> tuple[list[int], list[Target]]:
        tokens = [self.tokenizer.bos_token_id, *self.encode(text.instructions() + "\n")]
        targets: list[Target] = []

        def say(piece: tuple[int, ...] | list[int], soft: dict[int, Soft] | None = None) -> None:
            for j, token in enumerate(piece):
                chosen = (*soft[j], 1.0) if soft and j in soft else ((token,), (1.0,), FORM_WEIGHT)
                targets.append((len(tokens), *chosen))
                tokens.append(token)

        choose = self.encode(f"Action: I choose {text.noun}")
        numbers = (self.encode(" 1")[0], self.encode(" 2")[0])
        for t in range(len(play.arm)):
            lean, arm = play.lean[t][i], play.arm[t][i]
            if text.thoughts:
                tokens.extend(self.encode("Thought:"))
                self._think(say, play.q[t][i], play.level[t][i], play.opener[t][i], lean, text.noun, rng)
                say(self.encode(".\n"))
                say(choose)
                follow = bt.FOLLOW[play.level[t][i]]
            else:
                tokens.extend(choose)
                follow = play.q[t][i]
            p = (follow, 1 - follow) if lean == 0 else (1 - follow, follow)
            say([numbers[arm]], {0: (numbers, p)})
            say([*self.encode("."), self.tokenizer.eos_token_id])
            tokens.extend(self.encode(text.feedback(arm, play.reward[t][i]) + "\n"))
        return tokens, targets

    def _think(self, say, q, level, opener, lean, noun, rng) -> None:  # type: ignore[no-untyped-def]
        prior = bt.level_probabilities(q)
        hint = bt.opener_given_level()
        n_openers, n_phrases = len(bt.OPENERS[0]), len(bt.PHRASES[0])
        word = opener * n_openers + rng.integers(n_openers)
        say([self.openers[word]], {0: (self.openers, np.repeat(prior @ hint / n_openers, n_openers))})
        ahead = self.encode(" " + bt.LEANS[rng.integers(len(bt.LEANS))].format(noun=noun, arm=lean + 1))
        say(ahead, {1: ((ahead[1],), (1.0,))})  # the arm's number is a decision
        posterior = prior * hint[:, opener]
        weights = np.repeat(posterior / posterior.sum() / n_phrases, n_phrases)
        k = level * n_phrases + rng.integers(n_phrases)
        soft = {}
        for j, same, following, which in self.branches[k]:
            soft[j] = (following, np.bincount(which, weights[same]) / weights[same].sum())
        say(self.phrases[k], soft)
