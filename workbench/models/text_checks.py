"""What is checked of a language model: completions and scores, beside what is checked of every model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.models.cache import PromptCache
from workbench.models.hf import HuggingFaceBackend
from workbench.models.hooked_checks import EXACT, AddVector, HookedChecks
from workbench.models.interventions import Scope
from workbench.models.language_model import LanguageModel
from workbench.models.reference import worst
from workbench.models.report import Check
from workbench.models.sampling import sample
from workbench.models.sharing import SHARED, path_of
from workbench.models.trees import seeded_leaves
from workbench.models.widths import special_widths
from workbench.seeding import uniforms
from workbench.sites import Site

_N = 3  # completions, or continuations, of a prompt
# Operations that the check of long prompts may cost: about a minute on two cores, on a GPU seconds.
_OPERATIONS = {"cpu": 3e12, "cuda": 1e15}
_PASSES = 2 * _N + 2  # over a long prompt


class Judged(NamedTuple):
    """A completion: how far the numbers that its tokens were drawn with are ``outside`` of the tokens' share of the
    reference's probability, and how far its log-probability is ``off``."""

    outside: float
    off: float


class TextChecks(HookedChecks):
    """Checks of a language model.

    Sampled and scored tokens are judged one by one, given those before them, by the reference's logits behind them; a
    log-probability is as exact as those are, so its error counts relative to the largest of them.
    """

    model: LanguageModel

    def __init__(self, model: LanguageModel, reference: Any = None) -> None:
        super().__init__(model, reference)
        self.seeds = list(range(len(self.prompts)))
        self.long_prompt = self.random(self._long(), 7)

    def checks(self) -> list[Check]:
        """What to run, in order."""
        # In half precision a rounding may turn a draw, so there completions prove nothing.
        tokens = EXACT if self.close <= 1e-5 else 1.0
        return [
            *super().checks(),
            Check("greedy steered tokens equal the reference", self.greedy, self.close),
            Check("sampled tokens are those of a plain loop", self.drawn, self.close),
            Check("log-probabilities of completions equal the reference", self.completed, self.close),
            Check("scores equal the reference", self.scores, self.close),
            Check("a cache kept across turns changes nothing", self.turns, self.close),
            Check("long prompts are scored and continued as short ones", self.long, self.close, self._long_note()),
            Check("completions do not depend on the batch", self.batch, tokens),
            Check("rows share a batch where they may in plain Hugging Face", self.sharing, EXACT),
        ]

    def random(self, length: int, seed: int) -> list[int]:
        """Random tokens."""
        return super().random(length, seed).tolist()

    # ---- completions

    def greedy(self) -> float:
        """A token is off by as much as its logit lies below the best one."""
        steer = [self._steer(self.vectors)]
        found = self.model.generate(self.prompts, max_new_tokens=self.new, temperature=0, interventions=steer)
        below = []
        for prompt, (completion,), vector in zip(self.prompts, found, self.vectors, strict=True):
            logits = self._behind(prompt, completion.tokens, vector)
            below += ((logits.amax(-1) - _at(logits, completion.tokens)) / _size(logits)).tolist()
        return worst(below)

    @cached_property
    def sampled(self) -> list[Judged]:
        """Steered completions of each prompt."""
        return self._judged(self.prompts, self.vectors)

    def drawn(self) -> float:
        """How far draws are outside of what the reference's probabilities give their tokens: with tens of thousands of
        tokens, one that falls between two of them may turn by rounding."""
        return worst(one.outside for one in self.sampled)

    def completed(self) -> float:
        return worst(one.off for one in self.sampled)

    def batch(self) -> float:
        def draw(prompts: list[list[int]], seeds: list[int]) -> list[list[list[int]]]:
            found = self.model.generate(prompts, n=2, max_new_tokens=self.new, temperature=1.0, seeds=seeds)
            return [[completion.tokens for completion in row] for row in found]

        together = draw(self.prompts, self.seeds)
        alone = [draw([prompt], [seed])[0] for prompt, seed in zip(self.prompts, self.seeds, strict=True)]
        return sum(a != b for a, b in zip(together, alone, strict=True)) / len(alone)

    # ---- scores

    def scores(self) -> float:
        return worst([self._score_gap(self.prompts), self._score_gap(self.prompts, self.vectors)])

    def turns(self) -> float:
        cache, longer = self.model.prompt_cache(), [prompt + self.random(1, 0) for prompt in self.prompts]
        return worst([self._score_gap(prompts, cache=cache) for prompts in (self.prompts, longer)])

    def long(self) -> float:
        """Beside a short one: one that reaches beyond windows and chunks, its leaves far beyond."""
        prompts = [self.long_prompt, self.prompts[0]]
        return worst([self._score_gap(prompts), *(one.off for one in self._judged(prompts, self.vectors[:2]))])

    def _long(self) -> int:
        """Tokens of a prompt that is longer than every width at which attention may change, or as long as can be."""
        return max(1, min(self._width(), self._affordable(), self.limit - self.new))

    def _width(self) -> int:
        widths = [width for width in special_widths(self.model.backend.hf_model) if width < self.limit]
        return max(widths, default=len(self.prompts[0])) + 2 * self.new

    def _affordable(self) -> int:
        weights = sum(weight.numel() for weight in self.model.backend.hf_model.parameters())
        return int(_OPERATIONS.get(self.model.device.type, _OPERATIONS["cpu"]) / (2 * weights * _PASSES))

    def _long_note(self) -> str:
        reached, wanted = len(self.long_prompt), min(self._width(), self.limit - self.new)
        return "" if reached >= wanted else f"left out: prompts of {reached + 1} to {wanted} tokens, which take long"

    def sharing(self) -> float:
        """Decoding works around rows that cannot share a batch: that is to be the model's doing, not the back end's."""
        tokens, slots = len(self.long_prompt) + self.new, len(self.long_prompt) + _N * self.new
        found = path_of(self.model.backend, tokens, slots)
        plain = path_of(HuggingFaceBackend(self.reference.hf_model), tokens, slots)
        if found.name != SHARED == plain.name:
            raise AssertionError(f"{found.reason} on this back end only")
        return 0.0

    # ---- pieces

    def _steer(self, vectors: Tensor) -> AddVector:
        return AddVector(Site(self.middle), vectors, Scope.parse("prompt[-1:]+generation"))

    def _behind(self, prompt: list[int], tokens: list[int], vector: Tensor | None = None) -> Tensor:
        """The reference's logits [pos, vocab] behind each of ``tokens``."""
        logits = self.reference.logits(prompt + tokens[:-1], self.middle, vector, len(prompt) - 1)
        return logits[len(prompt) - 1 :][: len(tokens)].float()

    def _judged(self, prompts: Sequence[list[int]], vectors: Tensor) -> list[Judged]:
        """``_N`` steered completions of each prompt."""
        options: dict[str, Any] = {"max_new_tokens": self.new, "temperature": 1.0, "seeds": self.seeds[: len(prompts)]}
        found = self.model.generate(prompts, _N, **options, interventions=[self._steer(vectors)])
        leaves, judged = seeded_leaves([_N] * len(prompts), options["seeds"]), []
        for prompt, completions, own, vector in zip(prompts, found, leaves, vectors, strict=True):
            for completion, leaf in zip(completions, own, strict=True):
                end = [0] if completion.finish == "eos" else []  # behind the last token an end was drawn, whichever
                logits = self._behind(prompt, completion.tokens + end, vector)
                seed = np.array([leaf.seed], dtype=np.uint64)
                drawn = [int(sample(x[None], seed, step)) for step, x in enumerate(logits)]
                tokens = completion.tokens + drawn[len(completion.tokens) :]
                outside = _outside(logits, tokens, seed)
                expected = _at(logits.log_softmax(-1), tokens).sum()
                off = abs(completion.logprob - expected) / _size(logits).sum()
                judged.append(Judged(outside, float(off)))
        return judged

    def _score_gap(
        self, prompts: Sequence[list[int]], vectors: Tensor | None = None, cache: PromptCache | None = None
    ) -> float:
        """Continuations of several lengths, scored at once, against the reference."""
        off: list[float] = []
        parts = [self.random(max(1, self.new - k), k) for k in range(_N)]
        steer = [] if vectors is None else [self._steer(vectors)]
        found = self.model.score(prompts, [parts] * len(prompts), steer, cache)
        for row, (prompt, scores) in enumerate(zip(prompts, found, strict=True)):
            for part, score in zip(parts, scores, strict=True):
                logits = self._behind(prompt, part, None if vectors is None else vectors[row])
                apart = _at(logits.log_softmax(-1), part) - logits.new_tensor(score.token_logprobs)
                off += (apart.abs() / _size(logits)).tolist()
        return worst(off)


def _at(values: Tensor, tokens: list[int]) -> Tensor:
    """The entries [pos] of [pos, vocab] at a token each."""
    return values[torch.arange(len(tokens), device=values.device), tokens]


def _outside(logits: Tensor, tokens: list[int], seed: np.ndarray) -> float:
    """The largest distance of a draw from its token's part of the cumulative probability, by the logits' size."""
    below = logits.double().softmax(-1).cumsum(-1)
    high, least = _at(below, tokens), _at(logits.double().softmax(-1), tokens)
    draws = torch.tensor([float(uniforms(seed, step)[0]) for step in range(len(tokens))], device=below.device)
    draws = draws * below[:, -1]
    apart = torch.maximum(high - least - draws, draws - high).clamp(min=0)
    return worst((apart / _size(logits)).tolist())


def _size(logits: Tensor) -> Tensor:
    """[pos], how large the logits [pos, vocab] are, at least 1."""
    return logits.abs().amax(-1).clamp(min=1)
