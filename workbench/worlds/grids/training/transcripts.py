"""Grid states -> token sequences with soft targets: the transcripts that ``grid-agent`` learns from.

A transcript is one decision: the prompt with the grid, then the teacher's answer, at once or after a reasoning that
names where the agent and the goal are and the next moves of a shortest path.  Where several moves are optimal the
teacher draws one, and the target is the teacher's exact distribution (uniform over A*(s)) instead of the drawn move.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from workbench.models.tokenizers import word_tokenizer
from workbench.training.recipes import Target, Transcripts, padded
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.mazes import make_layout
from workbench.worlds.grids.text import GridText
from workbench.worlds.moves import Move

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PLANNED_MOVES = 5
LARGEST = 15
DECISION, PLACE, FORM = 1.0, 0.5, 0.1  # weights in the loss


class Piece(NamedTuple):
    """A word of the answer: its text, weight, and for a decision the move taken and those that are as good."""

    text: str
    weight: float
    move: Move | None = None
    optimal: tuple[Move, ...] = ()


def grid_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of ``grid-agent``: the marks and numbers of grids up to 15 x 15, the rules, the teacher's words.

    >>> len(grid_tokenizer().tokenize("+ 0 1\\n0 # _")), grid_tokenizer().tokenize('{"action": 3}')
    (7, ['{"', 'action', '":', ' 3', '}'])
    """
    layout = make_layout(LARGEST, 0.4, "KeyDoor", seed=0)
    texts = [GridText(reasoning).prompt(layout, layout.initial) for reasoning in (False, True)]
    answers = ["".join(piece.text for piece in teach(layout, layout.initial, True, np.random.default_rng(0)))]
    moves = [f" {move.name} {move.name}" for move in Move]
    return word_tokenizer(texts + answers + moves, max_integer=LARGEST)


def teach(layout: Layout, state: State, reasoning: bool, rng: np.random.Generator) -> list[Piece]:
    """The teacher's answer, word by word.

    >>> layout = make_layout(5, 1.0, seed=2)
    >>> pieces = teach(layout, layout.initial, True, np.random.default_rng(0))
    >>> print("".join(piece.text for piece in pieces))
    At 1 2. Goal 2 3. Go RIGHT 1 3 DOWN 2 3.
    {"action": 1}
    """
    pieces, first = [], None
    if reasoning:
        row, column = state.cell
        pieces += [Piece("At", FORM), Piece(f" {row}", PLACE), Piece(f" {column}", PLACE), Piece(".", FORM)]
        row, column = layout.goal
        pieces += [Piece(" Goal", FORM), Piece(f" {row}", PLACE), Piece(f" {column}", PLACE), Piece(".", FORM)]
        pieces.append(Piece(" Go", FORM))
        here = state
        for _ in range(PLANNED_MOVES):
            best = layout.optimal_moves(here)
            if not best:
                break
            move = best[rng.integers(len(best))]
            here = layout.after(here, move)
            first = move if first is None else first
            pieces.append(Piece(f" {move.name}", DECISION, move, best))
            pieces += [Piece(f" {here.cell[0]}", PLACE), Piece(f" {here.cell[1]}", PLACE)]
        pieces += [Piece(".", PLACE), Piece("\n", FORM)]
        best = () if first is None else (first,)
    else:
        best = layout.optimal_moves(state)
        first = best[rng.integers(len(best))]
    assert first is not None, "a state without a way to the goal teaches nothing"
    pieces += [Piece(GridText().lead, FORM), Piece(f" {int(first)}", DECISION, first, best), Piece("}", FORM)]
    return pieces


class GridWriter:
    """Writes decisions as tokens; words are tokenised once."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.encode = lru_cache(maxsize=None)(self._encode)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def prompt(self, text: GridText, layout: Layout, state: State) -> list[int]:
        """Tokens of a prompt, line by line (rows of walls repeat, so most are in the cache)."""
        tokens = [self.tokenizer.bos_token_id]
        for line in text.prompt(layout, state).split("\n"):
            tokens += [*self.encode(line), *self.encode("\n")]
        return tokens

    def write(
        self, places: Sequence[tuple[Layout, State]], reasoning: Sequence[bool], rng: np.random.Generator
    ) -> Transcripts:
        """One decision a row."""
        rows, targets = [], []
        for (layout, state), think in zip(places, reasoning, strict=True):
            tokens = self.prompt(GridText(reasoning=think), layout, state)
            own: list[Target] = []
            for piece in teach(layout, state, think, rng):
                for token in self.encode(piece.text):
                    choices = self._choices(piece) or (token,)
                    own.append((len(tokens), choices, 1 / len(choices), piece.weight))
                    tokens.append(token)
            own.append((len(tokens), (self.tokenizer.eos_token_id,), 1.0, FORM))
            tokens.append(self.tokenizer.eos_token_id)
            rows.append(tokens)
            targets.append(own)
        return padded(rows, targets, self.tokenizer.pad_token_id, len(Move))

    def _choices(self, piece: Piece) -> tuple[int, ...]:
        """The tokens that would have been as good."""
        names = (piece.text.replace(_word(piece), _word(piece._replace(move=move))) for move in piece.optimal)
        return tuple(self.encode(name)[0] for name in names)


def _word(piece: Piece) -> str:
    """How the piece's move stands in its text: by name in a plan, by number in the answer."""
    assert piece.move is not None
    return piece.move.name if piece.text.strip().isalpha() else str(int(piece.move))
