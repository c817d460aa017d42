"""The HTTP of it: routes, errors in OpenAI's shape, server-sent events, and clients that hang up."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi import Request as HTTPRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from apps.serve.answers import Answer
from apps.serve.asking import answer_to
from apps.serve.fields import ChatRequest, CompletionRequest, Request
from apps.serve.jobs import Done, Event, Piece
from apps.serve.refusals import Refusal, check_named
from apps.serve.worker import Worker
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_HUNG_UP = 499  # nobody reads it


def make_api(worker: Worker, key: str | None = None, hosts: Sequence[str] = ()) -> FastAPI:
    """The application around a worker; ``key``: what requests must bring as a bearer token; ``hosts``: the names by
    which it may be asked for."""
    api = FastAPI(title="workbench serve", openapi_url=None, docs_url=None, redoc_url=None)
    api.add_middleware(Guard, key=key, hosts=frozenset(hosts))
    shelf, name = worker.shelf, worker.model.name
    model = {"id": name, "object": "model", "created": 0, "owned_by": "workbench", "workbench": shelf.about()}

    @api.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", **worker.state()}

    @api.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @api.get("/v1/models/{wanted:path}")
    async def one_model(wanted: str) -> dict[str, Any]:
        check_named(wanted, [name], "model", "model")
        return model

    @api.post("/v1/chat/completions")
    async def chat(request: ChatRequest, http: HTTPRequest) -> Response:
        return await answered(worker, request, http)

    @api.post("/v1/completions")
    async def completions(request: CompletionRequest, http: HTTPRequest) -> Response:
        return await answered(worker, request, http)

    @api.exception_handler(WorkbenchError)
    async def refused(_: HTTPRequest, error: WorkbenchError) -> Response:
        refusal = error if isinstance(error, Refusal) else Refusal(str(error))
        return _refused(refusal)

    @api.exception_handler(RequestValidationError)
    async def malformed(_: HTTPRequest, error: RequestValidationError) -> Response:
        return _refused(_of_fields(error.errors()[0]))

    @api.exception_handler(HTTPException)
    async def http_error(_: HTTPRequest, error: HTTPException) -> Response:
        return _refused(Refusal(f"{error.detail}: see /v1/models, /v1/chat/completions, /v1/completions, /health",
                                error.status_code))  # fmt: skip

    return api


async def answered(worker: Worker, request: Request, http: HTTPRequest) -> Response:
    """The answer to a request, whole or streamed; the job of a client that hangs up is cancelled."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event] = asyncio.Queue()

    def send(event: Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            loop.call_soon_threadsafe(events.put_nowait, event)

    answer = await asyncio.to_thread(answer_to, request, worker.shelf, send)  # it may have to wait for a pass
    worker.submit(answer.job)
    try:
        gone = asyncio.create_task(_hang_up(http))
        first = await _next(events, gone)
        if first is None:
            return Response(status_code=_HUNG_UP)
        if isinstance(first, Refusal):
            raise first
        if answer.job.stream:
            usage = bool(request.stream_options and request.stream_options.include_usage)
            gone.cancel()
            return StreamingResponse(_stream(answer, first, events, usage), media_type="text/event-stream")
        return await _whole(answer, first, events, gone)
    except BaseException:
        answer.job.cancel()
        raise
    finally:
        gone.cancel()


async def _whole(answer: Answer, first: Event, events: asyncio.Queue[Event], gone: asyncio.Task[None]) -> Response:
    pieces: list[Piece] = []
    event: Event | None = first
    while isinstance(event, Piece):
        pieces.append(event)
        event = await _next(events, gone)
    if event is None:
        answer.job.cancel()
        return Response(status_code=_HUNG_UP)
    if isinstance(event, Refusal):
        raise event
    return JSONResponse(answer.whole(pieces, event))


async def _stream(answer: Answer, first: Event, events: asyncio.Queue[Event], usage: bool) -> AsyncIterator[str]:
    """Server-sent events; when the client is gone, it is closed, which cancels the job."""
    sent: dict[int, int] = {}
    about = {"workbench": answer.about}  # with the first chunk
    event = first
    try:
        for chunk in answer.opening():
            yield _sse(chunk | about)
            about = {}
        while isinstance(event, Piece):
            yield _sse(answer.chunk(event, sent.get(event.index, 0)) | about)
            sent[event.index] = sent.get(event.index, 0) + len(event.text)
            about, event = {}, await events.get()
        if isinstance(event, Done):
            for chunk in answer.closing(event, usage):
                yield _sse(chunk)
        else:
            yield _sse(event.body())
        yield "data: [DONE]\n\n"
    finally:
        answer.job.cancel()


async def _next(events: asyncio.Queue[Event], gone: asyncio.Task[None]) -> Event | None:
    """The next event; None when the client hangs up before it."""
    coming = asyncio.ensure_future(events.get())
    await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
    if coming.done():
        return coming.result()
    coming.cancel()
    return None


async def _hang_up(http: HTTPRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _sse(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False, allow_nan=False)}\n\n"


def _refused(refusal: Refusal) -> JSONResponse:
    headers = {"Retry-After": "1"} if refusal.status == 429 else {}
    return JSONResponse(refusal.body(), refusal.status, headers)


def _of_fields(error: Any) -> Refusal:
    """What pydantic found wrong first."""
    place = [str(each) for each in error["loc"] if each != "body"]
    param = ".".join(place) or None
    if error["type"] == "json_invalid":
        return Refusal(f"the body is not JSON: {error.get('ctx', {}).get('error', error['msg'])}")
    if error["type"] == "extra_forbidden":
        return Refusal(f"there is no field {param}", code="unknown_parameter", param=param)
    if not place and error["type"] in ("model_attributes_type", "missing"):
        return Refusal("the body is no JSON object of content type application/json")
    said = error["msg"].removeprefix("Value error, ")
    return Refusal(f"{param}: {said}" if param else said, param=param)


class Guard:
    """Refuses requests that name another host (see :mod:`apps.explorer.server`) or bring no key where one is asked."""

    def __init__(self, app: ASGIApp, key: str | None, hosts: frozenset[str]) -> None:
        self.app, self.key, self.hosts = app, key, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope["path"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (self.app if refusal is None else _refused(refusal))(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> Refusal | None:
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.strip("[]").lower() not in self.hosts:
            line = "this server does not answer to that host name; workbench serve --host NAME allows one"
            return Refusal(line, 403, "permission_error", "host_not_allowed")
        given = headers.get("authorization", "").encode()
        if self.key is not None and path != "/health" and not hmac.compare_digest(given, f"Bearer {self.key}".encode()):
            return Refusal("the key is missing or wrong: send Authorization: Bearer KEY", 401,
                           "authentication_error", "invalid_api_key")  # fmt: skip
        return None
