"""``workbench app`` on a free port of this machine, started and ended as the command line does it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PATIENCE", "ROOT", "Server", "serving"]

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds: two workers share the machine with the models


@dataclass
class Server:
    """``workbench app`` on a folder of runs."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    read: int = 0

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def traces(self) -> str:
        """What the server has written since the last call, if there is a traceback in it."""
        text = self.log.read_text(errors="replace")[self.read :]
        self.read += len(text)
        return text if "Traceback" in text else ""


@contextlib.contextmanager
def serving(folder: Path, log: Path) -> Iterator[Server]:
    """The app on a folder of runs; what it writes goes to ``log``.  Ctrl-C ends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apps.cli", "app", "--runs", str(folder), "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
    server = Server(f"http://127.0.0.1:{port}", folder, process, log)
    try:
        _wait_for(server)
        yield server
    finally:
        _end(process)


def _wait_for(server: Server) -> None:
    last = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=5):
            return
        assert server.process.poll() is None and time.monotonic() < last, server.log.read_text(errors="replace")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    for each in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, each)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return
