"""Probes: scikit-learn estimators that read properties off activations.

A probe has ``fit(X, y, groups=None)`` on activations [rows, features], ``predict`` and, for classes, ``predict_proba``;
``make_probe`` builds one by name.  Nothing heavy is imported before a probe is asked for.
"""

from __future__ import annotations

from typing import Any

from workbench.errors import SpecError, did_you_mean

__all__ = ["PROBES", "make_probe", "probe_class"]

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
    from importlib import import_module

    if name not in PROBES:
        raise SpecError(f"unknown probe {name!r}{did_you_mean(name, PROBES)}")
    module, _, found = PROBES[name].partition(":")
    return getattr(import_module(module), found)


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
