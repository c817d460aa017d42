"""A real run, as small as it can be, is looked at: figures are drawn, tables reported, episodes animated."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from workbench.families.internal_rl.figures import episode_steps, figures, picked, shown_episodes
from workbench.families.internal_rl.figures.gifs import save_episode_gifs
from workbench.families.showing import print_report
from workbench.runs import load_run

FIGURES = {"gates", "claims", "learning_curves", "final_success", "switches", "codes", "rate_distortion",
           "base_model", "beliefs", "belief_history", "controllers"}  # fmt: skip


@pytest.fixture(scope="module")
def record(internal_run: Path):
    return load_run(internal_run)


def test_every_figure_is_drawn_from_the_tables_that_a_run_writes(record) -> None:
    draws = figures(record)
    assert {name for name in draws if not name.startswith("episode-")} == FIGURES
    for name, draw in draws.items():
        figure = draw()
        assert len(figure.data) and figure.layout.title.text, name


def test_shown_episodes_are_drawn_with_how_they_were_chosen(record) -> None:
    episodes, rates = shown_episodes(record)
    tasks = record.spec["tasks"]
    assert len(episodes) == 2 * len(tasks) and set(rates) == set(tasks)
    found = picked(episodes)
    assert len(found) == 2 * len(tasks)  # of each one as it came and one that was picked
    for name, episode in found.items():
        figure = episode_steps(episode, rates[episode.task])
        title = figure.layout.title.text
        assert ("Picked: among" in title) == name.endswith("farthest") and "internal rl succeeds in" in title.lower()
        assert len(figure.frames) == len(episode)


def test_the_report_and_the_animations_need_nothing_that_a_run_does_not_write(record, tmp_path: Path) -> None:
    out = Console(file=io.StringIO(), width=160)
    print_report(record, out)
    said = out.file.getvalue()
    for part in ("base model", "which subgoal", "controllers", "switches", "after reinforcement", "gates", "claims"):
        assert part in said, part
    assert len(save_episode_gifs(record, tmp_path, pytest.fail)) == 2 * len(record.spec["tasks"])


def test_a_run_that_stopped_before_reinforcement_is_drawn_without_it(record, tmp_path: Path) -> None:
    path = shutil.copytree(record.path, tmp_path / "stopped")
    for name in ("curves", "final", "final_by_seed", "episodes"):
        (path / "artifacts" / f"{name}.parquet").unlink()
    stopped = load_run(path)
    assert set(figures(stopped)) == FIGURES - {"learning_curves", "final_success"}
    assert shown_episodes(stopped) == ([], {}) and save_episode_gifs(stopped, tmp_path, pytest.fail) == []
