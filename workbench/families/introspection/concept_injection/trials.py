"""Many trials as one batch: every row has its own vector, layer, multiplier and injected stretch of tokens.

What comes before the injection is the same in all rows of a question, so it is computed once and its keys and values
are handed to all rows; a row then costs its own trial text and its reply.  A completion depends on its prompt, vector
and seed alone, not on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from steering.interventions import Add
from steering.vectors import SteeringVector
from workbench.errors import DataError
from workbench.models.cache import PromptCache, common_prefix
from workbench.models.decoding import Decoder, Sampling
from workbench.models.interventions import Scope, Where
from workbench.models.language_model import LanguageModel
from workbench.models.memory import slot_budget
from workbench.models.sampling import how_to_sample
from workbench.models.trees import Leaf, Tree, seeded_leaves
from workbench.progress import progress_bar

MOST_ROWS = 128  # a larger batch saves little, and its padding and masks cost


@dataclass(frozen=True, eq=False)
class Trial:
    """One prompt (tokens) with ``multiplier`` times ``vector`` added at positions [start, stop) of the vector's site.

    ``stop`` None: to the end, every generated token included.  ``draws`` completions are sampled with ``seed``;
    ``answers`` (tokens each) are scored as the reply's beginning.
    """

    tokens: Sequence[int]
    start: int = 0
    stop: int | None = None
    vector: SteeringVector | None = None
    multiplier: float = 0.0
    seed: int = 0
    draws: int = 1
    answers: tuple[tuple[int, ...], ...] = ()

    @property
    def injected(self) -> bool:
        """Whether anything is added at all."""
        return self.vector is not None and self.multiplier != 0


@dataclass(frozen=True)
class Outcome:
    """Completions of a trial as texts and tokens, and log-probabilities (nats) of its answers."""

    texts: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    tokens: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class RowWindows(Scope):
    """A scope whose positions [start, stop) are each row's own.

    >>> where = Where(torch.tensor([[0, 1, 2]]), torch.tensor([[1, 1, 1]]), torch.tensor([[2, 2, 2]]))
    >>> RowWindows(starts=torch.tensor([9, 1]), stops=torch.tensor([10, 2])).mask(where)
    tensor([[False,  True, False]])
    """

    starts: Int[Tensor, " rows"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    stops: Int[Tensor, " rows"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    def mask(self, where: Where) -> Bool[Tensor, "batch pos"]:
        """True within each row's own window; padding (position -1) is in no window."""
        rows = where.rows.clamp(min=0)
        starts, stops = (each.to(rows.device)[rows] for each in (self.starts, self.stops))
        return (where.positions >= starts) & (where.positions < stops) & (where.positions >= 0)

    def first_position(self, prompt_length: int) -> int | None:
        """The earliest position that any row touches."""
        return int(self.starts.min()) if len(self.starts) else None


def run_trials(
    model: LanguageModel,
    trials: Sequence[Trial],
    *,
    max_new_tokens: int = 64,
    temperature: float | None = None,
    progress: bool = False,
) -> list[Outcome]:
    """Completions and answer scores of every trial, in order; without a ``temperature`` they are sampled as the model's
    authors have it.

    Raises :class:`ArtifactError` for a vector of another model, :class:`ModelError` when prompts are too long.

    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> some = [Trial(model.encode("a b c"), draws=2, answers=((5,), (6,)))]
    >>> [(len(o.texts), len(o.logprobs)) for o in run_trials(model, some, max_new_tokens=3)]
    [(2, 2)]
    """
    if not trials:
        return []
    model._check_room([list(trial.tokens) for trial in trials], max_new_tokens)
    how = how_to_sample(model.sampling, {"temperature": temperature})
    sampling = Sampling(max_new_tokens, **how, eos=model.end_tokens())
    chunks = _chunks(model, trials, max_new_tokens)
    with progress_bar(sum(t.draws for t in trials), progress, "trials") as advance, torch.inference_mode():
        found = [_run_chunk(model, chunk, sampling, advance) for chunk in chunks]
    return [outcome for outcomes in found for outcome in outcomes]


