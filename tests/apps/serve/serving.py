"""``workbench serve`` in a process of its own on a free port, as the command line starts it, and clients of it."""

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
from typing import Any

__all__ = ["Served", "serving"]

ROOT = Path(__file__).parents[3]
_PATIENCE = 120.0  # seconds


@dataclass
class Served:
    """A server and the process that it is."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, kind: str = "OpenAI", **options: Any) -> Any:
        """The official client, which does not ask twice."""
        import openai

        options = {"api_key": "none", "max_retries": 0, "timeout": _PATIENCE} | options
        return getattr(openai, kind)(base_url=f"{self.url}/v1", **options)

    def state(self) -> dict[str, Any]:
        import json

        with urllib.request.urlopen(f"{self.url}/health", timeout=30) as answer:
            return dict(json.load(answer))

    def wait_for(self, **state: int) -> None:
        """Until it says that so many requests run and wait."""
        last = time.monotonic() + _PATIENCE
        while any(self.state()[key] != value for key, value in state.items()):
            assert time.monotonic() < last, self.state()
            time.sleep(0.02)


@contextlib.contextmanager
def serving(log: Path, *words: object) -> Iterator[Served]:
    """A server started with the options ``words``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apps.cli", "serve", "--port", str(port), *map(str, words)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
    served = Served(f"http://127.0.0.1:{port}", process, log)
    try:
        last = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(OSError):
                served.state()
                break
            assert process.poll() is None and time.monotonic() < last, log.read_text(errors="replace")
            time.sleep(0.1)
        yield served
    finally:
        for each in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, each)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
                break
