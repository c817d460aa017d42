"""What a probe sweep is: the fields of a sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from workbench.activations.sources import Task
from workbench.errors import SpecError, check_keys, did_you_mean
from workbench.runs.names import check_name
from workbench.sites import Site, parse_sites

EXPERIMENT = "sweep"
CONTROLS = ("majority", "shuffled", "random_features", "control_task", "untrained", "other_groups", "bag_of_words")
ALL = "all"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelEntry(_Entry):
    """A model of the sweep; with ``untrained`` (a seed) its configuration with new weights."""

    model: str
    untrained: int | None = None

    @property
    def name(self) -> str:
        """What the results table calls it."""
        return self.model if self.untrained is None else f"{self.model}-untrained-{self.untrained}"


class TargetEntry(_Entry):
    """A label column to predict (``*`` stands for any letters); ``task`` is inferred from the labels unless given."""

    column: str
    task: Task | None = None


class SweepSpec(BaseModel):
    """One probe sweep.  Its cells are models x positions x sites x targets x probes (with parameters) x seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: dict[str, Any] = Field(description="kind (texts, activations...) and its options")
    tests: dict[str, dict[str, Any]] = Field({}, description="name -> another source, whose rows are only tested on")
    models: tuple[ModelEntry, ...] = Field((), description="shipped models, Hugging Face folders or hub ids")
    backend: str = Field("hf", description="hf, transformer_lens or nnsight")
    device: str | None = Field(None, description="default: CUDA when there is one")
    dtype: str = Field("auto", description="auto is the checkpoint's")
    sites: tuple[str, ...] = Field((ALL,), description="layers, sites, or all.<component>")
    positions: dict[str, Any] = Field({"last": "last"}, description="name -> which tokens")
    targets: tuple[TargetEntry, ...] = Field(min_length=1, description="label columns")
    probes: dict[str, dict[str, Any]] = Field(min_length=1, description="probe -> parameters; a list is a grid axis")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of folds, shuffled labels and probes")
    folds: int = Field(5, ge=2, description="of the cross-validation, which keeps groups together")
    holdout: float | None = Field(None, gt=0, lt=1, description="one split with this share held out, in place of folds")
    controls: tuple[str, ...] = Field(("majority", "shuffled"), description=", ".join(CONTROLS))
    untrained_seed: int = Field(0, description="of the weights of the control 'untrained'")
    types: str | None = Field(None, description="label column of the control 'control_task' (a token, a state)")
    shuffles: int = Field(3, ge=1, description="draws of the control labels")
    metrics: tuple[str, ...] | None = Field(None, description="default: all of the probe's kind")
    resamples: int = Field(2000, ge=1, description="of the bootstrap")
    mdl: bool = Field(False, description="also the minimum description length (online code)")
    per_class: bool = Field(False, description="also precision, recall and F1 of each class")

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            check_keys(data, cls.model_fields, "the sweep")
        return data

    @field_validator("source", mode="before")
    @classmethod
    def _source(cls, value: Any) -> Any:
        return _with_kind(value)

    @field_validator("tests", mode="before")
    @classmethod
    def _named_sources(cls, value: Any) -> Any:
        if not isinstance(value, Mapping | None):
            raise SpecError("write a name and a source, such as {lies: {kind: texts, path: lies.csv, text: sentence}}")
        for name in value or {}:
            check_name(str(name), "test")
        return {str(name): _with_kind(source, f"{name}: ") for name, source in (value or {}).items()}

    @field_validator("models", mode="before")
    @classmethod
    def _models(cls, value: Any) -> Any:
        return tuple(_entry(each, ModelEntry, "model") for each in _several(value))

    @field_validator("targets", mode="before")
    @classmethod
    def _targets(cls, value: Any) -> Any:
        return tuple(_unique([_entry(each, TargetEntry, "column") for each in _several(value)]))

    @field_validator("sites", mode="before")
    @classmethod
    def _sites(cls, value: Any) -> Any:
        sites = tuple(_unique([str(each) for each in _several(value)]))
        if not sites:
            raise SpecError("name at least one site, or all")
        for site in sites:
            expand_site(site)
        return sites

    @field_validator("positions", mode="before")
    @classmethod
    def _positions(cls, value: Any) -> Any:
        named = value
        if not isinstance(value, Mapping):
            named = {f"pos{each}" if isinstance(each, int) else str(each): each for each in _unique(_several(value))}
        if not named:
            raise SpecError("name at least one position, such as last")
        for name in named:
            try:
                check_name(str(name), "position")
            except Exception as error:
                raise SpecError(f"{error}; name it: {{a_name: {name}}}") from None
        return {str(name): each for name, each in named.items()}

    @field_validator("probes", mode="before")
    @classmethod
    def _probes(cls, value: Any) -> Any:
        named = value if isinstance(value, Mapping) else {each: None for each in _unique(_several(value))}
        for name, parameters in named.items():
            if not isinstance(parameters, Mapping | None):
                raise SpecError(f"{name} needs parameters and values, such as {{{name}: {{alpha: [1, 10]}}}}")
            for parameter, values in (parameters or {}).items():
                _unique(_several(values), f"{name}: {parameter}: ")
        return {str(name): dict(parameters or {}) for name, parameters in named.items()}

    @field_validator("seeds", "controls", "metrics", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return None if value is None else tuple(_unique(_several(value)))

    @model_validator(mode="after")
    def _known_controls(self) -> SweepSpec:
        for control in self.controls:
            if control not in CONTROLS:
                raise SpecError(f"controls: unknown control {control!r}{did_you_mean(control, CONTROLS)}")
        if ("control_task" in self.controls) != (self.types is not None):
            raise SpecError("controls: 'control_task' and the field types (a label column) go together")
        return self


def expand_site(text: str, n_layers: int | None = None) -> tuple[Site, ...]:
    """The sites that an entry of ``sites`` stands for in a model; :class:`SiteError` when it is none.

    >>> expand_site("all.mlp_out", 2)
    (Site(layer=0, component='mlp_out'), Site(layer=1, component='mlp_out'))
    >>> expand_site("-1", 4)
    (Site(layer=3, component='resid_post'),)
    """
    head, _, component = text.partition(".")
    if head != ALL:
        return parse_sites(text, n_layers)
    return tuple(Site(layer, component or "resid_post") for layer in range(n_layers or 1))


def _with_kind(value: Any, where: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise SpecError(f"{where}write kind and options, such as {{kind: texts, path: texts.csv, text: sentence}}")
    return dict(value)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _unique(values: list[Any], where: str = "") -> list[Any]:
    """The values, none of which may stand twice: each would be computed, and stored, twice."""
    for number, each in enumerate(values):
        if each in values[:number]:
            raise SpecError(f"{where}{each!r} stands twice: name it once")
    return values


def _entry(value: Any, kind: type[_Entry], main: str) -> Any:
    """An entry from its short form (a text) or its fields."""
    if isinstance(value, kind):
        return value
    if isinstance(value, Mapping):
        check_keys(value, kind.model_fields, f"a {main}")
        return dict(value)
    return {main: str(value)}
