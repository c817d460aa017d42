"""``workbench run EXPERIMENT`` and ``workbench demo``."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from apps.cli.console import quiet, results, say, show_progress
from apps.cli.options import parse, spec_options, validated
from apps.cli.reports import print_report
from apps.cli.specs import DEFAULT_PRESET, base_spec
from workbench.errors import RunError, SpecError, WorkbenchError, did_you_mean
from workbench.families import EXPERIMENTS, figures_module, get_experiment
from workbench.views.tables import new_table

if TYPE_CHECKING:
    from pydantic import BaseModel

    from workbench.runs import RunRecord

__all__ = ["check_root", "demo", "draw", "run"]


# Experiments that are asked for by two words: workbench run introspection self-prediction.
GROUPS: dict[str, tuple[str, ...]] = {"introspection": ("self-prediction", "concept-injection")}

# Experiments whose runs also get animations: ``module:function``, called with the record, the folder and where to say.
ANIMATIONS: dict[str, str] = {"internal-rl": "workbench.families.internal_rl.views.episode_gifs:save_episode_gifs"}


def _named(metavar: str | None, text: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help=text)


@dataclass
class RunOptions:
    """Run an experiment, or go on with it where it stopped, and print its results.

    The preset gives the values, a --spec file overrides them, and options override both.  The same values name the same
    run folder, so the same command resumes.
    """

    preset: Annotated[str | None, _named("NAME", f"smoke, demo, cpu or gpu; {DEFAULT_PRESET} without --spec")] = None
    spec: Annotated[Path | None, _named("FILE", "JSON or YAML with fields named below, as in a run's spec.json")] = None
    runs: Annotated[Path, _named("DIR", "folder of runs")] = Path("runs")
    name: Annotated[str | None, _named("NAME", "of the run folder; default a hash of the spec")] = None
    dry_run: Annotated[bool, _named(None, "print the plan with its size in completions and forward tokens")] = False
    no_progress: Annotated[bool, _named(None, "draw no progress bars")] = False


@dataclass
class DemoOptions:
    """Entropy steering (EAST) on the shipped model, at the size of the preset demo; some minutes on two cores.

    Stopped, it goes on when started again.
    """

    runs: Annotated[Path, _named("DIR", "folder of runs")] = Path("runs")
    dry_run: Annotated[bool, _named(None, "print the plan and stop")] = False
    no_progress: Annotated[bool, _named(None, "draw no progress bars")] = False


def run(argv: list[str], prog: str) -> int:
    """``workbench run EXPERIMENT [OPTIONS]``."""
    known = ", ".join(f"{prog} {_words(name)}" for name in EXPERIMENTS)
    if not argv:
        raise SpecError(f"name an experiment: {known}")
    if argv[0] in ("-h", "--help"):
        print(f"usage: {prog} EXPERIMENT [OPTIONS]\n\nexperiments: {known} (with --help: their options)")
        return 0
    if argv[0].startswith("-"):
        raise SpecError(f"name the experiment before its options: {prog} {next(iter(EXPERIMENTS))} {' '.join(argv)}")
    quiet()
    if argv[0] in GROUPS:
        argv, prog = _of_group(argv, prog), f"{prog} {argv[0]}"
    module = get_experiment(argv[0])
    base = base_spec(module.PRESETS, argv[1:])
    options: Any = parse(spec_options(base, RunOptions), argv[1:], f"{prog} {argv[0]}")
    values = {name: getattr(options, name) for name in type(base).model_fields}
    spec = validated(type(base), values, f"run {argv[0]}")
    return _run(argv[0], module, spec, options)


def _words(experiment: str) -> str:
    """How an experiment is asked for."""
    return next((f"{group} {experiment}" for group, names in GROUPS.items() if experiment in names), experiment)


def _of_group(argv: list[str], prog: str) -> list[str]:
    """The words after the group's name; raises :class:`SpecError` unless they begin with one of its experiments."""
    group, names = argv[0], GROUPS[argv[0]]
    if argv[1:2] in ([], ["-h"], ["--help"]) or argv[1] not in names:
        meant = did_you_mean(argv[1], names) if argv[1:] and not argv[1].startswith("-") else ""
        raise SpecError(f"name the experiment: {', '.join(f'{prog} {group} {name}' for name in names)}{meant}")
    return argv[1:]


def demo(argv: list[str], prog: str) -> int:
    """``workbench demo``."""
    given = parse(DemoOptions, argv, prog)
    quiet()
    module = get_experiment("east")
    options = RunOptions(**{field.name: getattr(given, field.name) for field in fields(given)})
    return _run("east", module, module.PRESETS["demo"], options)


def check_root(root: Path) -> Path:
    """``root`` with ``~`` resolved; raises :class:`RunError` when it is no folder and cannot become one."""
    path = root.expanduser()
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file, not a folder of runs: choose another --runs")
    return path


def _run(experiment: str, module: Any, spec: BaseModel, options: Any) -> int:
    from workbench.runs import load_run

    root = check_root(options.runs)
    if options.dry_run:
        _print_plan(experiment, module.plan(spec), spec, root, options.name)
        return 0
    say(f"{experiment} on {getattr(spec, 'model', 'its own model')}")
    path = module.run(spec, root, options.name, progress=show_progress(not options.no_progress), say=say)
    record = load_run(path)
    print_report(record, results())
    draw(record)
    return 0


def draw(record: RunRecord) -> None:
    """Draw the figures of a run into its folder and say where they are, or in one line why there are none."""
    module = figures_module(record.experiment)
    if module is None:
        say(f"there are no figures for {record.experiment} yet; the tables are in {record.path / 'artifacts'}")
        return
    say("drawing figures")
    from workbench.figures.saving import save_figures

    folder = record.path / "figures"
    try:
        files = save_figures(module.figures_of(record), folder, say=say)
        if record.experiment in ANIMATIONS:
            package, _, name = ANIMATIONS[record.experiment].partition(":")
            files += getattr(importlib.import_module(package), name)(record, folder, say)
    except (WorkbenchError, OSError) as error:  # the results are written and reported: a picture must not fail them
        say(f"the figures could not be written: {error}")
        return
    kinds = {kind: sum(file.suffix == f".{kind.lower()}" for file in files) for kind in ("HTML", "PNG", "GIF")}
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count or kind != "GIF")
    results().print(f"figures: {folder} ({counts})", markup=False, soft_wrap=True)


def _print_plan(
    experiment: str, plan: list[tuple[str, str, int]], spec: BaseModel, root: Path, name: str | None
) -> None:
    from workbench.runs import spec_hash

    path = root / experiment / (name or spec_hash(spec))
    length = int(getattr(spec, "max_new_tokens", 1))
    tokens = f"forward tokens\n(completions x {length})"
    table = new_table(f"{experiment}: {len(plan)} steps", "step", "what", "completions", tokens, "done")
    for column in table.columns[2:4]:
        column.justify = "right"
    for unit, what, completions in plan:
        done = "yes" if (path / "rows" / f"{unit}.parquet").exists() else ""
        table.add_row(unit, what, f"{completions:,}", f"{completions * length:,}", done)
    total = sum(completions for _, _, completions in plan)
    table.add_section()
    table.add_row("total", "", f"{total:,}", f"{total * length:,}", "")
    out = results()
    out.print(table)
    out.print(
        f"Forward tokens are at most completions x max_new_tokens ({length}); answers often end earlier. Prompts come "
        "on top: they are read once and shared by all completions from them.",
    )
    out.print(f"run folder: {path}", markup=False, soft_wrap=True)
