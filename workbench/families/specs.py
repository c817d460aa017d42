"""What the specs of families that load a language model have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from workbench.errors import SpecError

if TYPE_CHECKING:
    from workbench.models.hooked_model import HookedModel
    from workbench.models.language_model import LanguageModel


class Spec(BaseModel):
    """Frozen values of a run; a field that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0

    def load(self) -> HookedModel | None:
        """The model that a run is of; None for a family that makes its own."""
        return None


class ModelSpec(Spec):
    """A run on a model that is loaded once: give ``model`` its default in a subclass."""

    model: str = Field(description="shipped model, Hugging Face folder or hub id")
    backend: str = Field("hf", description="hf, transformer_lens or nnsight")
    device: str | None = Field(None, description="default: CUDA when there is one")
    device_map: str | None = Field(None, description="auto spreads a large model over several GPUs")
    dtype: str = Field("auto", description="auto is the checkpoint's")

    def load(self, model: str | None = None) -> LanguageModel:
        """The model of this spec, or another one that is read in the same way."""
        from workbench.models.language_model import LanguageModel
        from workbench.models.loading import load_model

        found = load_model(
            model or self.model, self.backend, device=self.device, device_map=self.device_map, dtype=self.dtype
        )
        return LanguageModel.of(found)

    def n_layers(self) -> int:
        """Blocks of the model, from its configuration alone."""
        from workbench.models.loading import n_layers_of

        return n_layers_of(self.model)

    def known_layers(self, layers: tuple[int, ...] | None) -> tuple[int, ...]:
        """``layers`` (None: all; negative ones count from the last); :class:`SpecError` for one that does not exist."""
        n = self.n_layers()
        for layer in layers or ():
            if not -n <= layer < n:
                raise SpecError(f"layer {layer} does not exist: {self.model} has layers 0 to {n - 1}")
        return tuple(range(n)) if layers is None else tuple(layer % n for layer in layers)
