"""Specs that fit into a number of minutes: the sample sizes of a spec, cut alike until a timed pass says it fits.

The spec that is run holds the sizes that were found and no ``minutes``, so that its run folder says all that is needed
to repeat it anywhere; the folder is named by the spec that was asked for, so that the same command goes on with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from workbench.errors import RunError, warn
from workbench.families.context import Log
from workbench.families.family import Family
from workbench.families.specs import ModelSpec
from workbench.families.timing import Speed, clock_text, seconds_of, timed
from workbench.spec_files import read_spec_file, validated

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel

S = TypeVar("S", bound=ModelSpec)
_HALVINGS = 8


def scaled(spec: S, share: float) -> S:
    """``spec`` with that share of its sample sizes (the fields that ``sized`` names), none below its field's least, and
    no ``minutes``.

    >>> from workbench.families.east import EastSpec
    >>> small = scaled(EastSpec(prompts=100, episodes=65), 0.05)
    >>> small.prompts, small.episodes
    (5, 3)
    """
    found = {name: max(_least(spec, name), round(getattr(spec, name) * share)) for name in spec.sized}
    return type(spec).model_validate(spec.model_dump() | found | {"minutes": None})


def _least(spec: ModelSpec, name: str) -> int:
    bounds = [int(each.ge) for each in type(spec).model_fields[name].metadata if hasattr(each, "ge")]
    return min(max([1, *bounds]), getattr(spec, name))


def settled(
    family: Family, spec: S, root: str | os.PathLike[str], name: str | None, log: Log | None = None
) -> tuple[S, str, LanguageModel | None]:
    """The spec that is run, the name of its run folder, and the model where it was loaded for the timed pass.

    For a spec with ``minutes``: the sizes of the run that was begun by the same spec, else those that fit.
    """
    from workbench.runs import run_name

    name = run_name(spec, name)
    before = sized_before(spec, Path(root) / family.name / name)
    if before is not None:
        return before, name, None
    model, speed = timed(spec.load)
    return fitted(family, spec, speed, log), name, model


def fitted(family: Family, spec: S, speed: Speed, log: Log | None = None) -> S:
    """The spec with the largest share of its sample sizes, at most all, that takes ``spec.minutes`` by this speed."""
    budget = 60 * (spec.minutes or 0)

    def seconds(share: float) -> float:
        tried = scaled(spec, share)
        return seconds_of(family.steps(tried), tried, speed)

    least, most = (1.0, 1.0) if seconds(1.0) <= budget else (0.0, 1.0)
    for _ in range(_HALVINGS if least < most else 0):
        middle = (least + most) / 2
        least, most = (middle, most) if seconds(middle) <= budget else (least, middle)
    found = scaled(spec, least)
    if seconds(least) > budget:
        takes = clock_text(seconds(least))
        warn(f"{spec.minutes:g} minutes: at its least sizes this run takes about {takes} with {spec.model}")
    if log:
        sizes = ", ".join(f"{name} {getattr(found, name)}" for name in found.sized)
        log(f"{spec.minutes:g} minutes ({speed}): {least:.2f} of the sample sizes, {sizes}")
    return found


def sized_before(spec: S, folder: Path) -> S | None:
    """The spec with the sizes of the run in ``folder`` (None: there is none); :class:`RunError` for another's."""
    file = folder / "spec.json"
    if not file.exists():
        return None
    found = validated(type(spec), read_spec_file(file), str(file))
    if found != spec.model_copy(update={name: getattr(found, name) for name in (*spec.sized, "minutes")}):
        raise RunError(f"run {folder} belongs to another spec: choose another name")
    return found
