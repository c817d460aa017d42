"""Activations of prompts, texts or chats, at named positions: what the sources ``texts`` and ``chats`` share.

All positions that are counted (``last``, ``-3``, ``[-3, -2, -1]``) are read in one pass a prompt; ``mean``, ``all``,
windows, spans, roles and the generation prompt take one pass more each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench.activations import ActivationSet, GenerationPrompt, Role, Span, capture
from workbench.activations.positions import Positions, check_positions
from workbench.activations.sinks import WAYS
from workbench.arguments import flag, integer
from workbench.errors import SpecError, check_keys, check_known
from workbench.models.interventions import Window
from workbench.models.language_model import LanguageModel, Prompt
from workbench.sites import Site, SiteMap

_COUNTED = {"last": (-1,), "first": (0,)}
_GENERATION = "generation_prompt"
_FORMS = {
    "concatenate": (), "window": (), "span": ("occurrence", "take"), "role": ("occurrence", "markup", "take"),
    _GENERATION: (),
}  # fmt: skip


def capture_prompts(
    reader: LanguageModel,
    prompts: Sequence[Prompt],
    sites: Sequence[Site],
    positions: Mapping[str, Any],
    labels: pd.DataFrame,
    groups: np.ndarray,
    progress: bool = False,
    sinks: str = WAYS[0],
) -> dict[str, ActivationSet]:
    """An activation set for each named position, each with the labels and groups of the prompts; ``sinks`` is that of
    :func:`workbench.activations.capture`."""

    def read(where: Positions) -> ActivationSet:
        return capture(reader, prompts, sites, where, labels=labels, groups=groups, sinks=sinks, progress=progress)

    forms = {name: read_positions(value, name) for name, value in positions.items()}
    counted = {name: (form, joined) for name, (form, joined) in forms.items() if isinstance(form, tuple)}
    found = {name: read(form) for name, (form, _) in forms.items() if name not in counted}
    if counted:
        every = tuple(dict.fromkeys(index for indices, _ in counted.values() for index in indices))
        together = read(every)
        for name, (indices, joined) in counted.items():
            found[name] = _pick(together, [every.index(index) for index in indices], len(every), joined)
    return {name: found[name] for name in positions}


def sinks_of(options: Mapping[str, Any]) -> str:
    """What a source does with attention sinks, as its options say.

    >>> sinks_of({}), sinks_of({"sinks": "keep"})
    ('leave out', 'keep')
    """
    found = options.get("sinks", WAYS[0])
    check_known(found, WAYS, "sinks")
    return found


def _pick(rows: ActivationSet, places: Sequence[int], each: int, joined: bool) -> ActivationSet:
    """The rows of some of the ``each`` positions of every prompt; ``joined``: side by side in one row a prompt."""
    starts = np.arange(0, len(rows), each)
    if not joined:
        return rows.select((starts[:, None] + np.asarray(places)).ravel())
    first = rows.select(starts + places[0])
    wide = {site: torch.cat([rows.select(starts + place)[site] for place in places], 1) for site in rows.sites}
    sites = SiteMap(wide, rows.n_layers)
    return ActivationSet(sites, first.labels, first.groups, rows.fingerprint, rows.basis, rows.model, rows.precision)


def read_positions(value: Any, name: str) -> tuple[Positions, bool]:
    """Positions as a sweep file writes them, and whether several make one row; :class:`SpecError` when they are none.

    >>> read_positions("last", "p"), read_positions({"concatenate": [-2, -1]}, "p")
    (((-1,), False), ((-2, -1), True))
    >>> read_positions({"role": "assistant", "take": "mean"}, "p")
    (Role(role='assistant', occurrence=None, markup=False, take='mean'), False)
    """
    if isinstance(value, str) and value in _COUNTED:
        return _COUNTED[value], False
    try:
        if value == _GENERATION:
            return GenerationPrompt(), False
        if isinstance(value, Mapping):
            return _from_fields(dict(value))
        return check_positions(value), False
    except (SpecError, TypeError, ValueError) as error:
        raise SpecError(f"position {name!r}: {error}") from None


def _from_fields(value: dict[str, Any]) -> tuple[Positions, bool]:
    check_keys(value, [*_FORMS, "occurrence", "markup", "take"], "it")
    forms = [form for form in _FORMS if form in value]
    if len(forms) != 1:
        raise SpecError(f"give one of {', '.join(_FORMS)}")
    form = forms[0]
    main = value.pop(form)
    if others := [field for field in value if field not in _FORMS[form]]:
        raise SpecError(f"{form} takes no {others[0]!r}: {', '.join(_FORMS[form]) or 'it has no other field'}")
    if form == "concatenate":
        found = check_positions(main)
        if not isinstance(found, tuple):
            raise SpecError("concatenate needs a list of positions, such as [-3, -2, -1]")
        return found, True
    if form == "window":
        return Window(*main), False
    if form == _GENERATION:
        return GenerationPrompt(take=str(main)), False
    if value.get("occurrence") is not None:
        integer(value["occurrence"], "occurrence")
    flag(value.get("markup", False), "markup")
    return (Span if form == "span" else Role)(str(main), **value), False
