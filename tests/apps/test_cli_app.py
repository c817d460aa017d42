"""``workbench app``: the port it takes, and that nothing of it stays behind."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from apps.cli.main import main
from tests.browser.serving import serving


def test_a_taken_port_is_one_line_and_nothing_is_said_to_be_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["app", "--runs", str(tmp_path), "--port", str(port)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: port {port} cannot be taken (Address already in use): choose another --port"


@pytest.mark.slow
def test_the_command_is_the_server_itself_so_that_a_request_to_end_frees_the_port(tmp_path: Path) -> None:
    with serving(tmp_path, tmp_path / "log") as server:
        command = psutil.Process(server.process.pid)
        assert [each.laddr.port for each in command.net_connections() if each.status == psutil.CONN_LISTEN] == [
            server.port
        ]
        command.terminate()
        assert server.process.wait(30) == 0
        with socket.create_server(("127.0.0.1", server.port)):
            pass
