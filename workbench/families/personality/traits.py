"""Traits: the pairs that vectors are made of, and the portraits that they are compared with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from workbench.spec_files import read_spec_file, validated

_FILE = Path(__file__).parent / "data" / "traits.yaml"
Text = Annotated[str, Field(min_length=1)]
SIDES = {"up": 1, "down": -1}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Portrait(_Part):
    """A paragraph that describes somebody high in the trait, and one low in it; system prompts."""

    up: Text
    down: Text


class Trait(_Part):
    """``pairs``: [up, down], two answers to one question, alike but for the trait."""

    up: Text
    down: Text
    pairs: Annotated[tuple[tuple[Text, Text], ...], Field(min_length=4)]
    portrait: Portrait


class Traits(_Part):
    """Traits by name, and what is asked before a pair is answered."""

    title: Text
    traits: Annotated[dict[str, Trait], Field(min_length=1)]
    questions: Annotated[tuple[Text, ...], Field(min_length=2)]


@cache
def read_traits(name: str) -> Traits:
    """``five``: those that come with the workbench; else a YAML file like theirs.

    >>> found = read_traits("five")
    >>> list(found.traits), {len(trait.pairs) for trait in found.traits.values()}
    (['openness', 'conscientiousness', 'extraversion', 'agreeableness', 'neuroticism'], {16})
    """
    path = _FILE if name == "five" else Path(name).expanduser()
    return validated(Traits, read_spec_file(path), f"traits {path}")
