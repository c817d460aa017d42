"""Internal RL: controllers found in a sequence model's residual stream and reinforced (arXiv 2512.20605).

``spec`` says what is run; ``base``, ``beliefs``, ``controllers``, ``discovery``, ``reinforcement`` and ``shown`` hold
the work of the units, ``units`` their order, ``job`` what they share and ``processes`` runs them side by side;
``gates``, ``orderings`` and ``summary`` make the tables from the rows, ``pipeline`` runs it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.families.internal_rl.spec import PRESETS, InternalRLSpec

if TYPE_CHECKING:
    from workbench.families.internal_rl.pipeline import plan, run

__all__ = ["PRESETS", "InternalRLSpec", "plan", "run"]


def __getattr__(name: str) -> Any:
    """``plan`` and ``run`` on first use: they import torch, and ``--help`` must not wait for it."""
    if name in ("plan", "run"):
        from workbench.families.internal_rl import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
