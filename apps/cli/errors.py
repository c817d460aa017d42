"""What tyro cannot read, as an error of one line that says what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, NoReturn

from tyro import _errors

from workbench.errors import SpecError, did_you_mean

Commands = Mapping[str, Any]  # name -> function, or the commands of a group

_PLAINLY = {
    "invalid literal for int() with base 10": "{} is not a whole number",
    "could not convert string to float": "{} is not a number",
    "Could not find valid parse for arguments": "cannot read {}",
}


def refuse(event: _errors.ParseErrorEvent, commands: Commands, argv: Sequence[str]) -> NoReturn:
    """Raise :class:`SpecError` for what tyro was about to refuse in ``argv``; a hook of ``tyro._errors``."""
    words, place = _place(commands, argv)
    prog = " ".join(["workbench", *words])
    raise SpecError(f"{_line(event, prog, place)} (see {prog} --help)") from None


def _place(commands: Commands, argv: Sequence[str]) -> tuple[list[str], Any]:
    """The command that the first words name, and what it is: a function or a group."""
    place: Any = commands
    for n, word in enumerate(argv):
        if not isinstance(place, Mapping) or word not in place:
            return list(argv[:n]), place
        place = place[word]
    return list(argv), place


def _line(event: Any, prog: str, place: Any) -> str:
    match event:
        case _errors.UnrecognizedArgs(tokens=tokens):
            return _unknown(tokens, prog, place)
        case _errors.MissingSubcommand():
            return f"{prog!r} needs one of: {', '.join(leaves(place))}"
        case _errors.MissingArgs(missing_arguments=[missing, *_]):
            return f"missing: {_written(missing.arg)} {missing.arg.field.helptext}"
        case _errors.InvalidChoice(argument=argument, value=value, choices=choices):
            return f"option {argument.display_name()} cannot be {value!r}{did_you_mean(value, choices)}"
        case _errors.BadValue(argument=argument):
            return f"option {argument.display_name()} needs a value; it is written {_written(argument)}"
        case _errors.InstantiationFailure(message=message, argument=argument) if argument:
            said, _, given = str(message).partition(": ")
            reason = _PLAINLY[said].format(given) if said in _PLAINLY else message
            return f"option {argument.display_name()}: {reason}; it is written {_written(argument)}"
    return f"cannot read the command line ({type(event).__name__})"  # conflicts of options, which no command has


def _unknown(tokens: list[str], prog: str, place: Any) -> str:
    word = tokens[0]
    if not isinstance(place, Mapping):
        options = [f"--{name.replace('_', '-')}" for name in signature(place).parameters]
        return f"unknown option {word}{did_you_mean(word, options)}"
    if word.startswith("-"):
        return f"name a command before its options: {prog} {leaves(place)[0]} {' '.join(tokens)}"
    return f"unknown command {f'{prog} {word}'!r}{did_you_mean(word, place)}"


def leaves(place: Commands) -> list[str]:
    """The words that name each command of a group.

    >>> leaves({"list": print, "check": {"all": print}})
    ['list', 'check all']
    """
    inner = {name: leaves(below) if isinstance(below, Mapping) else [""] for name, below in place.items()}
    return [f"{name} {words}".strip() for name, below in inner.items() for words in below]


def _written(argument: Any) -> str:
    """How an option is written, such as ``--port INT``."""
    return str(argument.get_invocation_text()[1].as_str_no_ansi())
