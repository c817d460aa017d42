"""Strengths by what they do: the dose at which a vector moves a model's predictions by a given KL divergence.

Vectors of one dose do damage of different size (along directions that the model uses more, for one).  At equal KL on
neutral text, an effect can be compared with that of another vector, of random directions, or of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from steering.calibration import multiplier_for, norm_at
from steering.conditions import Condition
from steering.divergence import damage
from steering.interventions import Add
from steering.neutral import NEUTRAL_TEXTS
from steering.vectors import SteeringVector
from workbench.arguments import integer, number, one_of
from workbench.errors import DataError, SpecError
from workbench.models.interventions import Scope

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel

_FIRST = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # doses
_LEAST, _MOST, _TINY = 1e-4, 20.0, 1e-12


class Calibrated(NamedTuple):
    """A strength in both units, and the KL divergence that it has (nats a token)."""

    dose: float
    multiplier: float
    kl: float


def calibrate(vector: SteeringVector, model: LanguageModel, target_kl: float, **options: object) -> Calibrated:
    """The dose at which adding a vector moves the model's next-token distributions on neutral text by ``target_kl``.

    Args:
        vector: what is added, at its own site.
        model: what it is added in.
        target_kl: KL(unsteered || steered) in nats a token, above 0; .05 to .3 leave text readable on SmolLM2.
        options: as :func:`calibrate_all` has them: ``scope``, ``sign``, ``texts``, ``rounds``, ``near``.

    Returns:
        A strength: ``Add(vector, dose=calibrate(vector, model, 0.1).dose)``.

    Raises:
        DataError: where no dose up to 20 reaches the target.

    >>> import torch
    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> found = calibrate(SteeringVector(1, torch.randn(32)), model, 0.05, texts=["a b c d e f g"])
    >>> abs(found.kl - 0.05) < 0.005
    True
    """
    return calibrate_all([vector], model, target_kl, **options)[0]  # type: ignore[arg-type]


def calibrate_all(
    vectors: Sequence[SteeringVector],
    model: LanguageModel,
    target_kl: float | Sequence[float],
    *,
    scope: Scope | str = Scope(),
    sign: int | Sequence[int] = 1,
    texts: Sequence[str] = NEUTRAL_TEXTS,
    rounds: int = 3,
    near: float | None = None,
) -> list[Calibrated]:
    """:func:`calibrate` of many vectors, together in the same batches.

    A first round tries seven doses of each vector; later rounds try the dose that a line through the two nearest (in
    logarithms) points to.

    Args:
        vectors: each at its own site.
        model: what they are added in.
        target_kl: one for all, or one a vector.
        scope: where they are added.
        sign: -1 subtracts them; the doses that come back are then negative.  One for all, or one a vector.
        texts: on which the divergence is the mean.
        rounds: passes over the texts after the first.
        near: a dose to begin at, with its half and double in place of the seven.
    """
    integer(rounds, "rounds", least=0)
    where, first = Scope.parse(scope), _FIRST if near is None else tuple(abs(near) * k for k in (0.5, 1.0, 2.0))
    targets, signs = _each(target_kl, len(vectors), "target_kl"), _each(sign, len(vectors), "sign")
    searches = [_Search(*one) for one in zip(vectors, targets, signs, strict=True)]
    for round_ in range(rounds + 1):
        asked = [(one, dose) for one in searches for dose in (one.between() if round_ else first)]
        _measure(model, [(one, dose) for one, dose in asked if dose not in one.tried], where, texts)
    return [one.found(model) for one in searches]


def _each(given: Any, n: int, what: str) -> list[Any]:
    several = [given] * n if isinstance(given, int | float) else list(given)
    if len(several) != n:
        raise SpecError(f"{len(several)} values of {what} for {n} vectors")
    return several


@dataclass
class _Search:
    """For the dose of a vector; ``tried``: the divergence at each dose, counted without its sign."""

    vector: SteeringVector
    target: float
    sign: int
    tried: dict[float, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of(self.vector, SteeringVector, "vector")
        self.target = number(self.target, "target_kl", 0)
        if not self.target:
            raise SpecError("target_kl must be above 0")
        if self.sign not in (1, -1):
            raise SpecError(f"sign must be 1 or -1, not {self.sign}")

    def between(self) -> list[float]:
        """The dose to try: on the line in logarithms between the nearest doses on both sides, or beyond the ends."""
        doses = np.array(sorted(self.tried))
        kls = np.maximum([self.tried[dose] for dose in doses], _TINY)
        above = np.nonzero(kls >= self.target)[0]
        right = int(np.clip(above[0] if len(above) else len(doses) - 1, 1, len(doses) - 1))
        (x0, x1), (y0, y1) = np.log(doses[right - 1 : right + 1]), np.log(kls[right - 1 : right + 1])
        slope = max((y1 - y0) / (x1 - x0), 0.25)  # flat at the ends: not further than a few times
        return [float(np.clip(np.exp(x0 + (np.log(self.target) - y0) / slope), _LEAST, _MOST))]

    def found(self, model: LanguageModel) -> Calibrated:
        """The dose of those that were tried that comes nearest."""
        dose, kl = min(self.tried.items(), key=lambda each: abs(np.log(max(each[1], _TINY) / self.target)))
        if dose >= _MOST and kl < self.target:
            raise DataError(
                f"no dose of {self.vector} up to {_MOST:g} has a KL of {self.target:g}: at that one it is {kl:.3g}"
            )
        signed = self.sign * dose
        norm = norm_at(self.vector, self.vector.site, model)
        return Calibrated(signed, multiplier_for(signed, self.vector, norm), kl)


def _measure(model: LanguageModel, ways: list[tuple[_Search, float]], scope: Scope, texts: Sequence[str]) -> None:
    """Put the divergence of every dose into its search."""
    conditions = [
        Condition("vector", (Add(one.vector, dose=one.sign * dose, scope=scope),), columns={"way": way})
        for way, (one, dose) in enumerate(ways)
    ]
    if conditions:
        kl = damage(model, conditions, texts).groupby("way")["kl"].mean()
        for way, (one, dose) in enumerate(ways):
            one.tried[dose] = float(kl[way])
