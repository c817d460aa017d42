"""What the units of one concept-injection run share: the model, the words, and the vectors that the first unit left."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from steering.vectors import SteeringVector
from workbench.errors import SpecError
from workbench.families.introspection.concept_injection.prompts import Conversation, Placed, place
from workbench.families.introspection.concept_injection.spec import InjectionSpec
from workbench.families.introspection.concept_injection.vectors import control_vector, layers_between
from workbench.families.introspection.concept_injection.words import Words, load_words
from workbench.models.language_model import LanguageModel
from workbench.runs import RunFolder
from workbench.seeding import derive_seed
from workbench.sites import Site

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Job", "Work", "layers_of", "save_vectors", "saved_vectors", "words_of"]

VECTORS = "concepts"


class Job:
    """One run at work."""

    def __init__(self, model: LanguageModel, spec: InjectionSpec, folder: RunFolder, progress: bool = False) -> None:
        self.model, self.spec, self.folder, self.progress = model, spec, folder, progress
        self.words, self.layers = words_of(spec), layers_of(spec, model.n_layers)
        self.judge: LanguageModel | None = None  # loaded by the first unit that needs it
        self._placed: dict[Conversation, Placed] = {}

    @cached_property  # asked for when the vectors are there, and not before
    def vectors(self) -> dict[int, dict[str, SteeringVector]]:
        """``{layer: {word: vector}}``."""
        return saved_vectors(self.folder)

    def vector(self, word: str, layer: int, kind: str) -> SteeringVector:
        """The concept's vector at a layer, or its ``random`` or ``shuffled`` control."""
        own = self.vectors[layer][word]
        if kind == "concept":
            return own
        return control_vector(own, kind, derive_seed(self.spec.seed, "concept injection", kind, word, layer))

    def place(self, conversation: Conversation) -> Placed:
        """Tokens and injected positions of a conversation."""
        if conversation not in self._placed:
            self._placed[conversation] = place(self.model, conversation, self.spec.scope)
        return self._placed[conversation]

    def seed(self, *parts: int | str) -> int:
        """A seed that depends on the run's and on ``parts``."""
        return derive_seed(self.spec.seed, "concept injection", *parts)


Work = Callable[[Job], "pd.DataFrame"]


def words_of(spec: InjectionSpec) -> Words:
    """The words of a run."""
    return load_words(spec.words).first(spec.concepts, spec.baselines)


def layers_of(spec: InjectionSpec, n_layers: int) -> tuple[int, ...]:
    """The layers of the grid; :class:`SpecError` for one that the model does not have."""
    layers = layers_between(n_layers, spec.layer_points) if spec.layers is None else spec.layers
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise SpecError(f"layer {layer} does not exist: {spec.model} has layers 0 to {n_layers - 1}")
    return layers


def save_vectors(folder: RunFolder, vectors: dict[int, dict[str, SteeringVector]]) -> None:
    """Keep the concept vectors as the artifact ``concepts``: a tensor [concepts, d] a layer."""
    import torch

    some = next(iter(next(iter(vectors.values())).values()))
    residual = {str(layer): next(iter(each.values())).metadata["residual_norm"] for layer, each in vectors.items()}
    stamp: dict[str, object] = {"fingerprint": some.fingerprint, "basis": some.basis, "component": some.site.component}
    stamp |= {"words": list(next(iter(vectors.values()))), "residual_norms": residual, "details": some.metadata}
    tensors = {str(layer): torch.stack([v.vector for v in each.values()]) for layer, each in vectors.items()}
    folder.save_tensors(VECTORS, tensors, stamp)


def saved_vectors(folder: RunFolder) -> dict[int, dict[str, SteeringVector]]:
    """The concept vectors of a run as :class:`SteeringVector`, ``{layer: {word: vector}}``."""
    tensors, stamp = folder.load_tensors(VECTORS)
    found: dict[int, dict[str, SteeringVector]] = {}
    for layer in sorted(map(int, tensors)):
        details = stamp["details"] | {"residual_norm": stamp["residual_norms"][str(layer)]}
        found[layer] = {
            word: SteeringVector(Site(layer), row, stamp["fingerprint"], stamp["basis"], word, details)
            for word, row in zip(stamp["words"], tensors[str(layer)], strict=True)
        }
    return found
