"""A concept: the pairs that its vector is made of, the prompts and words that show its effect, text it should not harm.

Concepts are YAML files; those that come with the workbench lie in ``concepts``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from steering.neutral import NEUTRAL_TEXTS
from workbench.errors import SpecError, did_you_mean
from workbench.spec_files import read_spec_file, validated

_FOLDER = Path(__file__).parent / "concepts"
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sides(_Part):
    """The words of both sides; each goes on from a prompt behind a space."""

    up: Texts
    down: Texts


class Fronts(_Part):
    """What a user would write in place of a vector, in front of every text."""

    up: Text
    down: Text


class Prompts(_Part):
    """Prompts on which layer and dose are chosen, and those on which they are tested."""

    choose: Texts
    test: Texts


class Elsewhere(_Part):
    """The same concept asked in another way: prompts of another kind, other words."""

    prompts: Texts
    words: Sides


class Concept(_Part):
    """What is steered.  ``pairs``: [up, down], alike but for the concept; ``neutral``: texts whose likelihood should
    stay."""

    title: Text
    up: Text
    down: Text
    pairs: Annotated[tuple[tuple[Text, Text], ...], Field(min_length=2)]
    prompts: Prompts
    words: Sides
    prompt: Fronts
    neutral: Annotated[tuple[Text, ...], Field(min_length=2)] = NEUTRAL_TEXTS
    transfer: Elsewhere | None = None


def known_concepts() -> dict[str, Path]:
    """The concepts that come with the workbench, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def read_concept(name: str) -> Concept:
    """A concept by its name or from its file; :class:`SpecError` for one that is neither, or lacks something.

    >>> len(read_concept("valence").pairs)
    24
    """
    known = known_concepts()
    path = known.get(name, Path(name).expanduser())
    if name not in known and path.suffix not in (".yaml", ".yml", ".json"):
        raise SpecError(f"concept: {name!r} is none of {', '.join(known)} and no YAML file{did_you_mean(name, known)}")
    return validated(Concept, read_spec_file(path), f"concept {path}")
