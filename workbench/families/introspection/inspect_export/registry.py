"""What Inspect finds under its entry point: the tasks, and the provider of local models."""

from workbench.families.introspection.inspect_export.injection_task import concept_injection
from workbench.families.introspection.inspect_export.prediction_task import self_prediction
from workbench.inspect_provider import WorkbenchAPI

__all__ = ["WorkbenchAPI", "concept_injection", "self_prediction"]
