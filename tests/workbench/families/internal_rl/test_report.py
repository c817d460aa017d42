"""What the terminal says of an internal-RL run, and that no picture can fail it."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.workbench.families.internal_rl.figures import internal_rl_run as made
from workbench.console import log, results
from workbench.errors import RunError
from workbench.families.internal_rl import INTERNAL_RL
from workbench.families.internal_rl.figures import episodes_of
from workbench.families.internal_rl.figures.gifs import save_episode_gifs
from workbench.families.showing import draw, print_report
from workbench.runs import load_run
from workbench.views.run_list import EXAMPLES

OTHERS = set(made.tables()) - {"gates", "episodes"}  # fewer tables are drawn faster


def report(path: Path, width: int = 160) -> str:
    out = Console(file=io.StringIO(), width=width)
    print_report(load_run(path), out)
    return out.file.getvalue().rsplit("tables and vectors", 1)[0]


def test_every_table_is_printed_with_its_controls_and_intervals(tmp_path: Path) -> None:
    said = report(made.write_run(tmp_path))
    for text in (
        "base model without control (pinpad-base)",
        "0.480 [0.470, 0.490]",  # the base's loss...
        "0.460 [0.450, 0.470]",  # ...beside the Bayes filter's
        "0.700 [0.670, 0.730]",  # the probe after layer 1...
        "0.800 [0.770, 0.830]",  # ...beside the filter
        "0.500 [0.400, 0.600]",  # held-out success under controllers at layer 0...
        "0.010 [0.000, 0.110]",  # ...beside random ones
        "0.90 [0.85, 0.95]",  # F1...
        "0.10 [0.05, 0.15]",  # ...beside random gates
        "0.300 [0.280, 0.320]",  # held-out success of internal RL...
        "0.333 [0.313, 0.353]",  # ...relative to the expert's
        "gates between the stages: 5 of 6 passed",
        "held-out success with composed codes",
        "at least 0.1",
        "claims of the paper: 1 of 2 held",
        "share: +0.100 [-0.050, +0.300]",
    ):
        assert text in said, text
    assert "nan" not in said


def test_the_method_comes_before_its_baselines(tmp_path: Path) -> None:
    said = report(made.write_run(tmp_path)).split("switches beside true changes")[1]
    places = [said.index(f"\n  {name} ") for name in ("frozen", "forced", "co-trained", "compile")]
    assert places == sorted(places)


def test_a_run_that_stopped_at_a_gate_is_reported_without_what_it_lacks(tmp_path: Path) -> None:
    said = report(made.write_run(tmp_path, leave_out=["final", "final_by_seed", "curves", "episodes"]))
    assert "after reinforcement" not in said
    assert "5 of 6 passed" in said


def test_a_narrow_terminal_loses_no_number(tmp_path: Path) -> None:
    said = report(made.write_run(tmp_path), width=80)
    assert "0.333" in said.replace("\n", "") and max(len(line) for line in said.splitlines()) <= 80


def test_the_report_is_wired_and_names_where_the_files_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made.write_run(tmp_path)
    print_report(load_run(path), Console(width=160))
    said = capsys.readouterr().out
    assert "claims of the paper" in said and str(path / "artifacts") in said


def test_the_shipped_run_of_the_first_version_is_reported_and_drawn() -> None:
    record = load_run(EXAMPLES / "internal-rl" / "cpu")
    tables = list(INTERNAL_RL.report(record))
    assert [table.title.split(":")[0] for table in tables][-2:] == ["after reinforcement", "gates between the stages"]
    assert all(len(table.frame) for table in tables)
    drawn = {name: draw() for name, draw in INTERNAL_RL.figures(record).items()}
    assert "of 14 held" in drawn["claims"].layout.title.text and len(drawn) > 11
    for view in INTERNAL_RL.views():
        assert all(any(name.startswith(prefix) for name in drawn) for prefix in view.figures)
        assert all(len(table.frame) for table in (view.tables(record) if view.tables else ()))


def test_nothing_heavy_is_imported_to_know_the_family() -> None:
    program = (
        "import sys, workbench.families.internal_rl; sys.exit(str({*sys.modules} & {'torch', 'pandas', 'plotly'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.figures.saving._pictures", lambda figures, say: {})


@pytest.mark.usefixtures("no_browser")
def test_figures_and_animations_land_in_the_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made.write_run(tmp_path, leave_out=OTHERS)
    draw(load_run(path), results(), log)
    assert "(5 HTML, 0 PNG, 4 GIF)" in capsys.readouterr().out
    for task, kind in (("held-out", "first"), ("seen-transitions", "farthest")):
        for suffix in ("html", "gif"):
            assert (path / "figures" / f"episode-{task}-{kind}.{suffix}").exists()


def test_an_animation_shows_every_move_over_a_caption_that_says_how_it_was_chosen(tmp_path: Path) -> None:
    record = load_run(made.write_run(tmp_path))
    (tmp_path / "figures").mkdir()
    files = save_episode_gifs(record, tmp_path / "figures", pytest.fail)
    assert [file.name for file in files] == [
        f"episode-{task}-{kind}.gif" for task in ("held-out", "seen-transitions") for kind in ("first", "farthest")
    ]
    with Image.open(files[1]) as animation:
        frames = []
        for k in range(animation.n_frames):
            animation.seek(k)
            frames.append(np.asarray(animation.convert("RGB")).copy())
    assert len(frames) == 9  # before the first move, and after each of eight
    assert frames[0].shape[0] > frames[0].shape[1]  # the board and, below it, the caption
    assert all((a != b).any() for a, b in pairwise(frames))


def test_captions_of_animations_are_honest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.families.internal_rl.figures import gifs

    said: list[list[str]] = []

    def lines(*given):
        said.append(genuine(*given))
        return said[-1]

    genuine = gifs._lines
    monkeypatch.setattr(gifs, "_lines", lines)
    record = load_run(made.write_run(tmp_path))
    save_episode_gifs(record, tmp_path, pytest.fail)
    assert len(said) == 2 * (4 + 9)
    assert all("0.300 [0.280, 0.320]" in " ".join(each) for each in said[:13])
    assert all(each[2].startswith("not picked") for each in said[:4])
    assert all(each[2].startswith("picked") for each in said[4:13])


@pytest.mark.usefixtures("no_browser")
@pytest.mark.parametrize("error", [RunError("the disk is full"), OSError("the disk is full")])
def test_what_cannot_be_written_is_one_line_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def refuse(*_args, **_options):
        raise error

    path = made.write_run(tmp_path, leave_out=OTHERS)
    monkeypatch.setattr("workbench.families.internal_rl.figures.gifs.write_gif", refuse)
    draw(load_run(path), results(), log)
    told = capsys.readouterr()
    assert "0 GIF" not in told.out and "(5 HTML, 0 PNG)" in told.out and "the disk is full" in told.err
    monkeypatch.setattr("workbench.figures.saving.make_folder", refuse)
    draw(load_run(path), results(), log)
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == "the figures could not be written: the disk is full"


def test_a_broken_table_of_episodes_costs_the_animations_only(tmp_path: Path) -> None:
    path = made.write_run(tmp_path)
    (path / "artifacts" / "episodes.parquet").write_bytes(b"cut off")
    said: list[str] = []
    assert save_episode_gifs(load_run(path), tmp_path, said.append) == []
    assert len(said) == 1 and "episodes.parquet" in said[0]


def test_a_world_with_an_odd_number_of_colours_is_drawn(tmp_path: Path) -> None:
    from workbench.families.internal_rl.figures.gifs import _frames

    table = made.episode("held-out", 0, "first").assign(colours="4,20,24")
    assert len(_frames(episodes_of(table)[0], "")) == 9
