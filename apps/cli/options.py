"""Options from types: tyro reads dataclasses, pydantic specs become dataclasses, and every error becomes one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import Field, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from workbench.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = ["option_value", "parse", "spec_options", "validated"]

# tyro's and Python's words -> ours
_WORDS = (
    (r"^Error parsing (\S+): ", r"option \1: "),
    (r"^Unrecognized options", "unknown option"),
    (r"^Missing from [^:]*: (.*) \(required\)$", r"missing: \1"),
    (r"^Missing value for argument '(\S+)'\..*", r"option \1 needs a value"),
    (r"invalid literal for int\(\) with base 10: (.*)", r"\1 is not a whole number"),
    (r"could not convert string to float: (.*)", r"\1 is not a number"),
    (r"Could not find valid parse for arguments:", "cannot read"),
)
T = TypeVar("T")
Spec = TypeVar("Spec", bound="BaseModel")


def parse(kind: type[T], argv: Sequence[str], prog: str) -> T:
    """Read ``argv`` into the dataclass ``kind``, whose docstring is the description; raises :class:`SpecError`.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Options:
    ...     port: int = 8501
    >>> parse(Options, ["--port", "80"], "workbench app")
    Options(port=80)
    """
    import tyro

    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(kind, args=list(argv), prog=prog, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise SpecError(f"{_one_line(printed.getvalue())} (see {prog} --help)") from None


def _one_line(box: str) -> str:
    """What a box of tyro's says: its message, then the nearest option or how the option is written."""
    title, *lines = [line.strip(" │") for line in box.splitlines() if line.strip(" │")] or [""]
    parts: list[list[str]] = [[]]
    for line in lines:
        if set(line) <= set("─╭╮╰╯-"):  # a rule; plain dashes where the terminal is not UTF-8
            parts.append([])
        else:
            parts[-1].append(line)
    found = [part for part in parts if part]
    message = " ".join(" ".join(line.split()) for line in found[0]) if found else title
    for theirs, ours in _WORDS:
        message = re.sub(theirs, ours, message)
    hint = next((line for part in found[1:] for line in part if line.startswith("--")), "")
    if not hint:
        return message.rstrip(".")
    if "Perhaps you meant:" in found[1][0]:
        return f"{message}; did you mean {hint.split()[0].rstrip(',')}?"
    return f"{message}; it is written {hint}"


def option_value(argv: Sequence[str], option: str) -> str | None:
    """The last value given to ``option``, read before the other options are known.

    >>> option_value(["--preset", "cpu", "--preset=gpu"], "--preset")
    'gpu'
    """
    found = None
    for word, after in zip(argv, [*argv[1:], "--"], strict=True):
        if word == option and not after.startswith("--"):
            found = after
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def spec_options(spec: BaseModel, base: type) -> type:
    """A dataclass with the fields of ``base`` and one for each field of the spec, whose values are the defaults."""
    import tyro

    fields: list[tuple[str, Any, Field[Any]]] = []
    for name, info in type(spec).model_fields.items():
        kind = Annotated[info.annotation, tyro.conf.arg(help=info.description or name.replace("_", " "))]  # type: ignore[name-defined]
        fields.append((name, kind, field(default_factory=_constant(getattr(spec, name)))))
    return make_dataclass("Options", fields, bases=(base,), namespace={"__doc__": base.__doc__})


def _constant(value: Any) -> Any:
    return lambda: value


def validated(kind: type[Spec], values: dict[str, Any], where: str) -> Spec:
    """The spec with these values; raises :class:`SpecError` naming the field and what would be right."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SpecError(_explain(error, kind, where)) from None


def _explain(error: ValidationError, kind: type[BaseModel], where: str) -> str:
    first, *others = error.errors(include_url=False)
    name = ".".join(str(part) for part in first["loc"]) or "spec"
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown field {name!r}{did_you_mean(name, kind.model_fields)}{more}"
    message = first["msg"].removeprefix("Value error, ")
    given = repr(first["input"])
    shown = given if len(given) <= 60 else given[:57] + "..."
    return f"{where}: {name} is {shown}: {message[:1].lower() + message[1:]}{more}"
