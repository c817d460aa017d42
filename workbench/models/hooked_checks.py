"""What is checked of every model that can be read and steered, whatever it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.contract import positions_of, random_inputs
from workbench.models.hooked_model import HookedModel
from workbench.models.interventions import Scope, Where
from workbench.models.reference import Reference, difference, logit_difference, worst
from workbench.models.report import Check
from workbench.sites import Site

# Tolerances by precision.  In half precision padding and batching change the rounding of every sum.
_TOLERANCE = {"float64": 1e-5, "float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}
EXACT = 0.0
_STREAM = frozenset({"resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"})


@dataclass(frozen=True, eq=False)
class AddVector:
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


class HookedChecks:
    """Checks of a model against plain Hugging Face (``reference``: whose) and against itself."""

    def __init__(self, model: HookedModel, reference: Any = None) -> None:
        self.model = model
        self.reference = Reference(model.backend.hf_model if reference is None else reference)
        self.close = _TOLERANCE[str(model.dtype).removeprefix("torch.")]
        self.limit = positions_of(model.config) or 64
        self.new = max(1, min(6, self.limit // 4))
        lengths = [max(1, min(n, self.limit - 2 * self.new - 1)) for n in (12, 1, 7)]
        self.prompts = [self.random(n, seed) for seed, n in enumerate(lengths)]
        self.middle = (model.n_layers - 1) // 2
        self.vectors = self._vectors(len(self.prompts))

    def checks(self) -> list[Check]:
        """What to run, in order."""
        return [
            Check("activations equal the reference", self.activations, self.close),
            Check("attention and MLP outputs add up to the residual stream", self.sums, self.close),
            Check("what is read stays as it was read", self.kept, EXACT),
            Check("logits equal the reference", self.logits, self.close),
            Check("padded rows equal single rows", self.padding, self.close),
            Check("later positions change nothing before them", self.causal, self.close),
            Check("steered logits equal the reference", self.steered_logits, self.close),
            Check("steering attn_out or mlp_out is steering what follows it", self.steered_parts, self.close),
            Check("dose 0 equals the unsteered model", self.dose_zero, EXACT),
            Check("an error in a hook is seen and leaves nothing behind", self.errors, EXACT),
        ]

    def activations(self) -> float:
        sites = [Site(k, c) for k in range(self.model.n_layers) for c in ("resid_pre", "resid_post")]
        found = self.model.forward(self.prompts, sites).activations
        expected = [self.reference.stream(prompt) for prompt in self.prompts]  # [row][layer + 1, pos, d]
        return worst(
            difference(found[site][i, : len(prompt)], expected[i][site.layer + (site.component == "resid_post")])
            for i, prompt in enumerate(self.prompts)
            for site in sites
        )

    def sums(self) -> float:
        """At every layer: what attention and MLP put out is all that enters the stream."""
        layers, parts = range(self.model.n_layers), _STREAM & self.model.backend.components
        sites = [Site(layer, part) for layer in layers for part in parts]
        found = self.model.forward(self.prompts[:1], sites).activations

        ends = {"resid_mid": ("resid_pre", "attn_out"), "resid_post": ("resid_pre", "attn_out", "mlp_out")}
        return worst(
            difference(torch.stack([found[Site(layer, part)] for part in added]).sum(0), found[Site(layer, end)])
            for end, added in ends.items()
            if {end, *added} <= parts
            for layer in layers
        )

    def kept(self) -> float:
        """A block may go on to write into what was read."""
        sites = [Site(self.middle, part) for part in sorted(_STREAM & self.model.backend.components)]
        later = self.model.forward(self.prompts[:1], sites).activations
        at_once = self.model.forward(self.prompts[:1], sites, select=torch.clone).activations
        return worst(difference(later[site], at_once[site]) for site in sites)

    def logits(self) -> float:
        return worst(map(logit_difference, self.logits_of(self.prompts), map(self.reference.logits, self.prompts)))

    def padding(self) -> float:
        alone = [self.logits_of([prompt])[0] for prompt in self.prompts]
        return worst(map(logit_difference, self.logits_of(self.prompts), alone))

    def causal(self) -> float:
        prompt = self.prompts[0]
        cut = max(1, len(prompt) // 2)
        return logit_difference(self.logits_of([prompt])[0][:cut], self.logits_of([prompt[:cut]])[0])

    def steered_logits(self) -> float:
        vector = self.vectors[0]
        return worst(
            logit_difference(found, self.reference.logits(prompt, layer, vector, len(prompt) - 1))
            for layer in sorted({0, self.middle, self.model.n_layers - 1})
            for found, prompt in zip(
                self.logits_of(self.prompts, AddVector(Site(layer), vector)), self.prompts, strict=True
            )
        )

    def steered_parts(self) -> float:
        def steered(component: str) -> Tensor:
            return self.logits_of(self.prompts[:1], AddVector(Site(self.middle, component), self.vectors[0]))[0]

        pairs = [("attn_out", "resid_mid"), ("mlp_out", "resid_post")]
        pairs = [pair for pair in pairs if set(pair) <= self.model.backend.steerable]
        return worst(logit_difference(steered(a), steered(b)) for a, b in pairs)

    def dose_zero(self) -> float:
        sites = [Site(self.middle, c) for c in sorted(self.model.backend.steerable) if c.startswith("resid")]
        plain = self.logits_of(self.prompts)
        zeros = [AddVector(site, 0 * self.vectors[0], Scope.everywhere()) for site in sites]
        return worst(map(logit_difference, self.logits_of(self.prompts, *zeros), plain))

    def errors(self) -> float:
        before, hooks = self.logits_of(self.prompts), self._hooks()
        expected = _Expected("raised on purpose")
        try:
            self.logits_of(self.prompts, _Fail(Site(self.middle), expected))
        except _Expected as error:
            if error is not expected:
                raise
        else:
            raise AssertionError("the error in the hook was swallowed")
        if self._hooks() != hooks:
            raise AssertionError(f"{self._hooks() - hooks} hooks were left on the model")
        return worst(map(logit_difference, self.logits_of(self.prompts), before))

    # ---- pieces

    def logits_of(self, prompts: Sequence[Any], *interventions: Any) -> list[Tensor]:
        """Logits [pos, values] of each."""
        found = self.model.forward(prompts, interventions=interventions, logits=True)
        assert found.logits is not None
        return [row[:length] for row, length in zip(found.logits, found.lengths, strict=True)]

    def random(self, length: int, seed: int) -> Any:
        """A random input."""
        return random_inputs(self.model.backend.hf_model, 1, length, seed)[0]

    def _vectors(self, n: int) -> Tensor:
        """[n, d] random vectors, half as long as the residual stream's typical activation."""
        stream = self.reference.stream(self.prompts[0])[self.middle + 1].float()
        vectors = torch.randn(n, self.model.d_model, generator=torch.Generator().manual_seed(0)).to(stream.device)
        return 0.5 * vectors / vectors.norm(dim=-1, keepdim=True) * stream.norm(dim=-1).median()

    def _hooks(self) -> int:
        """Forward hooks on all modules that the back end holds."""
        roots = [each for each in vars(self.model.backend).values() if isinstance(each, nn.Module)]
        modules = [module for root in roots for module in root.modules()]
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)
