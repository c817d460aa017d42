"""Model cards: every number where it belongs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.training.cards import write_card
from workbench.worlds import recipes

RECIPES = {name: recipe for name, recipe in recipes().items() if recipe.ships}

NAN = float("nan")
QUALITY = pd.DataFrame(
    [
        ("agent", "easy", "success", 0.91234, 0.85, 0.955),
        ("agent", "easy", "jsd", 0.2, NAN, NAN),
        ("random", "easy", "success", 0.25, 0.2, 0.3),
        ("agent", "hard", "success", 0.5, 0.4, 0.6),
    ],
    columns=["player", "setting", "measure", "estimate", "low", "high"],
)
TEXT = '# {model}\nanswers {{"action": 3}}\n{facts}\n\n{quality}\n'


def test_a_card_has_a_line_for_each_player_and_setting(tmp_path: Path) -> None:
    path = write_card(tmp_path, TEXT, {"model": "x-agent", "seed": 3}, QUALITY, ["player", "setting"])
    assert path == tmp_path / "README.md"
    assert path.read_text().splitlines() == [
        "# x-agent",
        'answers {"action": 3}',
        "| model | x-agent |",
        "| seed | 3 |",
        "",
        "| player | setting | success | jsd |",
        "|---|---|---|---|",
        "| agent | easy | 0.912 [0.85, 0.955] | 0.2 |",
        "| random | easy | 0.25 [0.2, 0.3] |  |",
        "| agent | hard | 0.5 [0.4, 0.6] |  |",
    ]


def test_the_numbers_are_also_there_to_be_read(tmp_path: Path) -> None:
    write_card(tmp_path, TEXT, {"model": "x"}, QUALITY, ["player", "setting"])
    rows = json.loads((tmp_path / "quality.json").read_text())
    assert len(rows) == 4 and rows[0]["estimate"] == 0.91234 and rows[1]["low"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "quality.json"]


def test_a_measure_without_bounds_and_a_single_row_column_do(tmp_path: Path) -> None:
    part = QUALITY[QUALITY["setting"] == "easy"].drop(columns=["low", "high", "setting"])
    text = write_card(tmp_path, "{quality}{facts}", {}, part, ["player"]).read_text()
    assert "| agent | 0.912 | 0.2 |" in text and "nan" not in text


def test_two_values_for_one_cell_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two values of 'success' in one line"):
        write_card(tmp_path, TEXT, {"model": "x"}, QUALITY, ["player"])
    assert not (tmp_path / "README.md").exists()


@pytest.mark.parametrize("name", RECIPES)
def test_the_card_of_every_shipped_model_can_be_written(name: str, tmp_path: Path) -> None:
    facts = {"preset": "cpu", "seed": 0, "parameters": 1, "tokens": 2, "seconds": 3, "threads": 1, "device": "cpu"}
    facts["data"] = "a"  # of babblers
    rows = RECIPES[name].measure().CARD_ROWS
    quality = QUALITY.rename(columns=dict(zip(("player", "setting"), rows, strict=True)))
    text = write_card(tmp_path, RECIPES[name].measure().CARD, facts, quality, rows).read_text()
    assert text.startswith("---\n") and "--preset cpu --seed 0" in text and "0.912 [0.85, 0.955]" in text
    assert "{facts}" not in text and "{quality}" not in text
