"""Requests that cannot be answered, clients that hang up, queues that are full, and how the server ends."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from apps.cli.main import main
from tests.apps.serve.conftest import MODEL
from tests.apps.serve.serving import Served, serving

openai = pytest.importorskip("openai", reason="the client openai is not installed")

CHAT = [{"role": "user", "content": "Button 1 paid 80 points."}]
SOON = 20.0  # seconds


def posted(server: Served, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and error of a raw request."""
    request = urllib.request.Request(f"{server.url}{path}", body, {"Content-Type": "application/json"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, {}
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]


def long_text(server: Served, prompt: str, **fields: Any) -> Any:
    """A completion that goes on for seconds."""
    return server.client().completions.create(model=MODEL, prompt=prompt, max_tokens=4000, temperature=0, **fields)


# ---- malformed requests


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"model": "bandit-agnet"}, 404, "there is no model 'bandit-agnet'; did you mean 'bandit-agent'?"),
        ({"steering": [{"vector": "e", "dose": 1}]}, 404, "there is no vector 'e'; valid: a, b, c, d"),
        ({"steering": [{"vector": "../a.safetensors", "dose": 1}]}, 404, "there is no vector"),
        ({"readouts": ["two", "four"]}, 404, "there is no probe 'four'"),
        ({"steering": [{"vector": "a"}]}, 400, "steering.0: say one of dose, multiplier and target"),
        ({"steering": [{"vector": "a", "dose": 1, "target": 1}]}, 400, "say one of dose, multiplier and target"),
        ({"steering": [{"vector": "a", "dose": "1.5x"}]}, 400, "steering.0.dose: Input should be a valid number"),
        ({"steering": [{"vector": "a", "dose": 1, "layer": 99}]}, 400, "blocks.99.hook_resid_post does not exist"),
        ({"steering": [{"vector": "a", "dose": 1, "layer": "1.attn.z"}]}, 400, "attn.z"),
        ({"steering": [{"vector": "a", "dose": 1, "scope": "everywhere"}]}, 400, "cannot read scope 'everywhere'"),
        ({"steering": [{"vector": "a", "dose": 1, "path": "/etc"}]}, 400, "there is no field steering.0.path"),
        ({"steering": [{"vector": "a", "dose": 1, "gate": {"vector": "b"}}]}, 400, "say above, below or both"),
        ({"steering": [{"vector": "a", "dose": 1, "gate": {"above": 0}}]}, 400, "say a vector or a probe"),
        ({"steering": [{"vector": "a", "dose": 1, "gate": {"vector": "e", "above": 0}}]}, 404, "no vector 'e'"),
        ({"steering": [{"vector": "a", "dose": 1, "gate": {"probe": "four", "above": 0}}]}, 404, "no probe 'four'"),
        ({"steering": [{"vector": "a", "dose": 1, "gate": {"vector": "b", "above": 0}}]}, 400, "which comes after"),
        ({"steering": [{"vector": "a", "dose": 1, "gate": {"probe": "three", "above": 0}}]}, 400, "3 targets"),
        ({"temperature": -1}, 400, "temperature must be a finite number of at least 0"),
        ({"temperature": "hot"}, 400, "temperature: Input should be a valid number"),
        ({"top_p": 0}, 400, "top_p 0"),
        ({"n": 0}, 400, "n: Input should be greater than or equal to 1"),
        ({"n": 129}, 400, "n: Input should be less than or equal to 128"),
        ({"max_tokens": 0}, 400, "max_completion_tokens must be at least 1"),
        ({"max_tokens": 100_000}, 400, "exceed the 4096 positions of bandit-agent"),
        ({"stop": ""}, 400, "a stop string is empty"),
        ({"top_logprobs": 3}, 400, "top_logprobs needs logprobs: true"),
        ({"top_logprobs": 21, "logprobs": True}, 400, "top_logprobs: Input should be less than or equal to 20"),
        ({"frequency_penalty": 0.5}, 400, "frequency_penalty is not done here"),
        ({"tools": [{"type": "function"}]}, 400, "tools is not done here"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format is not done here"),
        ({"temprature": 1}, 400, "there is no field temprature"),
        ({"messages": []}, 400, "messages must hold at least one message"),
        ({"messages": [{"role": "user"}]}, 400, "has no text in its 'content'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "has a part"),
        ({"messages": "hello"}, 400, "messages: Input should be a valid list"),
    ],
)
def test_a_field_that_cannot_be_honoured_is_refused_in_one_line(
    server: Served, fields: dict[str, Any], status: int, said: str
) -> None:
    body = {"model": MODEL, "messages": CHAT, "max_tokens": 3} | fields
    found, error = posted(server, "/v1/chat/completions", json.dumps(body).encode())
    assert (found, said in error["message"]) == (status, True), (found, error)
    assert "\n" not in error["message"] and set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prompt": ""}, None),  # a BOS is a prompt
        ({"prompt": []}, "prompt must be one prompt or a list"),
        ({"prompt": [[]]}, "is empty"),
        ({"prompt": [10**6]}, "none of the model's"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"max_tokens": 0}, "max_tokens 0 needs echo"),
        ({"best_of": 3}, "best_of is not done here"),
        ({"suffix": "end"}, "suffix is not done here"),
        ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
    ],
)
def test_a_completion_request_is_checked_too(server: Served, fields: dict[str, Any], said: str | None) -> None:
    body = {"model": MODEL, "prompt": "Button", "max_tokens": 3} | fields
    found, error = posted(server, "/v1/completions", json.dumps(body).encode())
    assert (found, error) == (200, {}) if said is None else (found == 400 and said in error["message"]), error


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/chat/completions", b"", 400, "no JSON object"),
        ("/v1/chat/completions", b"{nonsense", 400, "the body is not JSON"),
        ("/v1/chat/completions", b"\xff\xfe\x00", 400, ""),
        ("/v1/chat/completions", b"[1, 2]", 400, "no JSON object"),
        ("/v1/chat/completions", b'{"model": NaN}', 400, "model"),
        ("/v1/chat/completions", b"[" * 100_000, 400, ""),
        ("/v1/nothing", b"{}", 404, "Not Found"),
        ("/v1/models", b"{}", 405, "Method Not Allowed"),
    ],
)
def test_a_body_that_is_no_request_is_refused(server: Served, path: str, body: bytes, status: int, said: str) -> None:
    found, error = posted(server, path, body)
    assert found == status and said in error["message"], error


