"""The explorer's server: for browsers on this machine that ask for it by one of its names.

A page of someone else's can point a name of its own at 127.0.0.1 and would then read what is served there (DNS
rebinding); what such a page's browser sends names that host.  Streamlit asks for the name on its WebSocket only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamlit.web.server.starlette import App
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

ADDRESS = "127.0.0.1"
LOOPBACK = ("localhost", ADDRESS, "::1")
_REFUSED = "This server does not answer to that host name; `workbench app --host NAME` allows one.\n"


def serve(script: Path, port: int, hosts: Sequence[str] = ()) -> None:
    """Serve ``script`` until a signal ends it, to this machine's browsers that ask for a loopback name or ``hosts``."""
    from starlette.middleware import Middleware

    sys.argv = [str(script)]  # whose folder Streamlit takes for the script's
    App(script, middleware=[Middleware(OwnHostOnly)]).run(config=options(port, hosts))


def options(port: int, hosts: Sequence[str] = ()) -> dict[str, Any]:
    """Streamlit's options for it."""
    return {
        "server.address": ADDRESS, "server.port": port, "server.headless": True,
        "server.allowedHosts": [*LOOPBACK, *hosts],
        # Otherwise every click ends with a walk over all objects (0.3 s once torch is loaded) and all modules' files.
        "runner.postScriptGC": False, "server.fileWatcherType": "none", "browser.gatherUsageStats": False,
    }  # fmt: skip


class OwnHostOnly:
    """Refuses every request whose ``Host`` is none of ``server.allowedHosts``, by the rule of Streamlit's WebSocket."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse

        answer = self.app
        if scope["type"] == "http" and not is_host_allowed(Headers(scope=scope).get("host")):
            answer = PlainTextResponse(_REFUSED, 403)
        await answer(scope, receive, send)
