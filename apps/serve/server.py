"""Runs the API on 127.0.0.1 until a signal ends it."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType

import uvicorn

from apps.serve.api import make_api
from apps.serve.worker import Worker

ADDRESS = "127.0.0.1"
LOOPBACK = ("localhost", ADDRESS, "::1")
_PATIENCE = 5  # seconds that answers may take to end once a signal came


class Server(uvicorn.Server):
    """A server whose worker stops at the first signal, so that open answers end at once."""

    worker: Worker

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to end."""
        self.worker.close()
        super().handle_exit(sig, frame)


def serve(worker: Worker, port: int, key: str | None = None, hosts: Sequence[str] = ()) -> None:
    """Answer requests from this machine until a signal comes.  One process and no child: nothing outlives it."""
    api = make_api(worker, key, [*LOOPBACK, *(host.lower() for host in hosts)])
    config = uvicorn.Config(
        api, ADDRESS, port, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=_PATIENCE
    )
    server = Server(config)
    server.worker = worker
    worker.start()
    try:
        server.run()
    finally:
        worker.close()
        worker.join(_PATIENCE)
