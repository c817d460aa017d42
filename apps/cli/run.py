"""``workbench run FAMILY``: every family that has presets, with its spec's fields as options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel

from apps.cli.plan import print_plan
from workbench.console import Name, NoProgress, Runs, log, option, show_progress
from workbench.errors import SpecError, did_you_mean
from workbench.families import Family, families, run
from workbench.families.showing import show
from workbench.spec_files import read_spec_file, validated

DEFAULT_PRESET = "cpu"


DryRun = Annotated[
    bool,
    option("print the plan: its steps, their size in completions and tokens, and minutes by a timed pass of the model"),
]


def commands(argv: Sequence[str] = ()) -> dict[str, Any]:
    """``run`` with a command for each family; the family that ``argv`` names starts from its preset and
    file there."""
    found: dict[str, Any] = {}
    for family in _families():
        words = ["run", *family.words.split()]
        named = list(argv[: len(words)]) == words
        place = found.setdefault(family.group, {}) if family.group else found
        place[family.name] = _command(family, argv[len(words) :] if named else ())
    return {"run": found}


def _families() -> Iterator[Family]:
    return (family for family in families().values() if family.presets)


def whole_words(argv: Sequence[str]) -> list[str]:
    """``run NAME`` -> ``run GROUP NAME`` for a family of a group."""
    group = next((f.group for f in _families() if f.group and list(argv[:2]) == ["run", f.name]), "")
    return [*argv[:1], group, *argv[1:]] if group else list(argv)


def default_preset(family: Family) -> str:
    """The preset that is run when none is named."""
    return DEFAULT_PRESET if DEFAULT_PRESET in family.presets else next(iter(family.presets))


def _command(family: Family, argv: Sequence[str]) -> Callable[..., int]:
    """The function of ``workbench run FAMILY``: the options of :func:`_run` and the fields of the spec."""
    base = _base_spec(family, argv)

    def command(**values: Any) -> int:
        return _run(family, base, **values)

    options = list(signature(_run, eval_str=True).parameters.values())[2:-1]
    fields = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(base, name), annotation=_field(name, info))
        for name, info in type(base).model_fields.items()
    ]
    command.__signature__ = Signature([*options, *fields])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in (*options, *fields)}
    command.__doc__ = f"""{" ".join(f"{family.title}. {family.question}".split())}

    Presets: {", ".join(family.presets)} (default {default_preset(family)}).  The preset gives the values, a --spec file
    overrides them, and options override both.  The same values name the same run folder, so the same command resumes.
    """
    return command


def _field(name: str, info: Any) -> Any:
    return Annotated[info.annotation, option(info.description or name.replace("_", " "))]


def _base_spec(family: Family, argv: Sequence[str]) -> BaseModel:
    """What the options start from: the preset named in ``argv``, overridden by the file named there.

    A file alone is a whole spec: fields that it leaves out have the spec's own defaults.
    """
    preset, file = _value(argv, "--preset"), _value(argv, "--spec")
    if preset is not None and preset not in family.presets:
        raise SpecError(f"unknown preset {preset!r}{did_you_mean(preset, family.presets)}")
    if file is None:
        return family.presets[preset or default_preset(family)]
    values = {} if preset is None else family.presets[preset].model_dump()
    return validated(family.spec, values | read_spec_file(Path(file)), f"spec {file}")


def _value(argv: Sequence[str], option: str) -> str | None:
    """The last value given to ``option``, read before the other options are known.

    >>> _value(["--preset", "cpu", "--preset=gpu"], "--preset")
    'gpu'
    """
    found = None
    for word, after in zip(argv, [*argv[1:], "--"], strict=False):
        if word == option and not after.startswith("--"):
            found = after
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def _run(
    family: Family,
    base: BaseModel,
    /,  # a spec may have a field of these names
    preset: Annotated[str | None, option("one of those above", "NAME")] = None,
    spec: Annotated[Path | None, option("JSON or YAML with fields named below, such as a run's", "FILE")] = None,
    runs: Runs = Path("runs"),
    name: Name = None,
    dry_run: DryRun = False,
    no_progress: NoProgress = False,
    **values: Any,
) -> int:
    """Make the spec of the options and run it."""
    whole = validated(type(base), values, f"run {family.words}")
    return run_family(family, whole, runs, name, dry_run, no_progress)


def run_family(
    family: Family,
    spec: BaseModel,
    runs: Path,
    name: str | None = None,
    dry_run: bool = False,
    no_progress: bool = False,
) -> int:
    """Run a family, or go on with its run where it stopped, and print and draw its results."""
    from workbench.runs import check_root

    root = check_root(runs)
    if dry_run:
        print_plan(family, spec, root, name)
        return 0
    log(f"{family.name} on {getattr(spec, 'model', 'its own model')}")
    run(family, spec, root, name, progress=show_progress(not no_progress), log=log, last=show)
    return 0