def test_what_a_web_page_could_send_unasked_is_refused(server: Served) -> None:
    body = json.dumps({"model": MODEL, "prompt": "a"}).encode()
    assert posted(server, "/v1/completions", body)[0] == 200
    status, error = posted(server, "/v1/completions", body, **{"Content-Type": "text/plain"})
    assert status == 400 and "application/json" in error["message"]
    status, error = posted(server, "/v1/completions", body, Host="rebound.example")
    assert status == 403 and "workbench serve --host NAME" in error["message"]


def test_clients_read_errors_as_their_own(server: Served) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model"):
        server.client().chat.completions.create(model="gpt", messages=CHAT)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        server.client().chat.completions.create(model=MODEL, messages=CHAT, temperature=-1)


def test_a_vector_too_large_is_an_error_of_its_own_request_only(server: Served, bandit_model: Any) -> None:
    (expected,) = bandit_model.generate([CHAT], n=3, max_new_tokens=30, seeds=1)

    def ask(k: int) -> Any:
        steering = [{"vector": "a", "multiplier": 1e38, "layer": -1}] if k % 4 == 1 else []
        try:
            return server.client().chat.completions.create(
                model=MODEL, messages=CHAT, n=3, max_tokens=30, seed=1, extra_body={"steering": steering}
            )
        except openai.BadRequestError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    for k, answer in enumerate(found):
        if k % 4 == 1:
            assert "the logits are not finite" in str(answer)
        else:
            assert [each.message.content for each in answer.choices] == [each.text for each in expected]


