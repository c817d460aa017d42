"""Steering that acts only where something is read: conditional activation steering.

A condition is read at one site, and interventions at the same or later ones act where it holds.  That takes an
intervention at each place: :func:`conditional` gives the list of them, a *reader* that changes nothing and leaves note
of what it saw, and *gates* around the interventions, which look it up in the same pass.

``when="token"``: a token is steered if the condition holds at that token.  Nothing is remembered from pass to pass, so
prompts, cached steps, padding and several completions side by side are all alike.

``when="prompt"``: a row is steered, from its last prompt token on, if the condition holds at that token (the paper
averages over the prompt).  Every completion begins with a pass over the last prompt token, so a gate knows before the
first generated one.

Source: Lee et al. 2024, "Programming refusal with conditional activation steering" (arXiv 2409.05907).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steering.edits import HasSite
from steering.gates import Gate
from workbench.arguments import one_of
from workbench.errors import DataError, RunError, SiteError, SpecError, check_known
from workbench.models.backend import in_order
from workbench.models.inputs import plain_interventions
from workbench.models.interventions import Intervention, Scope, Where, Wrapped, for_model
from workbench.sites import Site

WHEN = ("token", "prompt")
_LONG = 1_000_000  # tokens of a prompt whose last one is far from its beginning


def conditional(
    interventions: Intervention | Sequence[Intervention], condition: Gate, when: str = "token"
) -> list[Intervention]:
    """Interventions that act only where a condition holds, as the list to pass to a model.

    Several conditions are nested: ``conditional(conditional(add, one), other)`` acts where both hold.

    Args:
        interventions: one or several, at the condition's site or after it; those with a state are not taken.
        condition: a :class:`Cosine` or :class:`ProbeScore`.
        when: ``token``: at each token by itself; ``prompt``: at the last prompt token and all that follow, if it holds
            at the last prompt token.

    Returns:
        A reader for each of their scopes, and in their order the gated interventions.  Where the condition does not
        hold the activation is left alone bit for bit.

    Raises:
        SiteError: for an intervention before the site of its condition.
        SpecError: for ``when="prompt"`` with an intervention that reaches before the last prompt token.

    >>> from steering import Add, Cosine
    >>> from workbench.models.tiny import tiny_model
    >>> model, push = tiny_model(), Add(torch.ones(32), site=2, scope="prompt")
    >>> steer = conditional(push, Cosine(torch.ones(32), above=0.0, site=1))
    >>> plain, found = (model.forward(["a b c"], [2], each).activations["2.resid_post"] for each in ([], steer))
    >>> read = model.forward(["a b c"], [1]).activations["1.resid_post"]
    >>> torch.equal((found != plain).any(-1), read.sum(-1) > 0)
    True
    """
    several = [interventions] if isinstance(interventions, Intervention) else interventions
    several = plain_interventions(several)
    one_of(condition, Gate, "condition")
    check_known(when, WHEN, "when")
    readings = {each.scope: _Readings() for each in several if not isinstance(each, _Reader)}
    return [
        *(_Reader(condition, when, scope, own, own.now) for scope, own in readings.items()),
        *(e if isinstance(e, _Reader) else _gate(e, condition, when, readings[e.scope]) for e in several),
    ]


def _gate(inner: Intervention, condition: Gate, when: str, readings: _Readings) -> Intervention:
    if hasattr(inner, "state"):
        raise DataError(f"{type(inner).__name__} at {inner.site} carries a state over all tokens: it cannot be gated")
    first = inner.scope.first_position(_LONG)
    if when == "prompt" and first is not None and first < _LONG - 1:
        raise SpecError(
            f"{type(inner).__name__} at {inner.site} acts on {inner.scope}, and when='prompt' is known at the last"
            " prompt token only: take a scope such as prompt[-1:]+generation"
        )
    if (inner.site.layer < 0) == (condition.site.layer < 0):  # else only a model can tell
        _check_order(condition.site, inner.site)
    return _Gated(inner, condition.site, readings, readings.now)


def _check_order(read: Site, acts: Site) -> None:
    if next(site for site, _ in in_order({acts: _same, read: _same}, None)) != read:
        raise SiteError(f"the condition is read at {read}, which comes after {acts}, where the intervention acts")


def _same(activation: Tensor) -> Tensor:
    return activation


class _Readings(threading.local):
    """The readings of the call that a thread is preparing: reader and gates meet here, once a call."""

    def __init__(self) -> None:
        self.now = _Reading()

    def __reduce__(self) -> tuple[type[_Readings], tuple[()]]:
        return _Readings, ()


class _Reading:
    """What a reader has seen in a call: where the condition held in this pass, and at which rows' prompts."""

    def __init__(self) -> None:
        self.where: Where | None = None  # of the pass that was read
        self.held: Tensor | None = None  # [batch pos]
        self.prompts: dict[int, bool] = {}  # by the caller's row


