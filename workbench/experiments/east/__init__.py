"""EAST: entropic activation steering of an in-context bandit agent (arXiv 2406.00244).

``spec`` says what is run, ``collect`` plays the agent and extracts vectors, ``evaluate`` steers it under many
conditions, ``summary`` turns rows into the results table and the acceptance orderings, ``run`` is the order of it
all.
"""

from __future__ import annotations

from workbench.experiments.east.run import plan, run
from workbench.experiments.east.spec import PRESETS, EastSpec

__all__ = ["PRESETS", "EastSpec", "plan", "run"]
