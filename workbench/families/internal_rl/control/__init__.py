"""Controllers and learners of internal RL: metacontroller, discovery of segments, supervised control, reinforcement.

What runs a learner, ``reinforce`` and ``play_trials``, is in ``control.reinforce``, and ``frozen`` in
``control.frozen``: a package cannot hold a function by the name of its module.  A name loads its module when it is
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.families.internal_rl.control.code_learner import CodeLearner, new_policy
    from workbench.families.internal_rl.control.compile_segments import SegmentModel, discover_segments
    from workbench.families.internal_rl.control.cotraining import co_train
    from workbench.families.internal_rl.control.discovery import Course, discover
    from workbench.families.internal_rl.control.internal_rl import CodedControl, CodePolicy
    from workbench.families.internal_rl.control.metacontroller import Metacontroller, MetacontrollerShape
    from workbench.families.internal_rl.control.raw_actions import ActionLearner, trainable_copy
    from workbench.families.internal_rl.control.supervised_control import fit_supervised, oracle_control

__all__ = [
    "ActionLearner",
    "CodeLearner",
    "CodePolicy",
    "CodedControl",
    "Course",
    "Metacontroller",
    "MetacontrollerShape",
    "SegmentModel",
    "co_train",
    "discover",
    "discover_segments",
    "fit_supervised",
    "new_policy",
    "oracle_control",
    "trainable_copy",
]

_MODULES = {
    "code_learner": ("CodeLearner", "new_policy"),
    "compile_segments": ("SegmentModel", "discover_segments"),
    "cotraining": ("co_train",),
    "discovery": ("Course", "discover"),
    "internal_rl": ("CodePolicy", "CodedControl"),
    "metacontroller": ("Metacontroller", "MetacontrollerShape"),
    "raw_actions": ("ActionLearner", "trainable_copy"),
    "supervised_control": ("fit_supervised", "oracle_control"),
}
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