@dataclass(frozen=True, eq=False)
class _Reader(HasSite):
    """Changes nothing, and leaves note of where the condition holds.

    Its scope is that of its gates, so the rows that they act on run for themselves from its site on, and were read.
    """

    condition: Gate
    when: str
    scope: Scope
    readings: _Readings
    reading: _Reading

    fingerprint = property(lambda self: self.condition.fingerprint)
    basis = property(lambda self: self.condition.basis)

    def __post_init__(self) -> None:
        self._set(site=self.condition.site)

    def __str__(self) -> str:
        return str(self.condition)

    def for_model(self, model: Any) -> _Reader:
        """The same with a reading of its own, which the gates that follow share."""
        self.readings.now = _Reading()
        return replace(self, reading=self.readings.now)

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        held = self.condition.holds(activation, where)
        if self.when == "prompt":
            held = self._by_prompt(held, where)
        self.reading.where, self.reading.held = where, held
        return activation

    def _by_prompt(self, held: Tensor, where: Where) -> Bool[Tensor, "batch pos"]:
        """Where the condition held at the last prompt token of each element's row."""
        known = self.reading.prompts
        last, acts = where.positions == where.prompt_lengths - 1, where.positions >= where.prompt_lengths - 1
        known.update(zip(where.rows[last].tolist(), held[last].tolist(), strict=True))
        rows = where.rows[acts].tolist()
        if missing := set(rows) - known.keys():
            raise RunError(f"row {min(missing)} is gone on with before the last token of its prompt was read")
        found = torch.zeros_like(held)
        found[acts] = torch.tensor([known[row] for row in rows], dtype=torch.bool, device=held.device)
        return found


@dataclass(frozen=True, eq=False)
class _Gated(Wrapped):
    """An intervention where the reading says that the condition holds."""

    read_at: Site
    readings: _Readings
    reading: _Reading

    def __str__(self) -> str:
        return f"conditional {self.inner}"

    def for_model(self, model: Any) -> Intervention:
        """The same around what the inner one is on that model, with its reader's reading."""
        _check_order(self.read_at.resolve(model.n_layers), self.inner.site.resolve(model.n_layers))
        return replace(self, inner=for_model(self.inner, model), reading=self.readings.now)

    def __call__(self, activation: Float[Tensor, "batch pos d"], where: Where) -> Float[Tensor, "batch pos d"]:
        held = self._held(where)
        changed = super().__call__(activation, where)
        return torch.where(held.to(activation.device)[..., None], changed, activation)

    def _held(self, where: Where) -> Bool[Tensor, "batch pos"]:
        """What was read at each element of a pass; rows that nothing acts on need not have been."""
        read, held = self.reading.where, self.reading.held
        if read is not None and held is not None:
            if torch.equal(read.positions, where.positions) and torch.equal(read.rows, where.rows):
                return held
            known = {self._row(read, i): i for i in range(len(held))}
            index = [known.get(self._row(where, i)) for i in range(len(where.rows))]
            acts = self.scope.mask(where).any(1).tolist()
            if all(i is not None or not act for i, act in zip(index, acts, strict=True)):
                none = torch.zeros(where.positions.shape[1], dtype=torch.bool, device=held.device)
                return torch.stack([none if i is None else held[i] for i in index])
        raise RunError(f"{self}: its condition was not read in this pass: pass all that conditional(...) returned")

    @staticmethod
    def _row(where: Where, i: int) -> tuple[Any, ...]:
        return tuple(where.rows[i].tolist()), tuple(where.positions[i].tolist())
