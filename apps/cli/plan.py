"""``workbench run FAMILY --dry-run``: the steps of a run, how large they are, and how long they will take here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from workbench.console import log, results
from workbench.families import Family, ModelSpec, Step, plan
from workbench.families.sizing import fitted, sized_before
from workbench.families.timing import Speed, clock_text, drawn_tokens, seconds_of, speed_here
from workbench.views.tables import new_table

_ESTIMATE = (
    "Tokens are at most completions x max_new_tokens ({length}); answers often end earlier. Minutes are an estimate: "
    "these tokens, and what is read, at the speed of a timed pass ({speed}). Fitting probes and making tables is not "
    "in them."
)
_UNTIMED = (
    "Tokens are at most completions x max_new_tokens ({length}); answers often end earlier. Prompts come on top: they "
    "are read once and shared by all completions from them."
)


def print_plan(family: Family, spec: BaseModel, root: Path, name: str | None) -> None:
    """Print the steps of a run, with minutes where its model is on this machine."""
    from workbench.runs import run_name

    steps, path = plan(family, spec), root / family.name / run_name(spec, name)
    speed, why = speed_here(spec) if any(step.completions or step.tokens for step in steps) else (None, "")
    if isinstance(spec, ModelSpec) and spec.minutes:
        found = sized_before(spec, path) or (fitted(family, spec, speed, log) if speed else None)
        spec, steps = (found, plan(family, found)) if found else (spec, steps)
    columns, length = _columns(speed, drawn_tokens(spec)), drawn_tokens(spec)
    columns = {title: of for title, of in columns.items() if any(of(step) not in ("0", "") for step in steps)}
    table = new_table(f"{family.name}: {len(steps)} steps", "step", "what", *columns, "done", numbers="|".join(columns))
    for step in steps:
        done = "yes" if (path / "rows" / f"{step.name}.parquet").exists() else ""
        table.add_row(step.name, step.what, *(of(step) for of in columns.values()), done)
    out = results()
    if columns:
        whole = Step("total", "", print, sum(s.completions for s in steps), tokens=sum(s.tokens for s in steps))
        table.add_section()
        table.add_row("total", "", *(of(whole) for of in columns.values()), "")
    out.print(table)
    if columns:
        out.print((_ESTIMATE if speed else _UNTIMED).format(length=length, speed=speed))
    if why:
        out.print(why, markup=False, soft_wrap=True)
    if speed:
        out.print(f"about {clock_text(seconds_of(steps, spec, speed))} in all, loading included")
    out.print(f"run folder: {path}", markup=False, soft_wrap=True)


def _columns(speed: Speed | None, length: int) -> dict[str, Callable[[Step], str]]:
    """Title -> the text of a step, of what is said of sizes."""
    found: dict[str, Callable[[Step], str]] = {
        "completions": lambda step: f"{step.completions:,}",
        "tokens drawn\n(at most)": lambda step: f"{step.completions * length:,}",
        "tokens read": lambda step: f"{step.tokens:,}",
    }
    if speed:
        found["min:s"] = lambda step: clock_text(seconds) if (seconds := speed.seconds(step, length)) else ""
    return found
