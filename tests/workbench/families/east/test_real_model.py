"""EAST on a chat model as it comes: exact answers in letters, doses, layers by depth; small enough for seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.families import run
from workbench.families.east import EAST, PRESETS
from workbench.runs import load_run
from workbench.worlds.bandits.agents.language_agent import LanguageAgent
from workbench.worlds.bandits.text import BanditText

pytestmark = pytest.mark.real

SPEC = PRESETS["laptop"].model_copy(
    update={
        "model": "smollm2-135m", "minutes": None, "horizon": 3, "extraction_runs": 4, "episodes": 2, "prompts": 6,
        "layers": (0.5,), "doses": (0.0, 0.3), "control_seeds": 1, "temperatures": (1.5,), "top_ps": (),
    }
)  # fmt: skip


def test_a_chat_model_is_steered_in_exact_mode_and_the_mass_outside_is_a_column(
    smollm2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(SPEC), "load", lambda self: smollm2)
    results = load_run(run(EAST, SPEC, tmp_path)).load_table("results")
    assert set(results["metric"]) == {"entropy", "valid", "outside_mass"}
    assert set(results.loc[results["method"] == "east", "layer"]) == {15}
    base = results[(results["method"] == "unsteered") & (results["set"] == "test")].set_index("metric")["estimate"]
    assert base["valid"] + base["outside_mass"] == pytest.approx(1) and base["valid"] > 0.5
    assert 0 < base["entropy"] < 0.7
    assert set(results.loc[results["method"] == "east", "dose"]) == {0.3}


def test_a_chat_model_goes_on_counting_numbers_and_not_letters(smollm2) -> None:
    """It puts mass on a third button of two; letters leave next to none outside."""
    outside = {}
    for form in ("action", "letter"):
        player = LanguageAgent(smollm2, BanditText(thoughts=False, answer=form), exact=True)
        turns = [player.turn(f"{player.text.endings()[arm]}.", arm, 100 - arm) for arm in (0, 1)]
        outside[form] = player.decide([player.prompt(turns)], [0])[0].outside_mass
    assert outside["action"] > 2 * outside["letter"]
