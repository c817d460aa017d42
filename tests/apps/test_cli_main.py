"""The command line itself: help, version, and what becomes of errors."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from apps.cli.app import AppOptions
from apps.cli.main import COMMANDS, main
from apps.cli.options import parse
from workbench.errors import SpecError, WorkbenchError

ROOT = Path(__file__).resolve().parents[2]


def _workbench(*argv: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from apps.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *argv], cwd=cwd, capture_output=True, text=True)


def _error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that the command ends with."""
    assert main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines and lines[-1].startswith("error: ") and not any("Traceback" in line for line in lines)
    assert sum(line.startswith("error: ") for line in lines) == 1
    return lines[-1]


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "pandas", "sklearn", "streamlit", "plotly", "tyro")
    code = f"import sys; from apps.cli import main; main(['--help']); print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"  {command.words} " in done.stdout for command in COMMANDS) and "examples:" in done.stdout


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from workbench import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"workbench {__version__}\n"


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.words != "run"], ids=lambda c: c.words)
def test_every_command_explains_its_options(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.words.split()  # type: ignore[attr-defined]
    assert main([*words, "--help"]) == 0
    assert f"usage: workbench {' '.join(words)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["runz"], "did you mean 'run'"),
        (["runs"], "needs one of: list, show, export"),
        (["runs", "lst"], "did you mean 'list'"),
        (["run"], "workbench run east"),
        (["run", "esat"], "did you mean 'east'"),
        (["run", "--preset", "smoke"], "workbench run east --preset smoke"),
        (["app", "--prot", "80"], "did you mean --port?"),
        (["app", "--port", "x"], "option --port: 'x' is not a whole number; it is written --port INT"),
        (["app", "--port"], "option --port needs a value"),
        (["app", "--port", "0"], "port 0"),
        (["runs", "show"], "missing: RUN a run's name"),
        (["train", "bandit-agent", "--preset", "cup"], "did you mean 'cpu'"),
        (["train", "bandit-agent", "--device", "gpuu"], "unknown device 'gpuu'"),
        (["models", "check", "bandit-agent", "--backend", "nnsigt"], "did you mean 'nnsight'"),
    ],
)
def test_a_users_mistake_is_one_line_that_says_what_would_be_right(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in _error(capsys, *argv)


def test_a_mistake_in_a_process_of_its_own_leaves_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    done = _workbench("runs", "list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: runs is a file, not a folder of runs: choose another --runs\n"


@pytest.mark.parametrize("box", ["utf-8", "ascii"])
def test_boxes_of_the_option_parser_are_read_whatever_the_terminal_can_show(
    box: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=box)
    monkeypatch.setattr("sys.stdout", out)
    with pytest.raises(SpecError, match=r"^unknown option: --prot, 80; did you mean --port\? \(see x --help\)$"):
        parse(AppOptions, ["--prot", "80"], "x")


def _raising(error: BaseException) -> object:
    def command(argv: list[str], prog: str) -> int:
        raise error

    return command


def test_an_interrupt_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("apps.cli.run.demo", _raising(KeyboardInterrupt()))
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on where it stopped\n"


def test_an_error_of_several_lines_is_printed_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("apps.cli.run.demo", _raising(WorkbenchError("one\n  two")))
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == "error: one two\n"


@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "variable":
        monkeypatch.setenv("WORKBENCH_DEBUG", "1")
    with pytest.raises(SpecError):
        main(["runz", *(["--debug"] if how == "option" else [])])


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.cli.run.demo", _raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["demo"])
