"""Probes that know grids: maps of what stands in the cells, and the moves to come.

Importing this package makes their names known to :func:`probes.saving.load_probe`.
"""

from __future__ import annotations

from probes.saving import register_probe

register_probe("cognitive-map", "workbench.worlds.grids.probes.cognitive_map:CognitiveMapProbe")
register_probe("plan", "workbench.worlds.grids.probes.plan:PlanDecoder")
register_probe("linear-plan", "workbench.worlds.grids.probes.plan:LinearPlanProbe")
