"""Strengths by what they do: the dose at which a vector moves a model's predictions by a given KL divergence.

Vectors of one dose do damage of different size (along directions that the model uses more, for one).  At equal KL on
neutral text, an effect can be compared with that of another vector, of random directions, or of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

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
_LEAST, _MOST = 1e-4, 20.0


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
    target_kl: float,
    *,
    scope: Scope | str = Scope(),
    sign: int = 1,
    texts: Sequence[str] = NEUTRAL_TEXTS,
    rounds: int = 3,
    near: float | None = None,
) -> list[Calibrated]:
    """:func:`calibrate` of many vectors, together in the same batches.

    A first round tries seven doses of each vector; later rounds try the dose that a line through the two nearest (in
    logarithms) points to.

    Args:
        vectors: each at its own site.
        scope: where they are added.
        sign: -1 subtracts them; the doses that come back are then negative.
        texts: on which the divergence is the mean.
        rounds: passes over the texts after the first.
        near: a dose to begin at, with its half and double in place of the seven.
    """
    target = number(target_kl, "target_kl", 0)
    if not target:
        raise SpecError("target_kl must be above 0")
    if sign not in (1, -1):
        raise SpecError(f"sign must be 1 or -1, not {sign}")
    integer(rounds, "rounds", least=0)
    where = Scope.parse(scope)
    vectors = [one_of(vector, SteeringVector, "vector") for vector in vectors]
    tried: list[dict[float, float]] = [{} for _ in vectors]
    first = _FIRST if near is None else tuple(abs(near) * share for share in (0.5, 1.0, 2.0))
    asked = [list(first) for _ in vectors]
    for round_ in range(rounds + 1):
        _measure(vectors, model, asked, tried, where, sign, texts)
        if round_ < rounds:
            asked = [[_next(own, target)] for own in tried]
    return [_found(vector, own, target, sign, model) for vector, own in zip(vectors, tried, strict=True)]


def _measure(
    vectors: Sequence[SteeringVector], model: LanguageModel, asked: list[list[float]], tried: list[dict[float, float]],
    scope: Scope, sign: int, texts: Sequence[str],
) -> None:  # fmt: skip
    """Put the divergence of every asked dose into ``tried``."""
    ways = [(k, dose) for k, doses in enumerate(asked) for dose in doses if dose not in tried[k]]
    conditions = [
        Condition("vector", (Add(vectors[k], dose=sign * dose, scope=scope),), columns={"way": number_})
        for number_, (k, dose) in enumerate(ways)
    ]
    if conditions:
        kl = damage(model, conditions, texts).groupby("way")["kl"].mean()
        for number_, (k, dose) in enumerate(ways):
            tried[k][dose] = float(kl[number_])


def _next(tried: dict[float, float], target: float) -> float:
    """The dose to try: on the line in logarithms between the nearest doses on both sides, or beyond the ends."""
    doses = np.array(sorted(tried))
    kls = np.maximum([tried[dose] for dose in doses], 1e-12)
    above = np.nonzero(kls >= target)[0]
    right = int(np.clip(above[0] if len(above) else len(doses) - 1, 1, len(doses) - 1))
    (x0, x1), (y0, y1) = np.log(doses[right - 1 : right + 1]), np.log(kls[right - 1 : right + 1])
    slope = max((y1 - y0) / (x1 - x0), 0.25)  # flat at the ends: not further than a few times
    return float(np.clip(np.exp(x0 + (np.log(target) - y0) / slope), _LEAST, _MOST))


def _found(
    vector: SteeringVector, tried: dict[float, float], target: float, sign: int, model: LanguageModel
) -> Calibrated:
    dose, kl = min(tried.items(), key=lambda each: abs(np.log(max(each[1], 1e-12) / target)))
    if dose >= _MOST and kl < target:
        raise DataError(f"no dose of {vector} up to {_MOST:g} has a KL of {target:g}: at that one it is {kl:.3g}")
    signed = sign * dose
    return Calibrated(signed, multiplier_for(signed, vector, norm_at(vector, vector.site, model)), kl)
