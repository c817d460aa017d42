"""``workbench app``."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import apps
from workbench.console import Runs, log, option
from workbench.errors import WorkbenchError
from workbench.runs import check_root

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def app(
    runs: Runs = Path("runs"),
    port: Annotated[int, option("of http://127.0.0.1:PORT")] = 8501,
    host: Annotated[tuple[str, ...], option("further names of this machine that a browser may ask for")] = (),
) -> NoReturn:
    """Look at runs in the browser.  The page is served to this machine only; Ctrl-C ends it.

    Runs that were started on its pages go on without it.
    """
    if not 1 <= port <= 65535:
        raise WorkbenchError(f"port {port} does not exist: choose one from 1 to 65535")
    script = Path(apps.__file__).parent / "explorer" / "main.py"
    if not script.exists():
        raise WorkbenchError(f"the app is not part of this installation: {script} is missing")
    root = check_root(runs).resolve()
    _check_free(port)
    log(f"http://127.0.0.1:{port} shows the runs in {root}; Ctrl-C ends it")
    words = command(script, port, host)
    # This process becomes the server: whatever ends the one has ended the other.
    os.execve(words[0], words, os.environ | {"WORKBENCH_RUNS": str(root)})


def _check_free(port: int) -> None:
    """Raise :class:`WorkbenchError` when another process has the port."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was left a moment ago is free
        try:
            place.bind(("127.0.0.1", port))
        except OSError as error:
            raise WorkbenchError(f"port {port} cannot be taken ({error.strerror}): choose another --port") from error


def command(script: Path, port: int, hosts: Sequence[str] = ()) -> list[str]:
    """The command that serves ``script``, to this machine only, to browsers that ask for it by one of its names."""
    server = ["--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true"]
    for host in (*LOOPBACK, *hosts):
        server += ["--server.allowedHosts", host]
    start = [sys.executable, "-m", "streamlit", "run", str(script)]
    # Otherwise every click ends with a walk over all objects (0.3 s once torch is loaded) and over all modules' files.
    quick = ["--runner.postScriptGC", "false", "--server.fileWatcherType", "none"]
    return [*start, *server, *quick, "--browser.gatherUsageStats", "false"]
