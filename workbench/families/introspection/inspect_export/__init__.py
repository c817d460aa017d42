"""Both introspection protocols as Inspect AI tasks (extra ``inspect``), for API and local models and its log viewer.

``self_prediction`` needs only answers, so it runs on any model that Inspect reaches; ``concept_injection`` needs
activations, so it runs on ``workbench/NAME``, the provider that wraps a :class:`workbench.models.LanguageModel`.
Nothing of Inspect is imported before a name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingExtraError

if TYPE_CHECKING:
    from workbench.families.introspection.inspect_export.injection_task import concept_injection
    from workbench.families.introspection.inspect_export.prediction_task import self_prediction
    from workbench.inspect_provider import local_model

__all__ = ["concept_injection", "local_model", "self_prediction"]

_HOMES = {
    "concept_injection": f"{__name__}.injection_task",
    "local_model": "workbench.inspect_provider",
    "self_prediction": f"{__name__}.prediction_task",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import inspect_ai
    except ImportError as error:
        raise MissingExtraError("inspect_ai", "inspect") from error
    value = getattr(importlib.import_module(_HOMES[name]), name)
    return value
