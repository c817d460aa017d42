"""``check_backend``: does a model, behind its back end, do what plain Hugging Face does with the same weights?

Like Gymnasium's ``check_env``, for anything that ``load_model`` returns.  The reference is a second tree of modules
over the same weights, run one prompt at a time without padding and without a cache, and steered by a plain hook
(:mod:`workbench.models.reference`).  Prompts are random tokens, so any vocabulary will do.

A difference is the largest absolute one, divided by the reference's largest entry where that exceeds 1 (a residual
stream may hold values in the thousands).  Tokens are judged by the logits behind them: a token differs by as much as
its logit lies below the best one's in the reference, given the same tokens before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.models.interventions import Scope, Where
from workbench.models.reference import Reference
from workbench.models.report import Report, Row
from workbench.sites import Site

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel

# Tolerances by precision.  In half precision padding and batching change the rounding of every sum.
_TOLERANCE = {"float64": 1e-5, "float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}
_EXACT = 0.0


def check_backend(model: LanguageModel, reference: Any = None) -> Report:
    """Compare ``model`` with plain Hugging Face and with itself.

    Args:
        model: anything that ``load_model`` returns for text.
        reference: the Hugging Face model (or ``LanguageModel``) to compare with; by default the model's own weights in
            modules that no back end has touched.

    Returns:
        A report; ``report.ok`` says whether all differences are within 1e-5 in float32 (more in half precision).
        Nothing is raised: a check that cannot run has failed.

    >>> from workbench.models.tiny import tiny_model
    >>> report = check_backend(tiny_model("llama"))
    >>> report.ok, report.rows[0].check
    (True, 'activations equal the reference')
    """
    title = f"{model.name} on {model.backend_name} ({str(model.dtype).removeprefix('torch.')}, {model.device})"
    try:
        checks = _Checks(model, reference)
    except Exception as error:  # whatever it is, there is nothing to compare with
        return Report(title, (_failed("the reference runs", error, _EXACT),))
    return Report(title, tuple(_run(*check) for check in checks.table()))


def _run(name: str, check: Callable[[], float], tolerance: float) -> Row:
    try:
        return Row(name, float(check()), tolerance)
    except Exception as error:  # a check that cannot run has failed
        return _failed(name, error, tolerance)


def _failed(name: str, error: Exception, tolerance: float) -> Row:
    reason = next(iter(str(error).splitlines()), "")
    return Row(name, float("inf"), tolerance, f"{type(error).__name__}: {reason}")


@dataclass(frozen=True, eq=False)
class _Add:
    """Add a vector [d], or one a row [rows, d], within a scope."""

    site: Site
    vector: Tensor
    scope: Scope = Scope()

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        vector = self.vector[where.rows] if self.vector.ndim == 2 else self.vector
        vector = vector.to(activation.device, activation.dtype)
        return activation + vector * self.scope.mask(where)[..., None].to(activation.dtype)


class _Expected(Exception):
    """What a hook raises on purpose."""


@dataclass(frozen=True, eq=False)
class _Fail:
    site: Site
    error: Exception
    scope: Scope = Scope()

    def __call__(self, activation: Tensor, where: Where) -> Tensor:
        raise self.error


class _Checks:
    def __init__(self, model: LanguageModel, reference: Any) -> None:
        self.model = model
        self.reference = Reference(_hf_model(model if reference is None else reference))
        self.generator = torch.Generator().manual_seed(0)
        limit = getattr(model.config, "max_position_embeddings", None) or 64
        self.new = max(1, min(6, limit // 4))
        lengths = [max(1, min(n, limit - 2 * self.new - 1)) for n in (12, 1, 7)]
        self.prompts = [self._tokens(n) for n in lengths]
        self.middle = (model.n_layers - 1) // 2
        self.vectors = self._vectors(len(self.prompts))

    def table(self) -> list[tuple[str, Callable[[], float], float]]:
        close = _TOLERANCE[str(self.model.dtype).removeprefix("torch.")]
        # In half precision a rounding may turn a draw, so there completions prove nothing.
        tokens = _EXACT if close <= 1e-5 else 1.0
        return [
            ("activations equal the reference", self.activations, close),
            ("attention and MLP outputs add up to the residual stream", self.sums, close),
            ("logits equal the reference", self.logits, close),
            ("padded rows equal single rows", self.padding, close),
            ("steered logits equal the reference", self.steered_logits, close),
            ("steering attn_out or mlp_out is steering what follows it", self.steered_parts, close),
            ("greedy steered tokens equal the reference", self.greedy, close),
            ("scores equal the reference", self.scores, close),
            ("rows steered together equal rows steered alone", self.rows_alone, close),
            ("a cache kept across turns changes nothing", self.turns, close),
            ("dose 0 equals the unsteered model", self.dose_zero, _EXACT),
            ("completions do not depend on the batch", self.batch, tokens),
            ("an error in a hook is seen and leaves nothing behind", self.errors, _EXACT),
        ]

    # ---- against the reference

    def activations(self) -> float:
        sites = [Site(k, c) for k in range(self.model.n_layers) for c in ("resid_pre", "resid_post")]
        found = self.model.forward(self.prompts, sites).activations
        worst = 0.0
        for i, prompt in enumerate(self.prompts):
            expected = self.reference.stream(prompt)  # [layer + 1, pos, d]
            for site in sites:
                stage = site.layer + (site.component == "resid_post")
                worst = max(worst, _difference(found[site][i, : len(prompt)], expected[stage]))
        return worst

    def logits(self) -> float:
        found = self._logits(self.prompts)
        return max(_difference(a, self.reference.logits(p)) for a, p in zip(found, self.prompts, strict=True))

    def steered_logits(self) -> float:
        worst = 0.0
        for layer in sorted({0, self.middle, self.model.n_layers - 1}):
            vector = self.vectors[0]
            found = self._logits(self.prompts, _Add(Site(layer), vector))
            for a, prompt in zip(found, self.prompts, strict=True):
                worst = max(worst, _difference(a, self.reference.logits(prompt, layer, vector, len(prompt) - 1)))
        return worst

    def greedy(self) -> float:
        steer = _Add(Site(self.middle), self.vectors, Scope.parse("prompt[-1:]+generation"))
        found = self.model.generate(self.prompts, max_new_tokens=self.new, temperature=0, interventions=[steer])
        return max(
            self._gap(prompt, tokens[0].tokens, vector)
            for prompt, tokens, vector in zip(self.prompts, found, self.vectors, strict=True)
        )

    def _gap(self, prompt: list[int], tokens: list[int], vector: Tensor) -> float:
        """How far the tokens' logits lie below the best ones in a loop without cache that steers the same positions."""
        if not tokens:
            return 0.0
        logits = self.reference.logits(prompt + tokens[:-1], self.middle, vector, len(prompt) - 1)[len(prompt) - 1 :]
        chosen = logits[range(len(tokens)), tokens]
        return _relative((logits.max(-1).values - chosen).max(), logits)

    def scores(self) -> float:
        worst, continuations = 0.0, [[self._tokens(self.new), self._tokens(1)] for _ in self.prompts]
        found = self.model.score(self.prompts, continuations)
        for prompt, parts, scores in zip(self.prompts, continuations, found, strict=True):
            for part, score in zip(parts, scores, strict=True):
                logprobs = self.reference.logits(prompt + part[:-1])[len(prompt) - 1 :].log_softmax(-1)
                expected = logprobs[range(len(part)), part]
                worst = max(worst, _difference(expected.new_tensor(score.token_logprobs), expected))
        return worst

    # ---- against itself

    def sums(self) -> float:
        wanted = {"resid_pre", "attn_out", "mlp_out", "resid_post"}
        if not wanted <= self.model.backend.components:
            return 0.0
        found = self.model.forward(self.prompts[:1], [Site(self.middle, c) for c in wanted]).activations
        pre, attn, mlp, post = (found[Site(self.middle, c)] for c in ("resid_pre", "attn_out", "mlp_out", "resid_post"))
        return _difference(pre + attn + mlp, post)

    def steered_parts(self) -> float:
        def steered(component: str) -> Tensor:
            return self._logits(self.prompts[:1], _Add(Site(self.middle, component), self.vectors[0]))[0]

        pairs = [("attn_out", "resid_mid"), ("mlp_out", "resid_post")]
        pairs = [pair for pair in pairs if set(pair) <= self.model.backend.steerable]
        return max((_difference(steered(a), steered(b)) for a, b in pairs), default=0.0)

    def padding(self) -> float:
        alone = [self._logits([prompt])[0] for prompt in self.prompts]
        return max(_difference(a, b) for a, b in zip(self._logits(self.prompts), alone, strict=True))

    def dose_zero(self) -> float:
        sites = [Site(self.middle, c) for c in sorted(self.model.backend.steerable) if c.startswith("resid")]
        plain = self._logits(self.prompts)
        zeros = [_Add(site, 0 * self.vectors[0], Scope.everywhere()) for site in sites]
        return max(_difference(a, b) for a, b in zip(self._logits(self.prompts, *zeros), plain, strict=True))

    def batch(self) -> float:
        def draw(prompts: list[list[int]], seeds: list[int]) -> list[list[list[int]]]:
            found = self.model.generate(prompts, n=2, max_new_tokens=self.new, seeds=seeds)
            return [[completion.tokens for completion in row] for row in found]

        together = draw(self.prompts, [3, 1, 2])
        alone = [draw([prompt], [seed])[0] for prompt, seed in zip(self.prompts, (3, 1, 2), strict=True)]
        return sum(a != b for a, b in zip(together, alone, strict=True)) / len(alone)

    def rows_alone(self) -> float:
        continuations = [[self._tokens(self.new)] for _ in self.prompts]
        site = Site(self.middle)
        together = self.model.score(self.prompts, continuations, [_Add(site, self.vectors)])
        alone = [
            self.model.score([prompt], [parts], [_Add(site, vector)])[0]
            for prompt, parts, vector in zip(self.prompts, continuations, self.vectors, strict=True)
        ]
        return _score_difference(together, alone)

    def turns(self) -> float:
        cache, prompts, worst = self.model.prompt_cache(), self.prompts, 0.0
        for _ in range(2):
            continuations = [[self._tokens(1), self._tokens(2)] for _ in prompts]
            kept = self.model.score(prompts, continuations, cache=cache)
            worst = max(worst, _score_difference(kept, self.model.score(prompts, continuations)))
            prompts = [prompt + parts[0] for prompt, parts in zip(prompts, continuations, strict=True)]
        return worst

    def errors(self) -> float:
        before, hooks = self._logits(self.prompts), _hooks(self.model)
        expected = _Expected("raised on purpose")
        try:
            self._logits(self.prompts, _Fail(Site(self.middle), expected))
        except _Expected as error:
            if error is not expected:
                raise
        else:
            raise AssertionError("the error in the hook was swallowed")
        if _hooks(self.model) != hooks:
            raise AssertionError(f"{_hooks(self.model) - hooks} hooks were left on the model")
        return max(_difference(a, b) for a, b in zip(self._logits(self.prompts), before, strict=True))

    # ---- pieces

    def _logits(self, prompts: Sequence[Any], *interventions: Any) -> list[Tensor]:
        found = self.model.forward(prompts, interventions=interventions, logits=True)
        assert found.logits is not None
        return [row[:length] for row, length in zip(found.logits, found.lengths, strict=True)]

    def _tokens(self, n: int) -> list[int]:
        special = set(self.model.tokenizer.all_special_ids)
        usable = torch.tensor([t for t in range(min(self.model.config.vocab_size, 5000)) if t not in special])
        return usable[torch.randint(len(usable), (n,), generator=self.generator)].tolist()

    def _vectors(self, n: int) -> Tensor:
        """[n, d] random vectors, half as long as the residual stream's typical activation."""
        stream = self.reference.stream(self.prompts[0])[self.middle + 1].float()
        vectors = torch.randn(n, self.model.d_model, generator=self.generator).to(stream.device)
        return 0.5 * vectors / vectors.norm(dim=-1, keepdim=True) * stream.norm(dim=-1).median()


def _hf_model(model: Any) -> Any:
    return getattr(getattr(model, "backend", None), "hf_model", model)


def _difference(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        raise AssertionError(f"shape {tuple(found.shape)} where {tuple(expected.shape)} was expected")
    expected = expected.float()
    return _relative((found.float().to(expected.device) - expected).abs().max(), expected)


def _relative(difference: torch.Tensor, expected: Tensor) -> float:
    return float(difference) / max(1.0, float(expected.abs().max()))


def _score_difference(found: Any, expected: Any) -> float:
    pairs = [(a, b) for row, other in zip(found, expected, strict=True) for a, b in zip(row, other, strict=True)]
    numbers = [pair for a, b in pairs for pair in zip(a.token_logprobs, b.token_logprobs, strict=True)]
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in numbers)


def _hooks(model: LanguageModel) -> int:
    """Forward hooks on all modules that the back end runs."""
    roots = [model.backend.hf_model, getattr(model.backend, "bridge", None)]
    modules = [module for root in roots if root is not None for module in root.modules()]
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)
