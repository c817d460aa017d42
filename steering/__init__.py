"""Steering: vectors that know where they belong, estimators that make them, interventions that use them.

Works on tensors and on the ``LanguageModel`` protocol; knows nothing of probes.
"""

from steering.affine import Affine
from steering.calibration import multiplier_for, relative_dose
from steering.estimators import (
    ESTIMATORS,
    entropy_weighted,
    get_estimator,
    linear_probe_direction,
    mean_difference,
    pca_difference,
)
from steering.formats import import_vectors
from steering.gguf_format import export_gguf, import_gguf
from steering.interventions import Ablate, Add, Replace, SetProjection
from steering.vectors import SteeringVector

__all__ = [
    "ESTIMATORS",
    "Ablate",
    "Add",
    "Affine",
    "Replace",
    "SetProjection",
    "SteeringVector",
    "entropy_weighted",
    "export_gguf",
    "get_estimator",
    "import_gguf",
    "import_vectors",
    "linear_probe_direction",
    "mean_difference",
    "multiplier_for",
    "pca_difference",
    "relative_dose",
]
