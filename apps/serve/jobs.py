"""A request as the worker sees it: prompts, how their completions are drawn, and where what comes of it is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.serve.refusals import Refusal
from apps.serve.texts import visible
from workbench.models.decoding import Sampling
from workbench.models.interventions import Intervention
from workbench.models.rolling import OwnLeaf
from workbench.models.sampling import HowToSample
from workbench.models.trees import Leaf, seeded_leaves

CANCELLED = "cancelled"  # the finish of a completion that nobody waits for


@dataclass(frozen=True)
class Said:
    """A token: its text, its log-probability (None for the first of a prompt), and the likeliest in its place."""

    text: str
    logprob: float | None
    top: list[tuple[str, float]]


@dataclass(frozen=True)
class Piece:
    """What a completion has grown by: text, the tokens of it where their log-probabilities were asked for, and how it
    ended, if it did."""

    index: int  # of the completion in the request
    text: str
    tokens: list[Said]
    finish: str | None


@dataclass(frozen=True)
class Reading:
    """Tokens of a stretch of text, and for each probe its scores at them."""

    tokens: list[str]
    scores: dict[str, list[Any]]


@dataclass(frozen=True)
class Done:
    """The end of a request."""

    prompts: list[list[Said]]  # of those whose echo was asked for
    prompt_readings: list[Reading]
    readings: list[Reading]  # one a completion


Event = Piece | Done | Refusal


@dataclass(eq=False)
class Written:
    """A completion and what was sent of it."""

    index: int
    leaf: OwnLeaf
    prompt: list[int]
    text: str = ""
    shown: int = 0  # characters that were sent
    waiting: list[Said] = field(default_factory=list)  # tokens whose text was not sent yet
    seen: int = 0  # tokens that were put into ``waiting``
    ended: bool = False

    def piece(self, stops: Sequence[str], finish: str | None) -> Piece | None:
        """What is new to show, if anything is."""
        new = visible(self.text, stops, finish is not None)[self.shown :]
        if not new and finish is None:
            return None
        self.shown += len(new)
        tokens, self.waiting = self.waiting, []
        return Piece(self.index, new, tokens, finish)


@dataclass(eq=False)
class Job:
    """A request.  ``send`` is called by the worker, in its thread, with what becomes of it, up to a :class:`Done` or a
    :class:`Refusal`; ``cancel`` may be called by any."""

    prompts: list[list[int]]
    n: int
    new_tokens: int
    how: HowToSample
    stops: tuple[str, ...]
    seed: int
    ends: frozenset[int]
    interventions: list[Intervention]
    readouts: list[str]
    top: int | None  # how many of the likeliest tokens are sent with each; None: no log-probabilities
    echo: bool
    says_end: bool  # whether an end token counts among those whose log-probabilities are sent
    stream: bool
    decode: Callable[[Leaf, list[int]], str]
    send: Callable[[Event], None]
    cancelled: bool = False
    alone: bool = False  # run without company, after something went wrong in it
    written: list[list[Written]] = field(default_factory=list)
    prompts_said: list[list[Said]] = field(default_factory=list)

    def __post_init__(self) -> None:
        seeds = seeded_leaves([self.n if self.new_tokens else 0] * len(self.prompts), self.seed)
        for row, (prompt, own) in enumerate(zip(self.prompts, seeds, strict=True)):
            self.written.append([])
            for k, each in enumerate(own):
                new = Written(row * self.n + k, OwnLeaf(row, each.seed), prompt)
                new.leaf.sampling = Sampling(self.new_tokens, **self.how, eos=self.ends, stopped=self._stopped(new))
                self.written[row].append(new)

    def _stopped(self, written: Written) -> Callable[[Leaf], bool] | None:
        if not self.stops and not self.stream:
            return None

        def stopped(leaf: Leaf) -> bool:
            written.text = self.decode(leaf, written.prompt)
            return any(stop in written.text for stop in self.stops)

        return stopped

    @property
    def rows(self) -> int:
        """Completions, or prompts that are only read."""
        return len(self.prompts) * max(1, self.n if self.new_tokens else 1)

    @property
    def leaves(self) -> list[list[OwnLeaf]]:
        """Of each prompt."""
        return [[each.leaf for each in own] for own in self.written]

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self.cancelled = True

    def again(self) -> None:
        """Begin anew without company; what was sent already stands, since the same tokens come again."""
        self.alone = True
        for own in self.written:
            for each in own:
                each.leaf.finish = CANCELLED  # in the batch that it leaves
                each.leaf = OwnLeaf(each.leaf.row, each.leaf.seed, sampling=each.leaf.sampling)
                each.text, each.ended = "", False
