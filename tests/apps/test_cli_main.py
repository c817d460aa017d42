"""The command line itself: help, version, and what becomes of errors."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.cli.errors import leaves
from apps.cli.main import commands, main
from workbench.errors import SpecError, WorkbenchError
from workbench.families import families
from workbench.files import read_object
from workbench.runs import RunFolder

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
    heavy = ("torch", "transformers", "pandas", "sklearn", "streamlit", "plotly")
    code = f"import sys; from apps.cli import main; main(['--help']); print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"  • {name} " in done.stdout for name in commands()) and "examples:" in done.stdout


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from workbench import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"workbench {__version__}\n"


@pytest.mark.parametrize("words", [*leaves(commands()), "run", "runs", "models"])
def test_every_command_explains_its_options(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(), "--help"]) == 0
    assert f"usage: workbench {words}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["runz"], "did you mean 'run'"),
        (["runs"], "needs one of: list, show, export"),
        (["runs", "lst"], "did you mean 'list'"),
        (["run"], "'workbench run' needs one of: deception, east, "),
        (["run", "esat"], "did you mean 'east'"),
        (["run", "--preset", "smoke"], f"workbench run {next(iter(families()))} --preset smoke"),
        (["app", "--prot", "80"], "did you mean '--port'?"),
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


def _raising(error: BaseException) -> Callable[..., None]:
    def stop(*_: object, **__: object) -> None:
        raise error

    return stop


def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("apps.cli.run.run", _raising(KeyboardInterrupt()))
    assert main(["run", "east", "--preset", "demo", "--runs", str(tmp_path)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; the same command goes on where it stopped"


def _ended_by(*requests: signal.Signals) -> Callable[..., None]:
    """A run that gets these signals while it works."""

    def run(family: object, spec: object, root: Path, *_: object, **__: object) -> None:
        with RunFolder.open(root, "east", {"seed": 0}, "ended", {}) as folder:
            folder.plan(["left"])
            for request in requests:
                os.kill(os.getpid(), request)
            raise ValueError("it went on")

    return run


@pytest.fixture
def handled(request: pytest.FixtureRequest) -> Iterator[None]:
    """SIGHUP is handled as the parameter says, whatever the tests were started from."""
    before = signal.signal(signal.SIGHUP, request.param)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("request_to_end", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("handled", [signal.SIG_DFL], indirect=True)
def test_a_request_to_end_and_a_closed_terminal_are_an_interrupt(
    request_to_end: signal.Signals, handled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("apps.cli.run.run", _ended_by(request_to_end))
    assert main(["run", "east", "--preset", "demo", "--runs", str(tmp_path)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; the same command goes on where it stopped"
    assert read_object(tmp_path / "east" / "ended" / "status.json")["state"] == "interrupted"
    assert signal.getsignal(request_to_end) is signal.SIG_DFL, "what calls main has its own way back"


@pytest.mark.parametrize("handled", [signal.SIG_IGN], indirect=True)
def test_what_nohup_left_running_outlives_its_terminal(
    handled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.cli.run.run", _ended_by(signal.SIGHUP, signal.SIGTERM))
    assert main(["run", "east", "--preset", "demo", "--runs", str(tmp_path)]) == 130
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_closed_terminal_does_not_make_the_run_fail(tmp_path: Path) -> None:
    """Writing to a terminal that is gone is an error, and the last thing that a bar does."""
    code = """
import apps.cli.run, signal, sys, time
from apps.cli import main
from workbench.runs import RunFolder

def run(family, spec, root, *_, **__):
    with RunFolder.open(root, "east", {"seed": 0}, "ended", {}) as folder:
        folder.plan(["left"])
        try:
            print("at work", flush=True)
            time.sleep(60)
        finally:
            print("the end of a bar", flush=True)

apps.cli.run.run = run
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests were started from
sys.exit(main(["run", "east", "--preset", "demo", "--runs", sys.argv[1]]))
"""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    while b"at work" not in os.read(ours, 1000):
        pass
    os.close(ours)
    assert command.wait(60) == 130
    assert read_object(tmp_path / "east" / "ended" / "status.json")["state"] == "interrupted"


def test_an_error_of_several_lines_is_printed_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("apps.cli.run.run", _raising(WorkbenchError("one\n  two")))
    assert main(["run", "east", "--preset", "demo", "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: one two"


@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "variable":
        monkeypatch.setenv("WORKBENCH_DEBUG", "1")
    with pytest.raises(SpecError):
        main(["runz", *(["--debug"] if how == "option" else [])])


def test_a_bug_of_ours_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.cli.run.run", _raising(ValueError("of ours")))
    with pytest.raises(ValueError, match="of ours"):
        main(["run", "east", "--preset", "demo", "--runs", str(tmp_path)])
