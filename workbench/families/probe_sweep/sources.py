"""The sources of sweeps: texts, chats and stored activations, and what the worlds bring."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from workbench.activations.sources import Source
from workbench.discovery import attribute
from workbench.errors import SpecError, did_you_mean
from workbench.worlds import worlds

_FAMILY = __name__.rpartition(".")[0]


@cache
def sources() -> dict[str, Callable[[], Source]]:
    """Every source, by the ``kind`` that a sweep file writes; each is loaded when it is first asked for."""
    named = {"texts": "texts:TEXTS", "chats": "chats:CHATS", "activations": "stored:STORED"}
    own = {kind: attribute(_FAMILY, name) for kind, name in named.items()}
    return own | {kind: load for world in worlds().values() for kind, load in world.sources.items()}


def find_source(kind: str) -> Source:
    """The source of that kind; :class:`SpecError` when there is none."""
    if kind not in sources():
        raise SpecError(f"source: unknown kind {kind!r}{did_you_mean(kind, sources())}")
    found = sources()[kind]()
    return found if isinstance(found, Source) else Source(found)
