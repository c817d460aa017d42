"""What learning by gradient needs: pairs as token trees, parameters at a site, and the steps.

Completions of a prompt are the leaves of one token tree (:mod:`workbench.models.trees`), so the prompt is run once a
step, without gradients, and so is everything below the site.  Lengths are in doses (shares of the residual stream's
norm at the site), so the same settings serve every layer and model.  The same seed gives the same result on one
machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from steering.vectors import SteeringVector
from workbench.arguments import integer, number, shown, text
from workbench.errors import DataError, ModelError, SiteError, SpecError
from workbench.models.backend import Backend
from workbench.models.cache import PromptCache
from workbench.models.fingerprint import stamp_of
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Intervention, Scope
from workbench.models.sharing import SHARED, path_of
from workbench.models.trees import Leaf, Tree, run_shared, run_stretches, whole_leaves
from workbench.progress import progress_bar
from workbench.seeding import derive_seed
from workbench.sites import Site

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel

_KEYS = ("prompt", "positive", "negative")


@dataclass(frozen=True)
class Learning:
    """How something is learned: Adam at a rate that falls to 0 in a straight line.

    ``epochs``: times that every pair is seen.  ``batch``: pairs a step.  ``lr``: how far the first steps go, as a dose.
    ``max_dose``: the length that a vector is held to, as a dose (above .5 or so text falls apart).  ``seed``: of the
    order of the pairs.
    """

    epochs: int = 5
    batch: int = 4
    lr: float = 0.03
    max_dose: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            integer(getattr(self, name), name, least=1)
        for name in ("lr", "max_dose"):
            if not number(getattr(self, name), name, 0):
                raise SpecError(f"{name} must be above 0")
        integer(self.seed, "seed", least=0)


# ---- data


def triple(pair: Any) -> tuple[Any, str, str]:
    """Prompt, positive and negative completion ("" where there is none)."""
    if isinstance(pair, Mapping):
        if not {"prompt", "positive"} <= pair.keys():
            raise DataError(
                f"a pair has the keys {', '.join(map(str, pair))}: prompt, positive and negative are needed"
            )
        pair = [pair[key] for key in _KEYS if key in pair]
    if not isinstance(pair, list | tuple) or len(pair) not in (2, 3):
        raise DataError(f"a pair is (prompt, positive, negative), not {shown(pair)}")
    prompt, *completions = pair
    positive, negative = [text(each, "a completion") for each in completions] + [""] * (3 - len(pair))
    return prompt, positive, negative


@dataclass(frozen=True)
class Completions:
    """Prompts with the completions that grow from them, once for each of ``n_signs`` ways to steer: the leaves of
    pair k steered in way s are of row ``n_signs * k + s``."""

    trees: list[Tree]

    @classmethod
    def of(cls, model: LanguageModel, items: list[tuple[Any, ...]], signs: tuple[int, ...]) -> Completions:
        if not items:
            raise DataError("there are no pairs to learn from")
        end = [] if model.tokenizer.eos_token_id is None else [int(model.tokenizer.eos_token_id)]
        prompts = model.encode_all([prompt for prompt, *_ in items])
        trees = []
        for k, (prompt, (given, *texts)) in enumerate(zip(prompts, items, strict=True)):
            tokens = [model.encode_continuation(each, after=given) for each in texts]
            if not all(tokens):
                raise DataError(f"pair {k} lacks a completion, or it is empty: (prompt, positive, negative) is needed")
            rows = [len(signs) * k + s for s in range(len(signs))]
            trees.append(Tree(prompt, rows[0], [Leaf(row, tokens=[*one, *end]) for row in rows for one in tokens]))
        longest = max(len(t.prompt) + max(len(leaf.tokens) for leaf in t.leaves) for t in trees)
        path = path_of(model.backend, longest, max(len(t.prompt) + sum(len(x.tokens) for x in t.leaves) for t in trees))
        if path.name != SHARED:
            raise ModelError(
                f"{model.name} cannot run several completions in one row, so none are learned from: {path.reason}"
            )
        limit = getattr(model.config, "max_position_embeddings", None)
        if limit and longest > limit:
            raise ModelError(f"a pair has {longest} tokens, more than the {limit} positions of {model.name}")
        return cls(trees)

    def logprobs(
        self, which: list[int], backend: Backend, interventions: Sequence[Intervention]
    ) -> Float[Tensor, "pairs leaves"]:
        """Log-probability of each completion of some pairs, in nats."""
        trees, cache = [self.trees[k] for k in which], PromptCache.of(backend)
        with torch.no_grad():
            run_shared(backend, trees, cache)
        logits = run_stretches(backend, trees, whole_leaves(trees), cache, interventions)  # [tree pos vocab]
        assert logits is not None
        return torch.stack([_of_leaves(row, tree) for row, tree in zip(logits, trees, strict=True)])


def _of_leaves(logits: Float[Tensor, "pos vocab"], tree: Tree) -> Float[Tensor, " leaves"]:
    lengths = [len(leaf.tokens) for leaf in tree.leaves]
    parts = logits[: sum(lengths)].float().log_softmax(-1).split(lengths)
    return torch.stack(
        [part[range(n), leaf.tokens].sum() for part, n, leaf in zip(parts, lengths, tree.leaves, strict=True)]
    )


# ---- learning


class Course:
    """Parameters at a site of a model, and the steps that they are learned in."""

    def __init__(self, model: LanguageModel, site: Any, learning: Learning, scope: Any) -> None:
        if model.basis != "raw":
            raise ModelError(f"{model.name} is in basis {model.basis!r}: learn on the hf back end")
        self.model, self.learning, self.scope = model, learning, Scope.parse(scope)
        self.backend, self.site = HuggingFaceBackend(model.backend.hf_model), Site.parse(site).resolve(model.n_layers)
        if self.site.component not in self.backend.steerable:
            raise SiteError(self.backend.why_not(self.site.component, self.backend.steerable))
        long = 1_000_000
        first = self.scope.first_position(long)
        if first is None or first < long - 1:
            raise SpecError(
                f"scope {self.scope}: what is learned acts from the last prompt token on, prompt[-1:]+generation"
            )
        self.norm = model.residual_norm(self.site)

    def parameter(self) -> Float[Tensor, " d"]:
        """Zeros to be learned."""
        return torch.zeros(self.model.d_model, device=self.model.device, requires_grad=True)

    def run(
        self, n: int, loss: Callable[[list[int]], Tensor], bounds: dict[Tensor, float | None], progress: bool
    ) -> list[float]:
        """Learn the keys of ``bounds``, each held to that length; the mean loss of every epoch."""
        how = self.learning
        optimizer = torch.optim.Adam(list(bounds), lr=how.lr / self.model.d_model**0.5)  # a step is lr long
        steps = [batch for epoch in range(how.epochs) for batch in _batches(n, how.batch, how.seed, epoch)]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(steps))
        found = []
        with _frozen(self.model.backend.hf_model), progress_bar(len(steps), progress, "learning") as advance:
            for batch in steps:
                optimizer.zero_grad()
                with torch.enable_grad():
                    value = loss(batch)
                    value.backward()
                optimizer.step()
                schedule.step()
                for parameter, bound in bounds.items():
                    _hold(parameter, bound)
                found.append((value.item() * len(batch), len(batch)))
                advance(1)
        if not np.isfinite([total for total, _ in found]).all():
            raise ModelError(
                f"the loss at {self.site} of {self.model.name} is not finite: take a smaller lr or another site"
            )
        epochs = np.array(found).reshape(how.epochs, -1, 2).sum(1)
        return [round(float(total / count), 6) for total, count in epochs]

    def vector(self, direction: Tensor, name: str, metadata: dict[str, Any]) -> SteeringVector:
        """What was learned, in activation units."""
        values = (self.norm * direction.detach()).cpu()
        how = {key: getattr(self.learning, key) for key in ("epochs", "batch", "lr", "max_dose", "seed")}
        told = metadata | {"learning": how, "scope": str(self.scope)}
        return SteeringVector(
            self.site, values, name=name, metadata=told, residual_norm=self.norm, **stamp_of(self.model)
        )


def _batches(n: int, batch: int, seed: int, epoch: int) -> list[list[int]]:
    order = np.random.default_rng(derive_seed(seed, "pairs", epoch)).permutation(n).tolist()
    return [order[start : start + batch] for start in range(0, n, batch)]


def _hold(parameter: Tensor, bound: float | None) -> None:
    if bound is not None:
        with torch.no_grad():
            parameter.mul_(min(1.0, bound / max(float(parameter.norm()), 1e-12)))


@contextmanager
def _frozen(hf_model: Any) -> Iterator[None]:
    """No gradients for the weights, which are as they were afterwards."""
    thawed = [parameter for parameter in hf_model.parameters() if parameter.requires_grad]
    try:
        for parameter in thawed:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad_(True)
