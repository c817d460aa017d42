"""Probes: scikit-learn estimators that read properties off activations.

A probe has ``fit(X, y, groups=None)`` on activations [rows, features], ``predict`` and, for classes, ``predict_proba``;
``make_probe`` builds one by name.  Importing this package is light: a name imports what stands behind it when it is
first used.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from workbench.errors import SpecError, check_known, did_you_mean
from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from probes.detection import auroc_of, recall_at
    from probes.erasure import Erasure, leace
    from probes.evaluation import CONTROLS, Evaluation, evaluate
    from probes.folds import duplicate_groups, group_folds, group_holdout
    from probes.linear import LDAProbe, LogisticProbe, MassMeanProbe, RidgeProbe, RidgeRegressionProbe
    from probes.mdl import OnlineCode, online_code
    from probes.mlp import MLPProbe, MLPRegressionProbe
    from probes.saving import load_probe, register_probe, save_probe
    from probes.scorers import scores_of, token_scores, top_examples
    from probes.shared import SharedRidge

__getattr__, __dir__, __all__ = lazy_exports(__name__, "PROBES", "make_probe", "probe_class")

# A new probe is one line here and one file.
PROBES: dict[str, str] = {
    "logistic": "probes.linear:LogisticProbe",
    "ridge": "probes.linear:RidgeProbe",
    "mass-mean": "probes.linear:MassMeanProbe",
    "lda": "probes.linear:LDAProbe",
    "mlp": "probes.mlp:MLPProbe",
    "ridge-regression": "probes.linear:RidgeRegressionProbe",
    "mlp-regression": "probes.mlp:MLPRegressionProbe",
}


def probe_class(name: str) -> type[Any]:
    """The class of that name in :data:`PROBES`; raises :class:`SpecError` naming the nearest.

    >>> probe_class("lda").__name__
    'LDAProbe'
    """
    check_known(name, PROBES, "probe")
    return resolve_name(PROBES[name])


def make_probe(name: str, **params: Any) -> Any:
    """An unfitted probe by name, with some of its hyperparameters; :class:`SpecError` for one that it does not have.

    >>> make_probe("logistic", C=0.1)
    LogisticProbe(C=0.1)
    """
    kind = probe_class(name)
    known = kind._get_param_names()
    for param in params:
        if param not in known:
            raise SpecError(f"probe {name!r} has no parameter {param!r}{did_you_mean(param, known)}")
    return kind(**params)
