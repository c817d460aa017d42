"""Long work outside the page's script: a thread that reports its progress and can be cancelled.

Work is a function of its :class:`Job`.  It calls ``job.report(...)`` now and then, which notes how far it is and, once
someone has asked for it, raises :class:`Cancelled`.  A job outlives the run of the script that started it.
``computed`` is what a view needs most: a result that belongs to its inputs, computed again when they change, with the
progress shown until it is there.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.views.text import plain, say_error

PATIENCE = 0.7  # seconds that a page waits for work before it shows a progress bar instead
_POLL = 1.0
_LOG = logging.getLogger(__name__)


class Cancelled(BaseException):
    """Raised inside work whose job was cancelled; not an ``Exception``, so that no handler takes it for a failure."""


class Job:
    """Work in a thread.  ``state`` is ``running``, ``finished`` (then ``result`` is there), ``cancelled`` or ``failed``
    (then ``error`` is one line); ``done`` of ``total`` pieces are finished, ``total`` None while it is not known."""

    def __init__(self, name: str, work: Callable[[Job], Any]) -> None:
        self.id, self.name = secrets.token_hex(8), name
        self.state, self.error = "running", ""
        self.result: Any = None
        self.done, self.message = 0, ""
        self.total: int | None = None
        self._started = time.monotonic()
        self._work: Callable[[Job], Any] | None = work
        self._cancel, self._over = threading.Event(), threading.Event()

    def report(self, done: int | None = None, total: int | None = None, message: str | None = None) -> None:
        """Note the progress; what is None stays.  Raises :class:`Cancelled` when the job was cancelled."""
        if self._cancel.is_set():
            raise Cancelled
        self.done = self.done if done is None else done
        self.total = self.total if total is None else total
        self.message = self.message if message is None else message

    def cancel(self) -> None:
        """Ask the work to stop; it does so at its next report."""
        self._cancel.set()

    @property
    def cancelling(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancel.is_set()

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._started

    @property
    def over(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._over.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is over, at most so long; returns :attr:`over`."""
        return self._over.wait(seconds)

    def run(self) -> None:
        """The thread's body."""
        try:
            self.report()
            assert self._work is not None
            self.result = self._work(self)
            self.state = "finished"
        except Cancelled:
            self.state = "cancelled"
        except WorkbenchError as error:
            self.state, self.error = "failed", str(error)
        except BaseException as error:
            _LOG.exception("job %s failed", self.name)
            reason = next(iter(str(error).splitlines()), "")
            self.state, self.error = "failed", f"{self.name} failed ({type(error).__name__}: {reason[:200]})"
        finally:
            self._work = None  # what it holds on to, such as a model, can go
            self._over.set()


def start(name: str, work: Callable[[Job], Any]) -> Job:
    """Start ``work(job)`` in a thread; ``name`` is shown beside its progress."""
    job = Job(name, work)
    threading.Thread(target=job.run, name=f"job {name}", daemon=True).start()
    return job


def show_job(job: Job) -> None:
    """Progress and a button to cancel, kept up to date; when the job is over the whole page is drawn again."""

    @st.fragment(run_every=_POLL)
    def watch() -> None:
        if job.over:
            st.rerun()
        left, right = st.columns([5, 1], vertical_alignment="center")
        if job.total:
            text = f"{job.name}: {job.done} of {job.total} {job.message}".strip()
            left.progress(min(1.0, job.done / job.total), text=plain(text))
        else:
            left.markdown(f":material/hourglass_top: {plain(job.name)} {plain(job.message)} ({job.seconds:.0f} s)")
        given: dict[str, Any] = {"on_click": job.cancel, "disabled": job.cancelling, "width": "stretch"}
        right.button("Cancelling" if job.cancelling else "Cancel", key=f"cancel-{job.id}", **given)

    # In a container of the page's own: a busy server drops a fragment's messages for those of its next run, and then
    # what stands after it has no place in the browser.
    with st.container():
        watch()


def computed(slot: str, inputs: Hashable, name: str, work: Callable[[Job], Any]) -> Any:
    """The result of ``work`` for ``inputs``, or None while it is being computed (progress is then shown here), after it
    failed (the reason is) or was cancelled.

    A session has one job a ``slot``: new inputs cancel the work on old ones.  Short work is there before the page is
    drawn, so moving a slider gives the new result at once.
    """
    known: tuple[Hashable, Job] | None = st.session_state.get(f"_job-{slot}")
    if known is None or known[0] != inputs:
        if known:
            known[1].cancel()
        known = (inputs, start(name, work))
        st.session_state[f"_job-{slot}"] = known
    job = known[1]
    job.wait(PATIENCE)
    if not job.over:
        show_job(job)
        return None
    if job.state == "finished":
        return job.result
    if job.state == "failed":
        say_error(job.error)
    else:
        st.info(f"{plain(name)}: cancelled.")
    if st.button("Try again", key=f"again-{slot}"):
        forget(slot)
        st.rerun()
    return None


def forget(slot: str) -> None:
    """Drop the result of a slot, so that it is computed again."""
    known = st.session_state.pop(f"_job-{slot}", None)
    if known:
        known[1].cancel()
