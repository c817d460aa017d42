"""A light copy of a finished run: what the pages read, and no more.

    python -m apps.explorer.light_copy RUNS/FAMILY/NAME --name demo

puts one below ``workbench/views/examples``, the runs that ship with the app (another place: ``--into DIR``).  Kept are
the spec, the provenance, all tables and JSON artifacts, and of rows and tensors those that a page or figure of the
family reads (others can be named with ``--rows`` and ``--tensors``).  Figures are left out, since pages draw them from
tables.  Tables are compressed hard.  What says on which machine and in which folder the run was made is left out too.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.errors import RunError, WorkbenchError
from workbench.families import families
from workbench.families.family import Keeps
from workbench.files import make_folder, write_json
from workbench.runs import RunRecord, load_run
from workbench.runs.names import check_name
from workbench.runs.status import STATUS_FILE
from workbench.views.run_list import EXAMPLES

LARGEST = 3_000_000
"""Bytes that all shipped examples may take together."""


def light_copy(
    path: Path, into: Path, name: str | None = None, rows: Sequence[str] | None = None,
    tensors: Sequence[str] | None = None,
) -> Path:  # fmt: skip
    """Copy the finished run in ``path`` to ``into/experiment/name``, replacing what was there; returns that folder.

    Raises :class:`RunError` for a run that is broken or not finished.
    """
    run = load_run(path)
    if run.status.state != "finished":
        raise RunError(f"{run.experiment}/{run.name} is {run.status.state}: only a finished run can be shipped")
    target = into / run.experiment / check_name(name or run.name, "run")
    if target.resolve() == run.path:
        raise RunError(f"{target} is the run itself: copy it to another place or under another name")
    shutil.rmtree(target, ignore_errors=True)
    for folder in ("rows", "artifacts"):
        make_folder(target / folder)
    family = families().get(run.experiment)
    keeps = family.keeps if family else Keeps()
    steps = _matching(run.steps(), keeps.rows if rows is None else rows)
    for step in steps:
        _table(run.path / "rows" / f"{step}.parquet", target / "rows")
    kept = keeps.tensors if tensors is None else tensors
    for artifact in run.artifacts:
        _artifact(run.path / "artifacts" / artifact, target / "artifacts", kept)
    _describe(run, target, steps)
    return target


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def _table(file: Path, folder: Path) -> None:
    """The same table, compressed as well as can be."""
    import pyarrow.parquet as parquet

    parquet.write_table(parquet.read_table(file), folder / file.name, compression="zstd", compression_level=19)


def _artifact(file: Path, folder: Path, tensors: Sequence[str]) -> None:
    if file.suffix == ".parquet":
        _table(file, folder)
    elif file.suffix == ".json":
        (folder / file.name).write_text(json.dumps(json.loads(file.read_bytes()), separators=(",", ":")))
    elif _matching([file.stem], tensors):
        shutil.copyfile(file, folder / file.name)


def _describe(run: RunRecord, target: Path, steps: list[str]) -> None:
    """Spec, provenance, plan and status, of what was copied."""
    write_json(target / "spec.json", run.spec)
    made: dict[str, Any] = {key: value for key, value in run.provenance.items() if key not in ("machine", "command")}
    left_out = len(run.steps()) - len(steps)
    made["copy"] = f"light: the rows of {left_out} steps, some tensors and all figures are left out"
    write_json(target / "provenance.json", made)
    write_json(target / "plan.json", {"steps": steps})
    status = {**vars(run.status), "done": len(steps), "total": len(steps)}
    write_json(target / STATUS_FILE, status)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser("python -m apps.explorer.light_copy", description="Copy what pages read of a run.")
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--into", type=Path, default=EXAMPLES, help="folder of runs; default: the shipped examples")
    parser.add_argument("--name", help="of the copy; default: the run's own")
    parser.add_argument("--rows", nargs="*", metavar="PATTERN", help="steps whose rows are kept, such as 'learning-*'")
    parser.add_argument("--tensors", nargs="*", metavar="PATTERN", help="safetensors that are kept, such as 'vector-*'")
    options = parser.parse_args(argv)
    try:
        target = light_copy(options.run, options.into, options.name, options.rows, options.tensors)
    except WorkbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    own, everything = _size(target), _size(options.into)
    print(f"{target}: {own / 1e3:.0f} kB; {options.into} holds {everything / 1e3:.0f} kB")
    if options.into == EXAMPLES and everything > LARGEST:
        print(
            f"error: the examples may take {LARGEST / 1e6:g} MB together: keep fewer rows or tensors", file=sys.stderr
        )
        return 1
    return 0


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
