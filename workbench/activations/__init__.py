"""Activations of a model as data: which positions to read, capturing and replaying them, the labelled set, its store.

Rows keep the order of the input, and every set carries the fingerprint of the model that it was read from.
"""

from workbench.activations.activation_set import ActivationSet
from workbench.activations.capture import capture, capture_to_store
from workbench.activations.positions import Role, Span
from workbench.activations.replay import replay
from workbench.activations.store import ActivationStore

__all__ = ["ActivationSet", "ActivationStore", "Role", "Span", "capture", "capture_to_store", "replay"]
