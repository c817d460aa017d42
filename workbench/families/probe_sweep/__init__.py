"""Probe sweeps: a grid of models, sites, positions, targets, probes and seeds, from one file and one capture a model.

``spec`` says what a sweep is, ``sources`` where activations and labels come from, ``plan`` turns a spec into cells,
``captures`` reads the activations once, ``worker`` fits and evaluates the probe of one cell, ``pipeline`` is their
order.
"""

from __future__ import annotations

from workbench.families.probe_sweep.pipeline import run
from workbench.families.probe_sweep.plan import Plan, make_plan
from workbench.families.probe_sweep.sources import sources
from workbench.families.probe_sweep.spec import SweepSpec

__all__ = ["Plan", "SweepSpec", "make_plan", "run", "sources"]