# ---- clients that hang up, and too many of them


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that writes one completion at once and lets one more wait."""
    log = tmp_path_factory.mktemp("narrow") / "log"
    with serving(log, "--model", MODEL, "--max-batch", 1, "--max-waiting", 1) as served:
        yield served
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
def test_who_hangs_up_frees_its_place(narrow: Served, endless: str, stream: bool) -> None:
    if stream:
        chunks = long_text(narrow, endless, stream=True)
        next(iter(chunks))
        assert narrow.state()["running"] == 1
        chunks.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            narrow.client(timeout=0.5).completions.create(model=MODEL, prompt=endless, max_tokens=4000, temperature=0)
    begun = time.monotonic()
    narrow.client().completions.create(model=MODEL, prompt="Button", max_tokens=2)
    assert time.monotonic() - begun < SOON
    narrow.wait_for(running=0, waiting=0)


@pytest.mark.slow
def test_who_hangs_up_while_it_waits_is_never_run(narrow: Served, endless: str) -> None:
    chunks = long_text(narrow, endless, stream=True)
    next(iter(chunks))
    with pytest.raises(openai.APITimeoutError):
        narrow.client(timeout=0.5).completions.create(model=MODEL, prompt=endless, max_tokens=4000, temperature=0)
    chunks.close()
    narrow.wait_for(running=0, waiting=0)


@pytest.mark.slow
def test_a_request_too_many_is_told_so(narrow: Served, endless: str) -> None:
    chunks = long_text(narrow, endless, stream=True)
    next(iter(chunks))
    waiting = threading.Thread(
        target=lambda: narrow.client().completions.create(model=MODEL, prompt="Button", max_tokens=2)
    )
    waiting.start()
    narrow.wait_for(running=1, waiting=1)
    with pytest.raises(openai.RateLimitError, match="1 requests are waiting already"):
        narrow.client().completions.create(model=MODEL, prompt="Button", max_tokens=2)
    chunks.close()
    waiting.join(60)
    narrow.wait_for(running=0, waiting=0)


# ---- the end


@pytest.mark.slow
def test_a_key_is_asked_for_where_one_was_given(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--model", MODEL, "--api-key", "sesame") as served:
        assert posted(served, "/v1/completions", b"{}")[0] == 401
        assert served.client(api_key="sesame").models.list().data[0].id == MODEL
        with pytest.raises(openai.AuthenticationError, match="the key is missing or wrong"):
            served.client(api_key="guess").models.list()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_it_ends_at_once_in_the_middle_of_an_answer_and_nothing_stays(
    tmp_path: Path, endless: str, number: signal.Signals, code: int
) -> None:
    with serving(tmp_path / "log", "--model", MODEL) as served:
        chunks = iter(long_text(served, endless, stream=True))
        next(chunks)
        command = psutil.Process(served.process.pid)
        assert command.children(recursive=True) == []
        assert [c.laddr.ip for c in command.net_connections() if c.status == psutil.CONN_LISTEN] == ["127.0.0.1"]
        served.process.send_signal(number)
        if number != signal.SIGKILL:
            with pytest.raises(openai.APIError, match="shutting down"):
                list(chunks)
        assert served.process.wait(SOON) == code
        with socket.create_server(("127.0.0.1", served.port)):
            pass
        assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vector", "a.safetensors"], "--vector 'a.safetensors': write NAME=FILE"),
        (["--vector", "a=no.safetensors"], "no.safetensors"),
        (["--vector", "a=x", "--vector", "a=y"], "--vector names 'a' twice"),
        (["--probe", "p=no.safetensors"], "no.safetensors"),
        (["--vectors", "no-such-folder"], "--vectors no-such-folder: there is no such folder"),
        (["--max-batch", "0"], "--max-batch must be at least 1"),
        (["--port", "0"], "port 0 does not exist"),
        (["--host", "http://x"], "is no host name"),
        (["--backend", "jax"], "jax"),
    ],
)
def test_what_it_cannot_serve_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--model", MODEL, "--port", "8099", *words]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error


def test_without_its_extra_the_command_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--model", MODEL]) == 2
    assert "activation-workbench[serve]" in capsys.readouterr().err
