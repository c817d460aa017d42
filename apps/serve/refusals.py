"""What a request is refused with: a line, a status and OpenAI's name of the case."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.errors import WorkbenchError, did_you_mean


class Refusal(WorkbenchError):
    """A request that is not answered, and the HTTP status that says why."""

    def __init__(
        self, line: str, status: int = 400, kind: str = "invalid_request_error", code: str | None = None,
        param: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(line)
        self.status, self.kind, self.code, self.param = status, kind, code, param

    def body(self) -> dict[str, object]:
        """As OpenAI's API writes an error."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def check_named(name: str, known: Iterable[str], what: str, param: str) -> None:
    """Raise a 404 for a name that is none of those known, with the nearest that is."""
    known = list(known)
    if name not in known:
        hint = did_you_mean(name, known) if known else f"; this server was started without any {what}"
        raise Refusal(f"there is no {what} {name!r}{hint}", 404, code=f"{what}_not_found", param=param)


def busy(waiting: int) -> Refusal:
    """For a request too many."""
    line = f"{waiting} requests are waiting already: ask again later, or start the server with a larger --max-waiting"
    return Refusal(line, 429, "rate_limit_error", "too_many_requests")


def closing() -> Refusal:
    """For requests that a server that ends does not answer any more."""
    return Refusal("the server is shutting down", 503, "server_error", "shutting_down")
