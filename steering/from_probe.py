"""What a fitted linear probe reads, as a direction to steer along and as weights to gate by.

Any object with a ``coef_`` and an ``intercept_`` in the units of the raw activations will do (those of :mod:`probes`,
scikit-learn's), or with a ``direction_``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from steering.vectors import SteeringVector
from workbench.arguments import shown
from workbench.errors import DataError, SiteError

if TYPE_CHECKING:
    from jaxtyping import Float


def is_probe(value: Any) -> bool:
    """Whether a value looks like a fitted linear probe."""
    return hasattr(value, "coef_") or hasattr(value, "direction_")


def probe_weights(probe: Any, target: Any = None) -> tuple[Float[Tensor, " d"], float]:
    """Weights [d] and bias of the score of a linear probe, which rises towards ``target``.

    Args:
        probe: a fitted linear probe.
        target: one of its classes; may be left out of two (the second) and of a regression.

    Raises :class:`DataError` for a probe that is not fitted or has several targets of which none is said.
    """
    if not is_probe(probe):
        raise DataError(f"{type(probe).__name__} has no coef_ and no direction_: a fitted linear probe is needed")
    weights = np.asarray(probe.coef_ if hasattr(probe, "coef_") else probe.direction_, dtype=np.float64)
    weights = weights[None] if weights.ndim == 1 else weights
    biases = np.broadcast_to(np.asarray(getattr(probe, "intercept_", 0.0), dtype=np.float64).ravel(), len(weights))
    row, sign = _row(probe, len(weights), target)
    return torch.from_numpy(sign * weights[row]).float(), float(sign * biases[row])


def probe_vector(probe: Any, site: Any = None, model: Any = None, target: Any = None, name: str = "") -> SteeringVector:
    """The direction along which the score of a linear probe rises, of length 1.

    Args:
        probe: a fitted linear probe.
        site: of the activations that it was fitted on; one that was saved and loaded brings it (``site_``).
        model: that they are of, for the stamp; a loaded probe brings that, too.
        target: one of its classes, where there are more than two.
        name: of the vector.

    >>> from types import SimpleNamespace
    >>> probe = SimpleNamespace(coef_=np.array([[3.0, 4.0]]), intercept_=np.array([-1.0]), classes_=["calm", "angry"])
    >>> probe_vector(probe, site=3).vector, probe_vector(probe, site=3, target="calm").vector
    (tensor([0.6000, 0.8000]), tensor([-0.6000, -0.8000]))
    """
    weights, _ = probe_weights(probe, target)
    site = getattr(probe, "site_", None) if site is None else site
    if site is None:
        raise SiteError(f"{type(probe).__name__} does not know its site: pass site=, such as site='3.resid_post'")
    if not bool(weights.norm() > 0):
        raise DataError(f"{type(probe).__name__} has weights of 0: there is no direction")
    metadata = {"made_from": f"probe {type(probe).__name__}"} | ({} if target is None else {"target": str(target)})
    stamp: dict[str, Any] = {what: getattr(probe, f"{what}_", None) for what in ("fingerprint", "basis", "precision")}
    stamp = {what: known for what, known in stamp.items() if known}
    vector = SteeringVector(site, weights / weights.norm(), name=name, metadata=metadata, **stamp)
    return vector if model is None else vector.for_model(model)


def _row(probe: Any, n: int, target: Any) -> tuple[int, int]:
    """The row of the weights that is a target's, and its sign."""
    classes = list(np.asarray(getattr(probe, "classes_", [])).tolist())
    if target is None:
        if n > 1:
            raise DataError(f"the probe has {n} targets: say which, target={shown(classes[0] if classes else 0)}")
        return 0, 1
    if target not in classes:
        raise DataError(f"unknown class of the probe {shown(target)}; it has {', '.join(map(str, classes))}")
    at = classes.index(target)
    return (at, 1) if n > 1 else (0, 1 if at else -1)
