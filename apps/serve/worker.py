"""The one thread that runs the model: takes requests from a queue into a batch, steps it, and sends what comes of it.

Requests join the batch between two tokens and leave it when they are done, or when nobody waits for them any more.
Those whose logits are not finite are run again by themselves, since a vector that breaks the pass of one may break that
of others with the same prompt.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Iterable, Sequence

from torch import Tensor

from apps.serve.jobs import CANCELLED, Done, Job, Said, Written
from apps.serve.reading import Reader
from apps.serve.refusals import Refusal, busy, closing
from apps.serve.shelf import Shelf
from steering import side_by_side
from workbench.console import log
from workbench.errors import WorkbenchError
from workbench.models.memory import is_out_of_memory, slot_budget
from workbench.models.rolling import NOT_FINITE, OneByOne, OwnLeaf, Rolling, room_of
from workbench.models.sharing import SHARED, DecodingPath
from workbench.models.token_probabilities import token_texts

_FINISHES = {"length": "length", "eos": "stop", "stop": "stop"}


class Worker:
    """Runs jobs until it is closed.

    ``max_batch``: completions that are written at once (a request with more is run by itself); ``max_waiting``:
    requests that may wait.
    """

    def __init__(self, shelf: Shelf, max_batch: int = 64, max_waiting: int = 256) -> None:
        self.model, self.shelf = shelf.model, shelf
        self.max_batch, self.max_waiting = max_batch, max_waiting
        self._reader = Reader(shelf)
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._batches: dict[str, Rolling | OneByOne] = {}
        self._change = threading.Condition()
        self._closing = False
        self._budget = slot_budget(self.model.backend)
        self._room: dict[Job, int] = {}
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job into the queue; :class:`Refusal` when that is full, or the server ends."""
        with self._change:
            if self._closing:
                raise closing()
            self._waiting = deque(each for each in self._waiting if not each.cancelled)
            if len(self._waiting) >= self.max_waiting:
                raise busy(len(self._waiting))
            self._waiting.append(job)
            self._change.notify()

    def close(self) -> None:
        """Take no more jobs, and refuse those that are not done after the next token."""
        with self._change:
            self._closing = True
            self._change.notify()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(seconds)

    def state(self) -> dict[str, int]:
        """How many requests run and wait."""
        return {"running": len(self._running), "waiting": len(self._waiting)}

    # ---- the thread

    def _run(self) -> None:
        while True:
            with self._change:
                while not (self._closing or self._waiting or self._running):
                    self._change.wait()
                if self._closing:
                    left, self._running = [*self._running, *self._waiting], []
                    self._waiting.clear()
                    break
                new = self._admitted()
            self._guarded(new)
        for job in left:
            job.send(closing())

    def _admitted(self) -> list[Job]:
        """The jobs that join the batch now, in the order in which they came."""
        new: list[Job] = []
        self._waiting = deque(each for each in self._waiting if not each.cancelled)
        while self._waiting:
            job = self._waiting[0]
            company = [*self._running, *new]
            full = sum(each.rows for each in company) + job.rows > self.max_batch
            if company and (full or job.alone or any(each.alone for each in company) or not self._fits(job, company)):
                break
            new.append(self._waiting.popleft())
        return new

    def _fits(self, job: Job, company: Iterable[Job]) -> bool:
        try:
            room, _ = self._needs(job)
        except Exception:  # a model that cannot be tried: the step says so, to this job
            return True
        return room + sum(self._room.get(each, 0) for each in company) <= self._budget

    def _needs(self, job: Job) -> tuple[int, DecodingPath]:
        room, path = room_of(self.model.backend, job.prompts, job.n, job.new_tokens)
        self._room[job] = room
        return room, path

    def _guarded(self, new: list[Job]) -> None:
        """A step; what fails in it is tried again job by job."""
        try:
            self._step(new)
        except Exception as error:
            self._batches.clear()
            self._retry(list(dict.fromkeys([*self._running, *new])), _refusal(error))

    def _step(self, new: list[Job]) -> None:
        """Take in new jobs, draw a token for each completion, send what is new."""
        self._drop_cancelled()
        self._running += new
        if echoing := [job for job in new if job.echo and job.top is not None]:
            self._reader.read_prompts(echoing)
        if any(job.new_tokens for job in new):
            self._number()
            for path, own in self._by_path(job for job in new if job.new_tokens):
                prompts = [prompt for job in own for prompt in job.prompts]
                self._batch(path).add(prompts, [leaves for job in own for leaves in job.leaves])
        owners = {id(each.leaf): (job, each) for job in self._running for own in job.written for each in own}
        for batch in self._batches.values():
            leaves, logits = batch.step()
            if logits is not None:
                self._note(leaves, logits, owners)
        self._send()

    def _number(self) -> None:
        """Give every prompt its row, and every batch the interventions of all rows."""
        row = 0
        for job in self._running:
            for own in job.leaves:
                for leaf in own:
                    leaf.row = row
                row += 1
        sets, counts = [job.interventions for job in self._running], [len(job.prompts) for job in self._running]
        together = side_by_side(sets, self.model, counts)
        for batch in self._batches.values():
            batch.interventions = together
        self._together = together

    def _by_path(self, jobs: Iterable[Job]) -> Iterable[tuple[DecodingPath, list[Job]]]:
        found: dict[str, tuple[DecodingPath, list[Job]]] = {}
        for job in jobs:
            _, path = self._needs(job)
            found.setdefault(path.name, (path, []))[1].append(job)
        return found.values()

    def _batch(self, path: DecodingPath) -> Rolling | OneByOne:
        if path.name not in self._batches:
            backend = self.model.backend
            self._batches[path.name] = Rolling(backend) if path.name == SHARED else OneByOne(backend, path)
        batch = self._batches[path.name]
        batch.interventions = self._together
        return batch

    def _note(self, leaves: Sequence[OwnLeaf], logits: Tensor, owners: dict[int, tuple[Job, Written]]) -> None:
        """Keep what was asked for of the tokens just drawn, and their likeliest alternatives."""
        asked = []
        for at, leaf in enumerate(leaves):
            job, written = owners[id(leaf)]
            new = len(leaf.token_logprobs) > written.seen and (leaf.finish != "eos" or job.says_end)
            if job.top is not None and new:
                asked.append((at, job, written))
        if not asked:
            return
        logprobs = logits[[at for at, _, _ in asked]].float().log_softmax(-1)
        most = max(1, *(job.top or 0 for _, job, _ in asked))
        values, ids = logprobs.topk(min(most, logits.shape[-1]))
        for (_, job, written), row, likely, tokens in zip(asked, logprobs, values.tolist(), ids.tolist(), strict=True):
            own, top = written.leaf.token_logprobs[-1], job.top or 0
            ended = written.leaf.finish == "eos"  # with the end token of this probability
            last = min(job.ends, key=lambda end: abs(float(row[end]) - own)) if ended else written.leaf.tokens[-1]
            text, *texts = token_texts(self.model, [last, *tokens[:top]])
            written.waiting.append(Said(text, own, list(zip(texts, likely, strict=False))))
            written.seen += 1

    def _send(self) -> None:
        """Send what completions have grown by; end the jobs that are done."""
        if broken := [job for job in self._running if any(x.finish == NOT_FINITE for own in job.leaves for x in own)]:
            self._retry(broken, Refusal("the logits are not finite: a vector or a dose is too large for this model"))
        ended = [job for job in self._running if all(each.leaf.finish for own in job.written for each in own)]
        for job in self._running:
            for written in (each for own in job.written for each in own if not each.ended):
                finish = _FINISHES.get(written.leaf.finish)
                if finish is not None and not job.cancelled:
                    written.ended, written.text = True, job.decode(written.leaf, written.prompt)
                if (finish or job.stream) and (piece := written.piece(job.stops, finish)):
                    job.send(piece)
        if reading := [job for job in ended if job.readouts and not job.cancelled]:
            readings = dict(zip(reading, self._reader.read(reading), strict=True))
        for job in ended:
            self._running.remove(job)
            prompts, own = readings[job] if job in reading else ([], [])
            self._end(job, Done(job.prompts_said, prompts, own))

    def _retry(self, jobs: Sequence[Job], why: Refusal) -> None:
        """Run jobs once more, each by itself; one that was by itself is refused."""
        for job in reversed(jobs):
            if job in self._running:
                self._running.remove(job)
            if job.alone:
                self._end(job, why)
                continue
            job.again()
            with self._change:
                self._waiting.appendleft(job)

    def _drop_cancelled(self) -> None:
        for job in [job for job in self._running if job.cancelled]:
            for own in job.leaves:
                for leaf in own:
                    leaf.finish = leaf.finish or CANCELLED
            self._running.remove(job)
            self._room.pop(job, None)

    def _end(self, job: Job, how: Done | Refusal) -> None:
        self._room.pop(job, None)
        job.send(how)


def _refusal(error: Exception) -> Refusal:
    """What went wrong in the worker, as the client is told; what is no mistake of its own is logged here."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, WorkbenchError):
        return Refusal(str(error))
    if is_out_of_memory(error):
        return Refusal("out of memory: ask for fewer or shorter completions", 503, "server_error", "out_of_memory")
    log("".join(traceback.format_exception(error)))
    return Refusal("the server failed at this request; its log says more", 500, "server_error")
