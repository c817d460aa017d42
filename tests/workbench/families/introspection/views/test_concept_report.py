"""What ``workbench show`` prints of a concept-injection run."""

import io
import runpy
from pathlib import Path

import pandas as pd
from rich.console import Console

from workbench.families.introspection.views.concept_report import print_concept_injection

MADE = runpy.run_path(str(Path(__file__).parents[1] / "concept_injection" / "test_figures.py"))


def test_every_arm_is_printed_at_its_cell_beside_all_controls():
    rows = [
        MADE["row"]("detection", "standard", "concept", 4, 4.0, "success", 0.45),
        MADE["row"]("kv_cache", "standard", "concept", 2, 8.0, "yes_no", 1.25),
    ]
    ordering = {"ordering": "detection above no injection", "held": True, "evidence": "success: +0.400 [+0.3, +0.5]"}
    tables = {"held_out": pd.DataFrame(rows), "orderings": pd.DataFrame([ordering])}
    out = Console(file=io.StringIO(), width=160)
    print_concept_injection(MADE["Tables"](**tables), out)
    said = out.file.getvalue()
    for text in (
        "detection, standard (layer 4, strength 4)",
        "0.45 [0.35, 0.55]",
        "0.05 [0.00, 0.15]",
        "yes minus no",
        "kv-cache, standard (layer 2, strength 8)",
        "odd input",
    ):
        assert text in said, text
    assert "1 of 1 held" in said and "[+0.3, +0.5]" in said
    assert "nan" not in said.split("kv-cache")[1]
