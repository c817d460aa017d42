"""``RunFolder``: where one run writes what it finds, so that dying costs at most the step in hand.

The work is cut into named steps; a step's rows appear at once when it is finished, and opening the same spec again
shows which steps are left.  Results are always read back from those files in one fixed order, so a run that was killed
and resumed gives the same table, bit for bit, as one that was left alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from workbench.arguments import a_path, listed, mapping, one_of
from workbench.errors import RunError
from workbench.files import (
    disk_errors,
    json_bytes,
    make_folder,
    read_object,
    remove_temporaries,
    write_bytes,
    write_json,
)
from workbench.locks import Lock
from workbench.provenance import Model
from workbench.provenance import provenance as current_provenance
from workbench.runs.checksums import Checksum, Checksums, digest, digest_of
from workbench.runs.contents import (
    ARTIFACTS,
    FIGURES,
    LOG_FILE,
    PLAN_FILE,
    ROWS,
    SPEC_FILE,
    RunContents,
)
from workbench.runs.names import check_name
from workbench.runs.sameness import check_spec, record_model, record_session
from workbench.runs.specs import plain_json, run_name, spec_data, spec_hash
from workbench.runs.status import LOCK_FILE, STATUS_FILE, RunStatus, error_line, now
from workbench.runs.tensors import tensor_bytes
from workbench.tables import frame_bytes, read_table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor


class RunFolder(RunContents):
    """A run folder open for writing, by this process alone; make one with :meth:`open`.

    >>> import tempfile, pandas as pd
    >>> with tempfile.TemporaryDirectory() as root:
    ...     with RunFolder.open(root, "mine", {"layers": [2, 4]}) as run:
    ...         for step in run.plan(["layer=2", "layer=4"]):
    ...             run.write(step, pd.DataFrame({"step": [step], "entropy": [0.5]}))
    ...     run.status.state, len(run.rows())
    ('finished', 2)
    """

    def __init__(self, path: Path, spec: dict[str, Any], lock: Lock) -> None:
        self.path = path
        self.spec = spec
        self._lock = lock
        self._finished: set[str] = set()
        self._verified: set[str] = set()
        self._saved: dict[str, str] = {}  # artifacts since a step was finished last, with their digests

    @classmethod
    def open(
        cls,
        root: str | os.PathLike[str],
        experiment: str,
        spec: Any,
        name: str | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Make or resume ``root/experiment/name`` and lock it; ``name`` is the hash of the spec unless given.

        ``spec``: a dict or pydantic model that can be written as JSON.  ``provenance``: what
        :func:`workbench.provenance.provenance` returned (called here when left out).
        Raises :class:`RunError` when another process has the folder open, when it belongs to another spec (the first
        differing key is named), or when it cannot be written.
        """
        data = spec_data(spec)
        path = a_path(root, "root") / check_name(experiment, "experiment") / run_name(data, name)
        make_folder(path)
        lock = Lock(path / LOCK_FILE)
        lock.acquire()
        try:
            run = cls(path, data, lock)
            run._begin(provenance)
        except BaseException:
            lock.release()
            raise
        return run

    def plan(self, steps: Iterable[str]) -> list[str]:
        """Record which steps make up the run, and in which order their rows come; returns those not finished yet."""
        planned = list(dict.fromkeys(check_name(step, "step") for step in listed(steps, "steps")))
        self._writable()
        write_json(self.path / PLAN_FILE, {"steps": planned})
        self._update(total=len(planned))
        return [step for step in planned if not self.done(step)]

    def done(self, step: str) -> bool:
        """Whether a step is finished, and all that it wrote is there and whole.

        Of one that is to be done again, the rows are moved aside to ``*.broken``.
        """
        path = self._file(ROWS, step, "step", ".parquet")
        if step in self._finished and step not in self._verified:
            try:
                read_table(path)
                for file in self._sums.of_step(step):
                    self._checked(self.path / file)
                self._verified.add(step)
            except RunError as error:
                self._set_aside(step, path, error)
        return step in self._finished

    def write(self, step: str, frame: pd.DataFrame, saved: Iterable[str] = ()) -> None:
        """Finish a step with its rows; they are on disk when this returns.  A step is finished only once.

        The artifacts that were saved since the step before are its own: should one be lost or broken, it is done again.
        ``saved``: further ones that another process wrote for it, by file name.
        Raises :class:`DataError` for a frame that cannot be a table, :class:`RunError` when it cannot be written.
        """
        self._writable()
        if self.done(step):
            raise RunError(f"step {step!r} is finished already: ask run.done(step) before computing it")
        path, data = self._file(ROWS, step, "step", ".parquet"), frame_bytes(frame, f"step {step!r}")
        others = {f"{ARTIFACTS}/{name}": digest_of(self.path / ARTIFACTS / name) for name in saved}
        self._sums.add(self._saved | others | {f"{ROWS}/{path.name}": digest(data)}, step)
        self._saved = {}
        write_bytes(path, data)
        self._finished.add(step)
        self._verified.add(step)
        self._update(done=len(self._finished))

    def forget(self, step: str) -> None:
        """Remove a finished step, so that it counts as never done; for work that is to be done again."""
        self._writable()
        path = self._file(ROWS, step, "step", ".parquet")
        with disk_errors(path):
            path.unlink(missing_ok=True)
        self._undone(step)

    def save_tensors(
        self, name: str, tensors: Mapping[str, Tensor | np.ndarray], metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Save named tensors and JSON-able metadata as ``artifacts/name.safetensors``, replacing what was there."""
        return self._save(self._file(ARTIFACTS, name, "artifact", ".safetensors"), tensor_bytes(tensors, metadata))

    def save_table(self, name: str, frame: pd.DataFrame) -> Path:
        """Save a table made from the rows (a summary with intervals, say) as ``artifacts/name.parquet``."""
        return self._save(self._file(ARTIFACTS, name, "artifact", ".parquet"), frame_bytes(frame, f"table {name!r}"))

    def write_json(self, name: str, data: Any) -> Path:
        """Save JSON-able data as ``artifacts/name.json``, replacing what was there."""
        path = self._file(ARTIFACTS, name, "artifact", ".json")
        return self._save(path, json_bytes(plain_json(data, f"artifact {name!r}")))

    def uses(self, model: Model, name: str | None = None) -> None:
        """Note a further model that the run's results come from, under ``name`` (default its own).

        Raises :class:`RunError` when another one had that name before: a run that is gone on with must be of the same
        models.
        """
        self._writable()
        record_model(self.path, model, model.name if name is None else name)

    def log(self, message: str) -> None:
        """Add a line, with the time, to ``log.txt``; further lines of a message are indented."""
        self._writable()
        path, message = self.path / LOG_FILE, one_of(message, str, "a message")
        with disk_errors(path), path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{now()} " + message.replace("\n", "\n    ") + "\n")

    @property
    def status(self) -> RunStatus:
        """State, times and progress of this run."""
        return self._status

    def close(self, error: BaseException | None = None) -> None:
        """Write the final state and release the lock; closing twice does nothing.

        Without an error the run is ``finished``, or ``interrupted`` when planned steps are left; an exception makes it
        ``failed`` and a Ctrl-C ``interrupted``.
        """
        if not self._lock.held:
            return
        try:
            left = self._status.total is not None and not self._finished.issuperset(self._planned())
            self._sums.add(self._saved, "")
            self._saved = {}
            crashed = isinstance(error, Exception)
            state = "failed" if crashed else "interrupted" if error is not None or left else "finished"
            self._update(state=state, finished=now(), error=None if error is None else error_line(error))
            self.log(state if error is None else f"{state}: {error_line(error)}")
        finally:
            self._lock.release()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close(error)
        except RunError as second:
            if error is None:
                raise
            # The first error is the one to see: a disk that is full is full for the status file too.
            error.add_note(f"the state of the run could not be written either: {second}")

    def _begin(self, given: Mapping[str, Any] | None) -> None:
        session = plain_json(current_provenance() if given is None else mapping(given, "provenance"), "provenance")
        before, start = self._status_before(), now()
        if (self.path / SPEC_FILE).exists():
            check_spec(self.path, self.spec, before.spec if before else None)
        elif self.steps():
            raise RunError(f"run {self.path} has rows but no {SPEC_FILE}, so nobody knows of what: choose another name")
        else:
            write_json(self.path / SPEC_FILE, self.spec)
        record_session(self.path, session)
        for folder in (ROWS, ARTIFACTS, FIGURES):
            make_folder(self.path / folder)
        remove_temporaries(self.path)
        self._sums, self._finished = Checksums(self.path), set(self.steps())
        created, hashed = before.created if before else start, spec_hash(self.spec)
        self._status = RunStatus("running", created, start, start, done=len(self._finished), spec=hashed)
        self._update()
        self.log(f"opened by process {os.getpid()}, {len(self._finished)} steps finished before")

    def _status_before(self) -> RunStatus | None:
        path = self.path / STATUS_FILE
        try:
            return RunStatus.from_data(read_object(path), path)
        except RunError:  # none yet, or damaged: it is about to be written anew
            return None

    def _checksums(self) -> Mapping[str, Checksum]:
        return self._sums.known

    def _save(self, path: Path, data: bytes | memoryview) -> Path:
        self._writable()
        file = path.relative_to(self.path).as_posix()
        self._sums.forget([file])
        write_bytes(path, data)
        self._saved[file] = digest(data)
        return path

    def _set_aside(self, step: str, path: Path, error: RunError) -> None:
        self._writable()
        with disk_errors(path):
            os.replace(path, path.with_name(f"{path.name}.broken"))
        self._undone(step)
        self.log(f"step {step!r} is done again, its rows were set aside: {error}")

    def _undone(self, step: str) -> None:
        self._sums.forget(self._sums.of_step(step))
        self._finished.discard(step)
        self._verified.discard(step)
        self._update(done=len(self._finished))

    def _update(self, **changes: Any) -> None:
        self._status = dataclasses.replace(self._status, **{"updated": now(), **changes})
        write_json(self.path / STATUS_FILE, dataclasses.asdict(self._status))

    def _writable(self) -> None:
        if not self._lock.held:
            raise RunError(f"run {self.path} is not open in this process: use RunFolder.open to write to it")
