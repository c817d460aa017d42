"""Activations of a model as data: which positions to read, capturing and replaying them, the labelled set, its store.

Rows keep the order of the input, and every set carries the fingerprint of the model that it was read from.  Importing
this package is light: a name imports what stands behind it when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.activations.activation_set import ActivationSet
    from workbench.activations.capturing import capture, capture_to_store
    from workbench.activations.positions import GenerationPrompt, Role, Span
    from workbench.activations.replaying import replay
    from workbench.activations.store import ActivationStore

__getattr__, __dir__, __all__ = lazy_exports(__name__)
