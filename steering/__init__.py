"""Steering: vectors that know where they belong, estimators that make them, interventions that use them.

Works on tensors and on the ``LanguageModel`` protocol; knows nothing of probes.  Importing this package is light: a
name imports what stands behind it when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from steering.affine import Affine
    from steering.auditing import audit
    from steering.baked_card import Baked
    from steering.baking import ablate_everywhere, bake
    from steering.batching import OnRows, side_by_side
    from steering.calibration import Strength, multiplier_for, residual_norm, strengths
    from steering.conditions import Condition, generate_under, score_under
    from steering.divergence import damage
    from steering.estimators import (
        ESTIMATORS,
        entropy_weighted,
        get_estimator,
        linear_probe_direction,
        mean_difference,
        pca_difference,
    )
    from steering.formats import at_layer, import_vectors
    from steering.from_probe import probe_vector
    from steering.gates import Cosine, ProbeScore
    from steering.gating import conditional
    from steering.gguf_format import export_gguf, import_gguf
    from steering.interventions import Ablate, Add, Replace, SetProjection
    from steering.learned import learn_affine, learn_preference
    from steering.learning import Learning
    from steering.low_rank import LowRankControl, LowRankControllers
    from steering.neutral import NEUTRAL_TEXTS
    from steering.projection import Clamp, Rotate
    from steering.rank_one import RankOne
    from steering.readouts import Odds, Preferences, Question, preferences, word_odds
    from steering.sae import sae_vector
    from steering.spreading import spread
    from steering.stateful import Carried, Stateful
    from steering.target_kl import Calibrated, calibrate, calibrate_all
    from steering.vectors import SteeringVector
    from steering.vllm_lens_format import export_vllm_lens

__getattr__, __dir__, __all__ = lazy_exports(__name__)
