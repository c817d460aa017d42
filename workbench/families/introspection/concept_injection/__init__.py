"""Concept injection (Lindsey 2025, arXiv 2601.01828): does a model notice a concept put into its residual stream?

``spec`` says what is run, ``words`` holds the concepts, ``vectors`` estimates their vectors, ``prompts`` is what is
said to the model, ``trials`` runs prompts with injections as one batch, ``protocols`` are the kinds of trial,
``scorers`` and ``judge`` grade replies, ``units`` are the steps of a run and ``job`` is what they share, ``summary``
makes the tables, ``orderings`` says what held, ``pipeline`` runs it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.families.introspection.concept_injection.spec import PRESETS, InjectionSpec

if TYPE_CHECKING:
    from workbench.families.introspection.concept_injection.pipeline import plan, run

__all__ = ["PRESETS", "InjectionSpec", "plan", "run"]


def __getattr__(name: str) -> Any:
    """``plan`` and ``run`` on first use: they import torch, and ``--help`` must not wait for it."""
    if name in ("plan", "run"):
        from workbench.families.introspection.concept_injection import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