def _chunks(model: LanguageModel, trials: Sequence[Trial], new_tokens: int) -> Iterator[list[Trial]]:
    """Trials in order, as many at once as fit into memory."""
    budget = slot_budget(model.backend)
    chunk: list[Trial] = []
    width = 0
    for trial in trials:
        own = len(trial.tokens) + max(trial.draws * new_tokens, sum(map(len, trial.answers)))
        if chunk and (len(chunk) == MOST_ROWS or max(width, own) * (len(chunk) + 1) > budget):
            yield chunk
            chunk, width = [], 0
        chunk.append(trial)
        width = max(width, own)
    yield chunk


def _run_chunk(
    model: LanguageModel, trials: Sequence[Trial], sampling: Sampling, advance: Callable[[int], object]
) -> list[Outcome]:
    interventions = injections(model, trials)
    cache = _shared_prefix(model, trials)
    answers = [[Leaf(row, tokens=list(answer)) for answer in trial.answers] for row, trial in enumerate(trials)]
    if any(answers):
        Decoder(model.backend, interventions).run(_trees(trials, answers), cache)
    replies = seeded_leaves([trial.draws for trial in trials], [trial.seed for trial in trials])
    if any(replies):
        Decoder(model.backend, interventions, sampling, advance).run(_trees(trials, replies), cache)
    return [
        Outcome(
            [model.decode(leaf.tokens, after=trial.tokens) for leaf in drawn],
            [sum(leaf.token_logprobs) for leaf in scored],
            [tuple(leaf.tokens) for leaf in drawn],
        )
        for trial, drawn, scored in zip(trials, replies, answers, strict=True)
    ]


def _trees(trials: Sequence[Trial], leaves: Sequence[list[Leaf]]) -> list[Tree]:
    """One tree a trial: rows of a batch never share what comes after the injection."""
    return [Tree(list(trial.tokens), row, own) for row, (trial, own) in enumerate(zip(trials, leaves, strict=True))]


def injections(model: LanguageModel, trials: Sequence[Trial]) -> list[Add]:
    """One :class:`Add` a site, with a vector, multiplier and window for every row (multiplier 0 at the other rows)."""
    vectors = [t.vector.for_model(model) if t.vector is not None and t.injected else None for t in trials]
    adds = []
    for site in dict.fromkeys(vector.site for vector in vectors if vector is not None):
        own = [v if v is not None and v.site == site else None for v in vectors]
        rows = torch.stack([torch.zeros(model.d_model) if v is None else v.vector for v in own])
        multipliers = torch.tensor([0.0 if v is None else t.multiplier for v, t in zip(own, trials, strict=True)])
        adds.append(Add(rows, multipliers, site=site, scope=_windows(trials)))
    return adds


def _windows(trials: Sequence[Trial]) -> RowWindows:
    for trial in trials:
        if trial.injected and not 0 <= trial.start < (len(trial.tokens) if trial.stop is None else trial.stop):
            raise DataError(f"a trial injects nowhere: positions {trial.start} to {trial.stop}")
    endless = torch.iinfo(torch.long).max
    stops = torch.tensor([endless if trial.stop is None else trial.stop for trial in trials])
    return RowWindows(starts=torch.tensor([trial.start for trial in trials]), stops=stops)


def _shared_prefix(model: LanguageModel, trials: Sequence[Trial]) -> PromptCache:
    """A cache whose rows already hold what all prompts have in common before anything is injected."""
    first = list(trials[0].tokens)
    length = min(min(common_prefix(first, list(trial.tokens)), len(trial.tokens) - 1) for trial in trials)
    length = min([length, *(trial.start for trial in trials if trial.injected)])
    cache = model.prompt_cache()
    if length and len(trials) > 1:
        Decoder(model.backend).grow_shared([Tree(first[: length + 1], 0, [])], cache)
        cache.select([0] * len(trials))
    return cache
