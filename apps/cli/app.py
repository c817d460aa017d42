"""``workbench app``."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import apps
from workbench.console import Runs, log, option
from workbench.errors import WorkbenchError
from workbench.runs import check_root

_HOST = re.compile(r"(\*\.)?\w[\w-]*(\.\w[\w-]*)*\.?")


def app(
    runs: Runs = Path("runs"),
    port: Annotated[int, option("of http://127.0.0.1:PORT")] = 8501,
    host: Annotated[tuple[str, ...], option("further names of this machine that a browser may ask for")] = (),
) -> int:
    """Look at runs in the browser.  The page is served to this machine only; Ctrl-C ends it.

    Runs that were started on its pages go on without it.
    """
    check_port(port)
    check_hosts(host)
    script = Path(apps.__file__).parent / "explorer" / "main.py"
    if not script.exists():
        raise WorkbenchError(f"the app is not part of this installation: {script} is missing")
    root = check_root(runs).resolve()
    from apps.explorer.server import serve  # loads Streamlit, which no other command needs

    log(f"http://127.0.0.1:{port} shows the runs in {root}; Ctrl-C ends it")
    os.environ["WORKBENCH_RUNS"] = str(root)
    with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        serve(script, port, host)
    return 0


def check_port(port: int) -> None:
    """Raise :class:`WorkbenchError` for a port that there is not, or that another process has."""
    if not 1 <= port <= 65535:
        raise WorkbenchError(f"port {port} does not exist: choose one from 1 to 65535")
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was left a moment ago is free
        try:
            place.bind(("127.0.0.1", port))
        except OSError as error:
            raise WorkbenchError(f"port {port} cannot be taken ({error.strerror}): choose another --port") from error


def check_hosts(names: Sequence[str]) -> None:
    """Raise :class:`WorkbenchError` for what is no name of a host."""
    for name in names:
        if not _HOST.fullmatch(name):
            raise WorkbenchError(f"--host {name!r} is no host name: give it without scheme, port and path")
