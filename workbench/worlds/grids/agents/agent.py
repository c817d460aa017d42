"""A language model in a grid: the current grid as text in, one move out.

The agent has no memory: at every step it is prompted afresh with the grid as it is (arXiv 2602.08964), so a decision is
a function of the place and of a seed.  It samples its answer, after a written reasoning if its text asks for one, and
draws again when no move can be read from it; nothing is drawn behind an answer.  In *exact* mode the answer is not
sampled: the probabilities of the four are read off the model in one pass, at once or behind the reasoning that was
drawn, where an answer is then made to follow, and a move is drawn from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from workbench.errors import DataError, SpecError
from workbench.models.decoding import Completion, Score
from workbench.models.interventions import Intervention
from workbench.models.language_model import LanguageModel
from workbench.models.sampling import filter_logits
from workbench.seeding import derive_seed, uniforms
from workbench.worlds.grids.layouts import Layout, State
from workbench.worlds.grids.text import GridText
from workbench.worlds.moves import Move

Place = tuple[Layout, State]
_ROWS = 64  # scored at once on a CPU: more fall out of its cache and take longer each


@dataclass(frozen=True)
class GridDecision:
    """What the agent said at one place.

    ``move`` is None when no move could be read in any attempt: the agent then stays where it is.  ``completion`` and
    its ``tokens`` (without the end token) are those of the last attempt; in exact mode the answer that was drawn.
    ``probabilities`` [4] exist in exact mode, and ``outside_mass`` (else NaN): the model's own probability, where the
    answer is decided, of what is none of the four.  ``prompt``: the tokens that the decision was made from.
    """

    move: Move | None
    completion: str
    attempts: int
    probabilities: Float[np.ndarray, "4"] | None
    prompt: list[int]
    tokens: list[int]
    outside_mass: float = float("nan")


@dataclass(frozen=True)
class GridAgent:
    """A model that moves in grids written by ``text``.

    Temperature, top-p and the three ``attempts`` are the paper's (arXiv 2602.08964).  ``exact=True`` draws moves from
    the probabilities of the four answers; if the text has a reasoning, one is drawn first, and one of them made to
    follow.  Chat models are prompted through their chat template; others with the message on lines of its own.

    >>> from workbench.worlds.grids.mazes import make_layout
    >>> from workbench.models.tiny import tiny_model
    >>> layout = make_layout(5, 0.0, seed=1)
    >>> agent = GridAgent(tiny_model(), GridText(wording="short"), exact=True)
    >>> agent.probabilities([(layout, layout.initial)]).shape
    (1, 4)
    """

    model: LanguageModel
    text: GridText = field(default_factory=GridText)
    temperature: float = 0.7
    top_p: float = 0.95
    max_new_tokens: int = 64
    attempts: int = 3
    exact: bool = False

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise SpecError(f"attempts={self.attempts}: at least one is needed, 3 is usual")

    @property
    def answers(self) -> list[str]:
        """The answers of the four moves, as far as it tells them apart."""
        return [self.text.lead + ending for ending in self.text.endings]

    @property
    def opening(self) -> list[int]:
        """The tokens that all answers begin with: a direct answer is decided at the last of them."""
        asked = self._asked("a")  # all prompts end alike
        answers = [self.model.encode_continuation(answer, after=asked) for answer in self.answers]
        for shared, tokens in enumerate(zip(*answers, strict=False)):
            if len(set(tokens)) > 1:
                return answers[0][:shared]
        raise DataError(f"the tokenizer of {self.model.name} writes the answers of all moves alike")

    @property
    def _begun(self) -> int:
        """How many tokens of an answer are its lead, behind which the mass outside the answers is taken."""
        lead, opening = self.model.encode_continuation(self.text.lead, after=self._asked("a")), self.opening
        return len(lead) if opening[: len(lead)] == lead else len(opening)

    def prompt(self, layout: Layout, state: State) -> list[int]:
        """Tokens of the message about a place."""
        return self._asked(self.text.prompt(layout, state))

    def _asked(self, message: str) -> list[int]:
        if getattr(self.model.tokenizer, "chat_template", None):
            return self.model.encode([{"role": "user", "content": message}])
        return self.model.encode(message + "\n")

    def decide(
        self,
        places: Sequence[Place],
        seeds: Sequence[int],
        interventions: Sequence[Intervention] = (),
        progress: bool = False,
    ) -> list[GridDecision]:
        """A decision at each place; without interventions it depends on the place and its seed only.

        Row i of a per-row intervention acts at place i.  Raises :class:`DataError` unless there is a seed a place.
        """
        if len(places) != len(seeds):
            raise DataError(f"{len(seeds)} seeds for {len(places)} places: give one for each")
        if not len(places):
            return []
        prompts = [self.prompt(*place) for place in places]
        if not self.exact:
            return self._sample(prompts, seeds, interventions, progress)
        if self.text.reasoning:
            return self._answer_behind(prompts, seeds, interventions, progress)
        return self._draw(prompts, seeds, *self._score(prompts, interventions))

    def probabilities(
        self, places: Sequence[Place], interventions: Sequence[Intervention] = ()
    ) -> Float[np.ndarray, "places 4"]:
        """Probability of each move: the model's over the four answers, at the agent's temperature and top-p.

        They are those of answers that are one of the four; what else the model might write is left out.
        Raises :class:`SpecError` for a text with reasoning, whose move depends on what is written before.
        """
        return self.weighed(places, interventions)[0]

    def weighed(
        self, places: Sequence[Place], interventions: Sequence[Intervention] = ()
    ) -> tuple[Float[np.ndarray, "places 4"], Float[np.ndarray, " places"]]:
        """:meth:`probabilities`, and the mass outside of them: the model's own probability (at temperature 1) that,
        behind what all answers begin with, it writes none of the four as it was asked to."""
        if self.text.reasoning:
            raise SpecError("a move after a reasoning has no probability of its own: use GridText(reasoning=False)")
        return self._score([self.prompt(*place) for place in places], interventions)

    def _score(
        self, prompts: Sequence[list[int]], interventions: Sequence[Intervention]
    ) -> tuple[Float[np.ndarray, "places 4"], Float[np.ndarray, " places"]]:
        """Probabilities of the moves, and the mass outside the answers, where they are given at once."""
        if not prompts:
            return np.zeros((0, len(Move))), np.zeros(0)
        if interventions:  # rows may be steered each in its own way
            rows, places = list(prompts), np.arange(len(prompts))
        else:
            numbers: dict[tuple[int, ...], int] = {}
            places = np.array([numbers.setdefault(tuple(prompt), len(numbers)) for prompt in prompts])
            rows = [list(prompt) for prompt in numbers]
        scores, begun = self._scores(rows, [self.answers] * len(rows), interventions), self._begun
        whole = np.array([[score.logprob for score in row] for row in scores])
        behind = np.array([[sum(score.token_logprobs[begun:]) for score in row] for row in scores])
        return self.policy(whole)[places], _outside(behind)[places]

    def _scores(
        self, rows: list[list[int]], asked: Sequence[Sequence[Any]], interventions: Sequence[Intervention]
    ) -> list[list[Score]]:
        whole = bool(interventions) or self.model.device.type != "cpu"
        size, scores = len(rows) if whole else _ROWS, []
        for start in range(0, len(rows), size):
            scores += self.model.score(rows[start : start + size], asked[start : start + size], interventions)
        return scores

    def policy(self, logprobs: Float[np.ndarray, "rows 4"]) -> Float[np.ndarray, "rows 4"]:
        """Probabilities of the moves at the agent's temperature and top-p, from log-probabilities of the answers."""
        if self.temperature == 0:
            return np.eye(len(Move))[np.asarray(logprobs).argmax(1)]
        scaled = filter_logits(torch.as_tensor(logprobs, dtype=torch.float64), self.temperature, self.top_p)
        return np.asarray(scaled.double().softmax(-1).numpy())

    def _draw(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], table: np.ndarray, outside: np.ndarray
    ) -> list[GridDecision]:
        answers = [self.text.answer(move) for move in Move]
        encode = self.model.encode_continuation
        return [
            GridDecision(Move(move), answers[move], 1, p, prompt, encode(answers[move], after=prompt), float(left_out))
            for prompt, p, left_out, move in zip(
                prompts, table, outside, draw_moves(table, seeds).tolist(), strict=True
            )
        ]

    def _answer_behind(
        self, prompts: list[list[int]], seeds: Sequence[int], interventions: Sequence[Intervention], progress: bool
    ) -> list[GridDecision]:
        """A reasoning is drawn up to where an answer begins, and the four answers are scored behind it."""
        encode = self.model.encode_continuation
        drawn = self._generate(prompts, [1] * len(prompts), seeds, 1, interventions, progress)
        thoughts = [self.text.thought(said.text) for [said] in drawn]
        said = [encode(thought, after=prompt) for thought, prompt in zip(thoughts, prompts, strict=True)]
        lead = encode("\n" + self.text.lead, after="a thought")
        answers = [encode(ending, after=lead) for ending in self.text.endings]
        scores = self._scores(prompts, [[[*own, *lead, *end] for end in answers] for own in said], interventions)
        behind = np.array(
            [[sum(s.token_logprobs[-len(end) :]) for s, end in zip(row, answers, strict=True)] for row in scores]
        )
        table, outside = self.policy(behind), _outside(behind)
        found = []
        for i, move in enumerate(map(Move, draw_moves(table, seeds).tolist())):
            text = f"{thoughts[i]}\n{self.text.answer(move)}"
            tokens = encode(text, after=prompts[i])
            found.append(GridDecision(move, text, 1, table[i], prompts[i], tokens, float(outside[i])))
        return found

    def _generate(
        self, prompts: list[list[int]], wanted: Sequence[int], seeds: Sequence[int], attempt: int,
        interventions: Sequence[Intervention], progress: bool,
    ) -> list[list[Completion]]:  # fmt: skip
        """Completions up to the end of their answers; in exact mode up to where one begins."""
        stops = [self.text.lead] if self.exact else [self.text.answer(move) for move in Move]
        return self.model.generate(
            prompts, wanted, max_new_tokens=self.max_new_tokens, temperature=self.temperature, top_p=self.top_p,
            stop=stops, seeds=[derive_seed(int(seed), "attempt", attempt) for seed in seeds],
            interventions=interventions, progress=progress,
        )  # fmt: skip

    def _sample(
        self, prompts: list[list[int]], seeds: Sequence[int], interventions: Sequence[Intervention], progress: bool
    ) -> list[GridDecision]:
        decisions: list[GridDecision | None] = [None] * len(prompts)
        for attempt in range(1, self.attempts + 1):
            wanted = [int(decision is None or decision.move is None) for decision in decisions]
            if not any(wanted):
                break
            drawn = self._generate(prompts, wanted, seeds, attempt, interventions, progress)
            for i, completions in enumerate(drawn):
                for said in completions:
                    text, tokens = self.text.spoken(said.text), said.tokens
                    if text != said.text:
                        tokens = self.model.encode_continuation(text, after=prompts[i])
                    decisions[i] = GridDecision(self.text.parse(text), text, attempt, None, prompts[i], tokens)
        return [decision for decision in decisions if decision is not None]


def _outside(logprobs: np.ndarray) -> Float[np.ndarray, " rows"]:
    """What the probabilities of the four answers leave."""
    return np.clip(1 - np.exp(logprobs).sum(1), 0, 1)


def draw_moves(probabilities: ArrayLike, seeds: Sequence[int]) -> Int[np.ndarray, " rows"]:
    """One move a row, drawn from [rows, 4] probabilities with the row's seed; moves of probability 0 are never drawn.

    >>> draw_moves([[0, 0.5, 0, 0.5], [0, 0, 1, 0]], [1, 2]).tolist()
    [3, 2]
    """
    cumulative = np.asarray(probabilities, dtype=np.float64).cumsum(1)
    draw = uniforms(np.array([derive_seed(int(seed), "pick") for seed in seeds], dtype=np.uint64), 0)
    return (cumulative <= (draw * cumulative[:, -1])[:, None]).sum(1)
