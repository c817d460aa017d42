"""The commands, and what becomes of errors.

A command is a function: tyro makes options of its arguments and a page of help of its docstring.  A mistake of the
user's is one line on stderr and exit code 2; a bug of ours keeps its traceback.  ``--debug`` (or ``WORKBENCH_DEBUG=1``)
shows the traceback of either.  A request to end (SIGTERM: kill, a scheduler) and a closed terminal (SIGHUP) are Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import getdoc
from types import FrameType
from typing import TextIO

import tyro
from tyro._errors import on_parse_error  # private, so the version of tyro is held in pyproject.toml
from tyro.extras import SubcommandApp

from apps.cli import models, run, runs, train
from apps.cli.app import app
from apps.cli.demo import demo
from apps.cli.errors import Commands, refuse
from apps.cli.serve import serve
from workbench import __version__
from workbench.console import log, quiet
from workbench.errors import WorkbenchError
from workbench.families import Family, families

USER_ERROR, INTERRUPTED = 2, 130

_WIDTH = 48
_EXAMPLES = (
    ("workbench runs list", "what has been run here"),
    ("workbench models get smollm2-135m", "a real chat model, fetched once"),
    ("workbench models check MODEL --backend nnsight", ""),
)
_GROUPS = {
    "run": "Run an experiment family, or go on with a run that was stopped.",
    "runs": "The runs in a folder: how far they are, what came of them.",
    "models": "The models that have a name; fetch one; does a back end compute what Hugging Face computes?",
}
_HELP = """Read a model's activations, probe them, steer them, and keep results that can be repeated.

examples:
{examples}

Runs are folders below ./runs (another place: --runs DIR).  A run that was stopped goes on when the same command is
given again.  --help after a command explains its options; --debug shows the traceback of an error.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``workbench`` with ``argv`` (default: the process's arguments); returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given or os.environ.get("WORKBENCH_DEBUG", "") not in ("", "0")
    quiet()
    with _requests_to_end_as_ctrl_c():
        return _answered([word for word in given if word != "--debug"], debug)


def _answered(argv: list[str], debug: bool) -> int:
    """The exit code of a command, its error printed."""
    try:
        return _run(argv)
    except SystemExit as stop:  # tyro has printed a page of help
        return int(stop.code or 0)
    except WorkbenchError as error:
        if debug:
            raise
        return _stop(f"error: {' '.join(str(error).split())}", USER_ERROR)
    except KeyboardInterrupt:
        return _stop("interrupted; the same command goes on where it stopped", INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


@contextmanager
def _requests_to_end_as_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP raise ``KeyboardInterrupt``, at which runs close their folders; an ignored one stays so."""
    here = threading.current_thread() is threading.main_thread()
    wanted = {signal.SIGTERM: signal.default_int_handler, signal.SIGHUP: _hung_up(sys.stdout, sys.stderr)}
    taken = {each: handler for each, handler in wanted.items() if here and signal.getsignal(each) is signal.SIG_DFL}
    for each, handler in taken.items():
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, signal.SIG_DFL)


def _hung_up(*streams: TextIO) -> Callable[[int, FrameType | None], None]:
    """The handler for a terminal that is gone: as a request to end, and what is still said goes nowhere."""
    terminals = [stream.fileno() for stream in streams if stream.isatty()]  # asked now, for one that is gone says no

    def handler(number: int, frame: FrameType | None) -> None:
        for terminal in terminals:
            os.dup2(os.open(os.devnull, os.O_WRONLY), terminal)
        signal.raise_signal(signal.SIGTERM)

    return handler


def _stop(line: str, code: int) -> int:
    log(line)
    return code


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(f"workbench {__version__}")
        return 0
    argv = run.whole_words(argv) or ["--help"]
    known = commands(argv)
    with on_parse_error(partial(refuse, commands=known, argv=argv)):
        done = _app(known, argv).cli(
            prog="workbench", args=argv, description=_help(), config=(tyro.conf.FlagCreatePairsOff,)
        )
    return int(done or 0)


def commands(argv: Sequence[str] = ()) -> Commands:
    """Every command by its word; ``argv`` may name a preset and a file that options of ``run`` start from."""
    return {
        "demo": demo,
        **run.commands(argv),
        **{command.name: command.function for family in families().values() for command in family.commands},
        "runs": {"list": runs.list_all, "show": runs.show, "export": runs.export},
        "models": {"list": models.list_all, "get": models.get, "check": models.check},
        "train": train.train,
        "app": app,
        "serve": serve,
    }


def _app(known: Commands, argv: Sequence[str]) -> SubcommandApp:
    made = SubcommandApp()
    for name, command in known.items():
        if callable(command):
            said = None if list(argv[:1]) == [name] else (getdoc(command) or "").split("\n\n")[0]
            made.command(command, name=name, help=said, is_default=command is models.list_all)
        else:
            made.command(_app(command, argv[1:]), name=name, help=_GROUPS.get(name, f"one of: {', '.join(command)}"))
    return made


def _help() -> str:
    shown = sorted((each for each in families().values() if each.presets), key=lambda each: "demo" not in each.presets)
    lines = [*(_examples(shown[0]) if shown else ()), *_EXAMPLES]
    return _HELP.format(examples="\n".join(f"  {line:{_WIDTH}}  {what}".rstrip() for line, what in lines))


def _examples(family: Family) -> Iterator[tuple[str, str]]:
    words = f"workbench run {family.words}"
    if "demo" in family.presets:
        yield "workbench demo", "a first look, in four minutes"
    yield f"{words} --dry-run", "what would be run, and how much of it"
    if "gpu" in family.presets and "model" in family.spec.model_fields:
        yield f"{words} --preset gpu --model Qwen/Qwen2.5-1.5B-Instruct", ""
    yield f"{words} --spec spec.yaml --runs results", "fields from a file; options override them"
