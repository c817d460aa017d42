"""What the server is to this machine and to others, and what a broken run is to it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow


def listening(server: Any) -> list[Any]:
    """Addresses (ip, port) on which the command and its children listen."""
    command = psutil.Process(server.process.pid)
    everyone = [command, *command.children(recursive=True)]
    found = [each for process in everyone for each in process.net_connections("inet")]
    return [each.laddr for each in found if each.status == psutil.CONN_LISTEN]


def lives(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_server_listens_to_this_machine_only(server: Any) -> None:
    addresses = listening(server)
    assert [tuple(each) for each in addresses] == [("127.0.0.1", server.port)]
    own = [
        each.address
        for cards in psutil.net_if_addrs().values()
        for each in cards
        if each.family == socket.AF_INET and not each.address.startswith("127.")
    ]
    for address in own:
        with pytest.raises(OSError), socket.create_connection((address, server.port), timeout=5):
            pass


def test_ctrl_c_ends_the_server_and_frees_its_port(start_app: Callable[[Path], Any], tmp_path: Path) -> None:
    with start_app(tmp_path) as server:
        family = [server.process.pid, *(each.pid for each in psutil.Process(server.process.pid).children())]
        assert listening(server)
    assert server.process.returncode == 0
    last = time.monotonic() + 10  # the command does not wait for the server's last words
    while left := [pid for pid in family if lives(pid)]:
        assert time.monotonic() < last, left
        time.sleep(0.1)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", server.port))


def test_broken_run_is_shown_as_broken_and_the_others_stay(tab: Any, goal_run: str) -> None:
    tab.go("Runs", run="east/broken")
    alert = tab.page.get_by_test_id("stAlert")
    assert "This run is broken" in alert.inner_text() and "spec.json" in alert.inner_text()
    tab.choose("Run", goal_run)
    assert alert.count() == 0 and f"{goal_run}: finished" in tab.text
    tab.go("EAST")
    assert (
        alert.count() == 0 and tab.page.get_by_role("combobox", name="Run", exact=True).input_value() != "east/broken"
    )


PATHS = ("/", "/east", "/_stcore/health", "/_stcore/host-config", "/static/index.html", "/media/x", "/nowhere")


@pytest.mark.parametrize(
    "host", ["pages.example", "127.0.0.1.example", "localhost.example", "localhost:port", "", None]
)
def test_nothing_is_served_to_pages_that_ask_for_another_host(server: Any, host: str | None) -> None:
    assert {answer(server, path, host) for path in PATHS} <= {400, 403}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_pages_are_served_under_every_loopback_name(server: Any, host: str) -> None:
    assert {answer(server, path, f"{host}:{server.port}") for path in PATHS} == {200, 404}


def answer(server: Any, path: str, host: str | None) -> int:
    """The status of a request."""
    wire = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    wire.putrequest("GET", path, skip_host=True)
    if host is not None:
        wire.putheader("Host", host)
    wire.endheaders()
    with contextlib.closing(wire):
        return wire.getresponse().status


@pytest.mark.parametrize(("host", "answer"), [("127.0.0.1", 101), ("localhost", 101), ("pages.example", 403)])
def test_socket_is_refused_to_pages_that_ask_for_another_host(server: Any, host: str, answer: int) -> None:
    asked = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}:{server.port}\r\nOrigin: http://{host}:{server.port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as wire:
        wire.sendall(asked.encode())
        assert wire.recv(64).split()[1] == str(answer).encode()
