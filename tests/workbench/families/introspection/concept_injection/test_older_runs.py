"""Runs of before 0.1, by the examples that ship."""

from __future__ import annotations

from pathlib import Path

import workbench.views
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.runs import load_run

EXAMPLE = Path(workbench.views.__file__).parent / "examples" / "concept-injection" / "cpu"


def test_a_run_that_called_its_multipliers_strengths_is_read_by_the_name_of_now() -> None:
    run = load_run(EXAMPLE)
    assert "strengths" in run.spec
    assert InjectionSpec.model_validate(run.spec).multipliers == tuple(run.spec["strengths"])
    for table in (run.load_table("results"), run.rows(), run.read("naming-0")):
        assert "multiplier" in table and "strength" not in table
