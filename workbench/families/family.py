"""``Family``: all that the command line, the explorer and the figures need to know of an experiment family.

A family is one folder (or a module of another package): a spec, the steps of a run, and what is shown of it.  It is
found by :func:`workbench.families.families`; nothing else names it.  Fields that need heavy imports are functions, so
that asking for ``--help`` stays fast; :func:`workbench.discovery.lazily` makes one of a module's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.families.claims import Claim
from workbench.families.context import Context, Log

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from pydantic import BaseModel

    from workbench.figures.record import Record


@dataclass(frozen=True)
class Step:
    """A step of a run, done once: what it is called in the run folder, what it does, the work that gives its rows.

    ``completions``: how many it draws at most.  ``tokens``: about how many it reads beside those (each prompt once,
    answers that are scored; a token that is trained on counts three times).  ``after``: the steps that it waits for
    (without, those before it in order).  ``when``: asked when its turn comes; a step for which it is false is left out
    of the run.
    """

    name: str
    what: str
    work: Callable[[Any], pd.DataFrame]
    completions: int = 0
    after: tuple[str, ...] = ()
    when: Callable[[Any], bool] | None = None
    tokens: int = 0


@dataclass(frozen=True)
class Table:
    """A table for reading: cells are text, or numbers to be shown as they are; ``caption`` says what they mean."""

    title: str
    frame: pd.DataFrame
    caption: str = ""


@dataclass(frozen=True)
class View:
    """A tab of a family's page: figures (one at a time, those whose names begin with one of ``figures``), then tables,
    then what ``draw`` adds with the widgets of :mod:`workbench.views`."""

    title: str
    figures: tuple[str, ...] = ()
    caption: str = ""
    tables: Callable[[Record], Iterable[Table]] | None = None
    draw: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Command:
    """A command of its own: ``workbench NAME`` calls ``function`` for the exit code (None: 0).

    Tyro makes options of its arguments and a page of help of its docstring; it is read when the command line starts,
    so what is heavy is imported inside.  :mod:`workbench.console` has what commands print with.
    """

    name: str
    function: Callable[..., int | None]


@dataclass(frozen=True)
class Keeps:
    """What a light copy of a run keeps (the examples that ship are such), as patterns of names: rows of steps, tensors.
    Tables and JSON files are always kept."""

    rows: tuple[str, ...] = ("*",)
    tensors: tuple[str, ...] = ("*",)


def _nothing(*_: Any) -> Any:
    return ()


@dataclass(frozen=True)
class Family:
    """An experiment family.

    Args:
        name: what it is called in ``workbench run NAME``; its runs lie in ``runs/NAME``.
        title: in words, for pages and help.
        spec: frozen pydantic model of a run's values; :class:`workbench.families.specs.ModelSpec` for those that load
            a model.
        presets: spec by name; ``quick`` or ``demo``, where there is one, is what ``workbench demo`` runs.
        steps: ``steps(spec)`` -> the steps of a run, in order.
        finish: ``finish(context)`` writes tables and artifacts that follow from the rows; called after the last step of
            every session, so that a resumed run gives the same ones.
        claims: ``claims()`` -> what the paper says; each is judged after ``finish`` and stands in the table ``claims``.
        figures: ``figures(record)`` -> what draws each figure, by name.
        report: ``report(record)`` -> the tables that say most, for the terminal and the first tab of the page.
        views: ``views()`` -> the other tabs.
        paper: where the method is from.
        question: what is asked, in a sentence.
        group: families of one group share a page and are run as ``workbench run GROUP NAME``.
        context: what the steps share, made by ``context(spec, folder, model, progress)``.
        check: ``check(spec, model)`` raises for what cannot be run; called before the model is loaded (with None) and
            after.
        processes: steps run side by side, in ``spec.jobs`` processes of one thread, as soon as those they wait for
            are done.
        pictures: ``pictures(record, folder, log)`` writes further files beside the figures (animations), returns them.
        run: runs it in another way than step by step; called as :func:`workbench.families.run` is, without the family.
        page: ``page(runs)`` draws a page of its own in place of the tabs.
        keeps: what a light copy of a run keeps; default everything but the figures.
        commands: further commands of the command line.
    """

    name: str
    title: str
    spec: type[BaseModel]
    presets: Mapping[str, BaseModel]
    steps: Callable[[Any], Iterable[Step]]
    finish: Callable[[Any], object] = _nothing
    claims: Callable[[], Sequence[Claim]] = _nothing
    figures: Callable[[Record], Mapping[str, Callable[[], go.Figure]]] = lambda record: {}
    report: Callable[[Record], Iterable[Table]] = _nothing
    views: Callable[[], Sequence[View]] = _nothing
    paper: str = ""
    question: str = ""
    group: str = ""
    context: Callable[..., Context[Any]] = Context
    check: Callable[[Any, Any], object] = _nothing
    processes: bool = False
    pictures: Callable[[Record, Path, Log], list[Path]] = lambda record, folder, log: []
    run: Callable[..., Path] | None = None
    page: Callable[[pd.DataFrame], None] | None = None
    keeps: Keeps = Keeps()
    commands: tuple[Command, ...] = ()

    @property
    def page_title(self) -> str:
        """What its page is called: the group's name, or what stands before the colon of the title."""
        return self.group.capitalize() or self.title.partition(":")[0]

    @property
    def words(self) -> str:
        """How it is asked for on the command line: the group, where there is one, and the name."""
        return f"{self.group} {self.name}".strip()
