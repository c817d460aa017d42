"""Steering: vectors that know where they belong, estimators that make them, interventions that use them.

Works on tensors and on the ``LanguageModel`` protocol; knows nothing of probes.  Controllers of the residual stream and
internal RL (low-rank controllers, metacontroller, discovery, learners) load when one of their names is first used.
What runs a learner, ``reinforce`` and ``play_trials``, is in :mod:`steering.reinforce`, and ``frozen`` in
:mod:`steering.frozen`: a package cannot hold a function by the name of its module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from steering.code_learner import CodeLearner, new_policy
    from steering.compile_segments import SegmentModel, discover_segments
    from steering.cotraining import co_train
    from steering.discovery import Course, discover
    from steering.internal_rl import CodedControl, CodePolicy
    from steering.low_rank import LowRankControl, LowRankControllers
    from steering.metacontroller import Metacontroller, MetacontrollerShape
    from steering.raw_actions import ActionLearner, trainable_copy
    from steering.stateful import Carried, Stateful
    from steering.supervised_control import fit_supervised, oracle_control

__all__ = [
    "ESTIMATORS",
    "Ablate",
    "ActionLearner",
    "Add",
    "Affine",
    "Carried",
    "CodeLearner",
    "CodePolicy",
    "CodedControl",
    "Course",
    "LowRankControl",
    "LowRankControllers",
    "Metacontroller",
    "MetacontrollerShape",
    "Replace",
    "SegmentModel",
    "SetProjection",
    "Stateful",
    "SteeringVector",
    "co_train",
    "discover",
    "discover_segments",
    "entropy_weighted",
    "export_gguf",
    "fit_supervised",
    "get_estimator",
    "import_gguf",
    "import_vectors",
    "linear_probe_direction",
    "mean_difference",
    "multiplier_for",
    "new_policy",
    "oracle_control",
    "pca_difference",
    "relative_dose",
    "trainable_copy",
]

_MODULES = {
    "code_learner": ("CodeLearner", "new_policy"),
    "compile_segments": ("SegmentModel", "discover_segments"),
    "cotraining": ("co_train",),
    "discovery": ("Course", "discover"),
    "internal_rl": ("CodePolicy", "CodedControl"),
    "low_rank": ("LowRankControl", "LowRankControllers"),
    "metacontroller": ("Metacontroller", "MetacontrollerShape"),
    "raw_actions": ("ActionLearner", "trainable_copy"),
    "stateful": ("Carried", "Stateful"),
    "supervised_control": ("fit_supervised", "oracle_control"),
}
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
