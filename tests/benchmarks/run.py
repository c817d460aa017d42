"""Runs the benchmarks: every ratio is of two ways timed in turn, in this process, on these cores.

    python tests/benchmarks/run.py [--only NAME ...] [--quick] [--model NAME_OR_FOLDER]

A run writes results.json beside this file and the table in docs/benchmarks.md (a part of the benchmarks: only their
rows); a missed bar is written as such and fails nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

from measure import Row  # noqa: E402

RESULTS, TABLE = HERE / "results.json", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin: written by tests/benchmarks/run.py -->", "<!-- end -->"
NAMES = (
    "capture", "mixed", "steered", "others", "sweep", "rollouts", "replay", "probes", "pinpad", "expert", "codes",
    "low-rank", "injection", "concepts", "search",
)  # fmt: skip


def benchmarks() -> dict[str, Callable[[str, bool], list[Row]]]:
    """Name -> benchmark; imported only now, so that --help is quick."""
    import capturing
    import controlling
    import generation
    import injecting
    import pinpads
    import playing
    import probing
    import searching

    functions = (
        capturing.against_hook, capturing.against_hidden_states, generation.against_hugging_face,
        generation.against_others, playing.sweeps, playing.rollouts, playing.replays,
        probing.map_cells, pinpads.steps, pinpads.expert_data, controlling.rollouts, controlling.low_rank,
        injecting.grids, injecting.vectors, searching.against_others,
    )  # fmt: skip
    return dict(zip(NAMES, functions, strict=True))


def main() -> None:
    """Run what is asked for, show the rows as they come, write them when the run is a full one."""
    options = _options()
    rows = _run(options.only or list(NAMES), options.model, options.quick)
    if options.quick:
        print("a quick run: results.json and docs/benchmarks.md stay as they were")
        return
    about = _about()
    measured = [asdict(row) | {"measured": about["date"], "commit": about["git"]["commit"]} for row in rows]
    _write({**about, "model": options.model, "rows": _merged(measured, whole=not options.only)})
    print(f"wrote {RESULTS.relative_to(ROOT)} and the table in {TABLE.relative_to(ROOT)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, help="run these alone, and replace their rows")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: do they run at all? (writes no results)")
    parser.add_argument("--model", default="bandit-agent", help="the bandit agent: shipped name, folder or hub id")
    return parser.parse_args()


def _run(names: list[str], model: str, quick: bool) -> list[Row]:
    import torch
    import transformers
    from rich.console import Console

    torch.set_num_threads(_cores())
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    console, rows = Console(), []
    known = benchmarks()
    for i, name in enumerate(names, 1):
        start = time.perf_counter()
        with console.status(f"{i}/{len(names)} {name}"):
            found = known[name](model, quick)
        console.print(f"[dim]{i}/{len(names)} {name}, {time.perf_counter() - start:.0f} s[/dim]")
        for row in found:
            verdict = "[green]held[/green]" if row.held else "[red]missed[/red]"
            console.print(
                f"  {row.name}: {row.ratio:g} ({row.bar}) {verdict}\n    [dim]{row.note}[/dim]", highlight=False
            )
        rows += found
    return rows


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _about() -> dict[str, Any]:
    from workbench.provenance import provenance

    record = provenance()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "git": record["git"],
        "machine": record["machine"] | {"processor": _processor()},
        "versions": record["versions"],
    }


def _processor() -> str:
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _merged(rows: list[dict[str, Any]], whole: bool) -> list[dict[str, Any]]:
    """The rows of a whole run, or those on file with the new ones in their places."""
    old = [] if whole or not RESULTS.exists() else json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    new = {row["name"]: row for row in rows}
    kept = [new.pop(row["name"], row) for row in old]
    return [*kept, *new.values()]


def _write(record: dict[str, Any]) -> None:
    from workbench.files import write_bytes, write_json

    rows = record["rows"]
    lines = ["| what | ratio | bar | held | measured, commit |", "|---|---|---|---|---|"]
    for row in rows:
        held = "yes" if row["held"] else "**no**"
        lines.append(
            f"| {row['name']} | {row['ratio']:.2f} | {row['bar']} | {held} | {row['measured']}, {row['commit'][:7]} |"
        )
    machine, versions = record["machine"], record["versions"]
    lines += ["", f"Measured on {machine['cpus']} cores ({machine['processor']}), "
              f"Python {versions['python']}, torch {versions['torch']}, transformers {versions['transformers']}.",
              "", "Sizes and median times:", ""]  # fmt: skip
    lines += [f"- **{row['name']}**: {row['note']}." for row in rows]
    text = TABLE.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"error: {TABLE} lacks the lines {BEGIN!r} and {END!r}, between which the table goes")
    write_bytes(TABLE, "\n".join([head + BEGIN, "", *lines, "", END + tail]).encode())
    write_json(RESULTS, record)


if __name__ == "__main__":
    main()
