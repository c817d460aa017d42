"""Can a model predict its own behaviour better than another model that learned to (arXiv 2410.13787)?

``spec`` says what is run, ``questions`` draws the prompts, ``protocol`` asks the models, ``job`` holds the models and
finetunes them, ``units`` are the steps of a run.  ``scoring``, ``contrasts``, ``similarity``, ``calibration`` and
``shift`` turn answers into numbers, ``companion`` probes the model's activations for the same predictions, ``summary``
makes the tables, ``orderings`` says what held, ``pipeline`` runs it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.families.introspection.self_prediction.spec import PRESETS, SelfPredictionSpec

if TYPE_CHECKING:
    from workbench.families.introspection.self_prediction.pipeline import plan, run

__all__ = ["PRESETS", "SelfPredictionSpec", "plan", "run"]


def __getattr__(name: str) -> Any:
    """``plan`` and ``run`` on first use: they import torch, and ``--help`` must not wait for it."""
    if name in ("plan", "run"):
        from workbench.families.introspection.self_prediction import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
