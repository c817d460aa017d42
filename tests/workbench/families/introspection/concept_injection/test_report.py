"""What is said of a concept-injection run."""

import runpy
from pathlib import Path

import pandas as pd

from workbench.families.introspection.concept_injection.report import report

MADE = runpy.run_path(str(Path(__file__).with_name("test_figures.py")))


def test_every_arm_is_told_at_its_cell_beside_the_controls_that_were_run():
    rows = [
        MADE["row"]("detection", "standard", "concept", 4, 4.0, "success", 0.45),
        MADE["row"]("kv_cache", "standard", "concept", 2, 8.0, "yes_no", 1.25),
    ]
    detection, cache = report(MADE["Tables"](held_out=pd.DataFrame(rows)))
    assert detection.title == "detection, standard (layer 4, multiplier 4)"
    assert detection.frame.iloc[0].to_dict() == {
        "measure": "detects and names (share)",
        "concept": "0.45 [0.35, 0.55]",
        "no injection": "0.05 [0.00, 0.15]",
        "random": "0.05 [0.00, 0.15]",
        "shuffled": "0.05 [0.00, 0.15]",
        "odd input": "0.05 [0.00, 0.15]",
    }
    assert cache.title == "kv-cache, standard (layer 2, multiplier 8)" and "odd input" not in cache.frame
    assert list(report(MADE["Tables"]())) == []
