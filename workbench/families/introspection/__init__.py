"""Introspection: can a model say what it would do (self-prediction) or what was put into it (concept injection)?

``self_prediction`` and ``concept_injection`` are the two families, ``inspect_export`` has both as Inspect tasks.
"""

from __future__ import annotations

from functools import partial

from workbench.discovery import lazily
from workbench.families.family import Family, Keeps
from workbench.families.introspection.concept_injection.spec import PRESETS as INJECTION_PRESETS
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.self_prediction.spec import PRESETS as PREDICTION_PRESETS
from workbench.families.introspection.self_prediction.spec import SelfPredictionSpec

__all__ = ["FAMILIES"]

_prediction = partial(lazily, f"{__name__}.self_prediction")
_injection = partial(lazily, f"{__name__}.concept_injection")

FAMILIES = (
    Family(
        name="self-prediction",
        title="Self-prediction",
        group="introspection",
        paper="arXiv 2410.13787",
        question="Does a model foresee its own answers better than another model that learned from them?",
        spec=SelfPredictionSpec,
        presets=PREDICTION_PRESETS,
        check=_prediction("steps:check"),
        steps=_prediction("steps:steps"),
        context=_prediction("context:PredictionContext"),
        finish=_prediction("summary:finish"),
        claims=_prediction("claims:claims"),
        report=_prediction("report:report"),
        figures=_prediction("figures:figures"),
        views=_prediction("views:views"),
        keeps=Keeps(rows=(), tensors=()),
    ),
    Family(
        name="concept-injection",
        title="Concept injection",
        group="introspection",
        paper="Lindsey 2025, arXiv 2601.01828",
        question="Does a model notice a concept that was put into its activations, and can it name it?",
        spec=InjectionSpec,
        presets=INJECTION_PRESETS,
        check=_injection("steps:check"),
        steps=_injection("steps:steps"),
        context=_injection("steps:InjectionContext"),
        finish=_injection("summary:finish"),
        claims=_injection("claims:claims"),
        report=_injection("report:report"),
        figures=_injection("figures:figures"),
        views=_injection("views:views"),
        keeps=Keeps(tensors=()),
    ),
)
