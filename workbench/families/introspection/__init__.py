"""Introspection: can a model say what it would do (self-prediction) or what was put into it (concept injection)?

``self_prediction`` and ``concept_injection`` are the two families, ``inspect_export`` has both as Inspect tasks.
"""

from __future__ import annotations

from workbench.discovery import functions_in
from workbench.families.family import Family, Keeps
from workbench.families.introspection.concept_injection.spec import PRESETS as INJECTION_PRESETS
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.self_prediction.spec import PRESETS as PREDICTION_PRESETS
from workbench.families.introspection.self_prediction.spec import SelfPredictionSpec

__all__ = ["FAMILIES"]

_PREDICTION, _INJECTION = f"{__name__}.self_prediction", f"{__name__}.concept_injection"

FAMILIES = (
    Family(
        name="self-prediction",
        title="Self-prediction",
        group="introspection",
        paper="arXiv 2410.13787",
        question="Does a model foresee its own answers better than another model that learned from them?",
        spec=SelfPredictionSpec,
        presets=PREDICTION_PRESETS,
        keeps=Keeps(rows=(), tensors=()),
        **functions_in(
            _PREDICTION,
            "steps claims report figures views",
            check="steps:check",
            context="context:PredictionContext",
            finish="summary:finish",
        ),
    ),
    Family(
        name="concept-injection",
        title="Concept injection",
        group="introspection",
        paper="Lindsey 2025, arXiv 2601.01828",
        question="Does a model notice a concept that was put into its activations, and can it name it?",
        spec=InjectionSpec,
        presets=INJECTION_PRESETS,
        keeps=Keeps(tensors=()),
        **functions_in(
            _INJECTION,
            "steps claims report figures views",
            check="steps:check",
            context="steps:InjectionContext",
            finish="summary:finish",
        ),
    ),
)
