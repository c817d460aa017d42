"""Where labelled activations come from: what a source is, for the sweeps that probe them.

A source turns its options into one labelled activation set for each named position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.sites import Site

if TYPE_CHECKING:
    import pandas as pd

    from workbench.activations.activation_set import ActivationSet
    from workbench.models.language_model import LanguageModel

Task = str  # "classification", "regression", or one of the structured targets (see probes.structured) of a world
_FEW = 20
_PLAYED: dict[tuple[object, ...], pd.DataFrame] = {}


class Capture(Protocol):
    """Runs a model and returns an activation set for each position, with labels and groups.

    ``model`` acts; ``reader`` is the model whose activations are read, and is ``model`` itself unless the control
    ``untrained`` is wanted: then the source is called a second time with an untrained ``reader``, and must return the
    same rows in the same order (a source whose model generates text replays what ``model`` generated).
    ``positions`` is what the sweep file says, name -> anything that the source understands.
    """

    def __call__(
        self,
        options: Mapping[str, Any],
        *,
        model: LanguageModel,
        reader: LanguageModel,
        sites: Sequence[Site],
        positions: Mapping[str, Any],
        device: str | None,
        progress: bool,
    ) -> dict[str, ActivationSet]: ...


@dataclass(frozen=True)
class Stored:
    """Activations that were captured before: the model's name, fingerprint and layers (None: not known), and the folder
    of each position."""

    model: str
    fingerprint: str | None
    sites: tuple[Site, ...]
    folders: Mapping[str, Path]
    n_layers: int | None = None


@dataclass(frozen=True)
class Source:
    """A kind of source.

    ``capture``: see :class:`Capture`.  ``check(options, positions)`` raises :class:`SpecError` for options or positions
    that it cannot use and returns the label columns with their tasks, before any model is loaded; without it each
    target of a sweep must say its ``task``.  ``stored``: for sources that bring activations along, in place of
    ``capture``.  ``texts(options)``: what each input says, in order, for the control ``bag_of_words``; for sources that
    read texts.  An option ``path`` is relative to the sweep file; what it names must not change between sessions.
    """

    capture: Capture | None = None
    check: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Task]] | None = None
    stored: Callable[[Mapping[str, Any], Mapping[str, Any]], Stored] | None = None
    texts: Callable[[Mapping[str, Any]], Sequence[str]] | None = None


def play_once(model: LanguageModel, what: tuple[object, ...], play: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """What ``play()`` returns; the last table (not the model) is kept, for an untrained reader of the same rows.

    ``what``: all besides the model that the table follows from.
    """
    key = (model.name, model.fingerprint, model.backend_name, str(model.dtype), *what)
    if key not in _PLAYED:
        found = play()
        _PLAYED.clear()
        _PLAYED[key] = found
    return _PLAYED[key]


def infer_task(labels: pd.Series[Any]) -> Task:
    """Classification for text, truth values and whole numbers of at most 20 kinds; else regression.

    >>> import pandas as pd
    >>> infer_task(pd.Series(["red", "blue"])), infer_task(pd.Series([0.5, 1.5]))
    ('classification', 'regression')
    """
    import pandas as pd

    present = labels.dropna()
    if not pd.api.types.is_numeric_dtype(present) or pd.api.types.is_bool_dtype(present):
        return "classification"
    whole = bool((present % 1 == 0).all())
    return "classification" if whole and present.nunique() <= _FEW else "regression"
