"""What the specs of families that load a language model have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from workbench.errors import SpecError

if TYPE_CHECKING:
    from workbench.models.hooked_model import HookedModel
    from workbench.models.language_model import LanguageModel


Temperature = Annotated[float, Field(ge=1e-6)]  # a colder one overflows where logits are divided by it
TopP = Annotated[float, Field(gt=0, le=1)]


def _layer(value: int | float) -> int | float:
    if float(value).is_integer():
        return int(value)
    if not 0 < value < 1:
        raise ValueError("write a layer's number, or a share of the model's depth between 0 and 1 (0.5: half way)")
    return value


Layer = Annotated[int | float, AfterValidator(_layer)]  # negative numbers count from the last


class Spec(BaseModel):
    """Frozen values of a run; a field that is not known is refused, and so is NaN, infinity, or an entry that a list
    names twice (but in fields that ``repeatable`` names)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    repeatable: ClassVar[tuple[str, ...]] = ()

    seed: int = 0

    def load(self) -> HookedModel | None:
        """The model that a run is of; None for a family that makes its own."""
        return None

    @field_validator("*")
    @classmethod
    def _once(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        if isinstance(value, tuple) and name not in cls.repeatable and _listed(cls.model_fields[name].annotation):
            for number, each in enumerate(value):
                if each in value[:number]:
                    raise ValueError(f"{each!r} is named twice")
        return value

    def check(self) -> None:
        """Raise a :class:`WorkbenchError` for values that cannot be run; asked of every run before a model is loaded,
        and by ``--dry-run``.  For what takes files or heavy imports; validators say the rest at once."""


class ModelSpec(Spec):
    """A run on a model that is loaded once: give ``model`` its default in a subclass, and ``world`` the name of the
    world it is played in, if any: shipped models of other worlds are then refused.  ``sized`` names the fields of its
    sample sizes, which are cut alike to fit into ``minutes``."""

    world: ClassVar[str | None] = None
    sized: ClassVar[tuple[str, ...]] = ()

    model: str = Field(description="shipped model, Hugging Face folder or hub id")
    backend: str = Field("hf", description="hf, transformer_lens or nnsight")
    device: str | None = Field(None, description="default: CUDA when there is one")
    device_map: str | None = Field(None, description="auto spreads a large model over several GPUs")
    dtype: str = Field("auto", description="auto is the checkpoint's")
    template: dict[str, bool | int | float | str] = Field(
        {}, description="options of the model's chat template, such as enable_thinking False"
    )
    minutes: float | None = Field(
        None, gt=0, description="cut the sample sizes until a timed pass of the model says that the run takes so long"
    )

    def load(self, model: str | None = None) -> LanguageModel:
        """The model of this spec, with ``template``; or another one that is loaded in the same way."""
        from workbench.models.language_model import LanguageModel
        from workbench.models.loading import load_model

        found = load_model(
            model or self.model, self.backend, device=self.device, device_map=self.device_map, dtype=self.dtype
        )
        return LanguageModel.of(found).with_template(**({} if model else self.template))

    def check(self) -> None:
        """Raise for a back end, device or dtype that does not exist, and for a model that is not there, is of another
        kind or too short."""
        from workbench.models.loading import check_options

        check_options(self.backend, self.device, self.dtype, self.device_map)
        self.check_model(self.model)

    def check_model(self, model: str) -> None:
        """Raise for a model that this run cannot use, by its configuration: ``model``, or another that it names."""
        from workbench.models.loading import check_reads, config_of

        worlds = _worlds_of_shipped()
        if self.world and worlds.get(model, self.world) != self.world:
            fit = " or ".join(name for name, world in worlds.items() if world == self.world)
            raise SpecError(f"{model} was trained for {worlds[model]}, not {self.world}: take {fit}, or a chat model")
        check_reads(model, "text")
        positions = getattr(config_of(model).get_text_config(), "max_position_embeddings", None)
        asked = getattr(self, "max_new_tokens", 0)
        if positions and asked >= positions:
            raise SpecError(f"max_new_tokens {asked}: {model} has {positions} positions, prompt included")

    @property
    def at_home(self) -> bool:
        """Whether the model was trained for this spec's world by one of the package's recipes."""
        return _worlds_of_shipped().get(self.model) == self.world

    def n_layers(self) -> int:
        """Blocks of the model, from its configuration alone."""
        from workbench.models.loading import n_layers_of

        return n_layers_of(self.model)

    def known_layers(self, layers: tuple[Layer, ...] | None) -> tuple[int, ...]:
        """The numbers of ``layers`` in this spec's model; None: all.  Negative ones count from the last, a share s is
        the block that holds depth s: :func:`layer_at`.  Shares that name one block of a shallow model name it once.

        Raises:
            SpecError: for a number that does not exist, or a layer that two numbers name.
        """
        n = self.n_layers()
        for layer in layers or ():
            if isinstance(layer, int) and not -n <= layer < n:
                raise SpecError(f"layer {layer} does not exist: {self.model} has layers 0 to {n - 1}")
        numbers = tuple(range(n)) if layers is None else tuple(each % n for each in layers if isinstance(each, int))
        if len(set(numbers)) < len(numbers):
            raise SpecError(f"layers {list(layers or ())}: two of them are the same layer of {self.model}")
        return tuple(dict.fromkeys(layer_at(each, n) for each in (numbers if layers is None else layers)))


def layer_at(layer: Layer, n_layers: int) -> int:
    """The number of a layer among ``n_layers`` blocks; block k holds the depths from k / n up to (k + 1) / n.

    >>> [layer_at(layer, 30) for layer in (0.3, 0.5, 0.7, 0.99, -1, 4)]
    [9, 15, 21, 29, 29, 4]
    """
    if isinstance(layer, int):
        return layer % n_layers
    return min(int(layer * n_layers + 1e-9), n_layers - 1)  # 0.29 * 100 is a hair below 29


def _worlds_of_shipped() -> dict[str, str]:
    """Shipped model -> the world that its recipe trains it for."""
    from workbench.models.loading import shipped_models
    from workbench.worlds import worlds

    recipes = {recipe.name: world.name for world in worlds().values() for recipe in world.recipes}
    return {
        model: world
        for model in shipped_models()
        for name, world in recipes.items()
        if f"{model}-".startswith(f"{name}-")
    }


def _listed(annotation: Any) -> bool:
    """Whether a field holds a list of any length (or None), and not a pair or the like."""
    return any(
        get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis for kind in (annotation, *get_args(annotation))
    )
