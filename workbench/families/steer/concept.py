"""A concept: the pairs that its vector is made of, the prompts and words that show its effect, text it should not harm.

Concepts are YAML files; those that come with the workbench lie in ``concepts``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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
    neutral: Texts

    @property
    def all_words(self) -> list[str]:
        """Words of the up side, then of the down side."""
        return [f" {word}" for word in (*self.words.up, *self.words.down)]


@cache
def read_concept(name: str) -> Concept:
    """A concept by its name or from its file; :class:`SpecError` for one that is neither, or lacks something.

    >>> len(read_concept("valence").pairs)
    24
    """
    known = {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}
    path = known.get(name, Path(name).expanduser())
    if name not in known and path.suffix not in (".yaml", ".yml", ".json"):
        raise SpecError(f"concept: {name!r} is none of {', '.join(known)} and no YAML file{did_you_mean(name, known)}")
    return validated(Concept, read_spec_file(path), f"concept {path}")
